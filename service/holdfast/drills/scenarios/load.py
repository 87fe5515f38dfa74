"""No fault but people: one hot conversation, many connections."""

from holdfast.drills.drill import Drill
from holdfast.drills.stage import LocalStage


async def _hot(stage: LocalStage) -> None:
    await stage.pause(stage.seconds)


async def _load(stage: LocalStage) -> None:
    """Many connections and a high rate; what Redis and the instances cost is reported."""
    before = await stage.redis("INFO", "memory")
    await stage.pause(stage.seconds)
    after = await stage.redis("INFO", "memory")
    for name, info in (("before", before), ("after", after)):
        used = info.get("used_memory", 0) if isinstance(info, dict) else 0
        stage.require(f"Redis's memory {name}", int(used) / 1_048_576, 512.0, "MB")


async def _drain(stage: LocalStage) -> None:
    """Everybody of one instance goes elsewhere, over the window, and nobody notices."""
    victim = stage.instances[0]
    async with stage.fault("drain", victim.name):
        took = await victim.terminate()
    stage.require("ended within", took, 20.0, "s")
    stage.require("exit status", victim.exit_code or 0, 0)
    await stage.pause(stage.seconds)


DRILLS = (
    Drill("hot-conversation", "F15: everybody talks at once, in few conversations", _hot, seconds=10.0, rate=200.0),
    Drill("load", "scenario 11: many connections, a high rate", _load, seconds=15.0, clients=1_000, rate=200.0),
    Drill("drain", "F3: an instance with hundreds of connections stops", _drain, clients=1_000, rate=100.0, reconnect_p99=1.0),
)
