"""The catalogue: every drill, by name."""

from typing import Final

from holdfast.drills.drill import Drill
from holdfast.drills.scenarios import bus, instances, load, redis, store

CATALOGUE: Final[dict[str, Drill]] = {
    drill.name: drill for drill in (*instances.DRILLS, *redis.DRILLS, *bus.DRILLS, *store.DRILLS, *load.DRILLS)
}
