"""The catalogue: every drill, by name."""

from typing import Final

from holdfast.drills.drill import Drill
from holdfast.drills.scenarios import bus, garbage, instances, lag, limits, load, people, redis, restore, store, storm, tokens

CATALOGUE: Final[dict[str, Drill]] = {
    drill.name: drill
    for module in (instances, redis, garbage, limits, lag, bus, store, restore, people, tokens, load, storm)
    for drill in module.DRILLS
}
