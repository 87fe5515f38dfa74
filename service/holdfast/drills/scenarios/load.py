"""No fault but people: one hot conversation, many connections."""

from typing import NamedTuple

from holdfast.drills.drill import Drill
from holdfast.drills.local.target import Layout
from holdfast.drills.stage import LocalStage
from holdfast.launcher.waiting import TargetFailed


class _Cost(NamedTuple):
    memory_mb: float
    cpu_seconds: float


async def _redis_cost(stage: LocalStage) -> _Cost:
    memory, cpu = await stage.redis("INFO", "memory"), await stage.redis("INFO", "cpu")
    if not isinstance(memory, dict) or not isinstance(cpu, dict):
        raise TargetFailed("Redis does not tell what it costs")
    return _Cost(int(memory["used_memory"]) / 1_048_576, float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"]))


async def _hot(stage: LocalStage) -> None:
    await stage.pause(stage.seconds)


async def _load(stage: LocalStage) -> None:
    """Many connections and a high rate; the costs of Redis and the instances are reported."""
    before, began = await _redis_cost(stage), stage.history.now
    await stage.pause(stage.seconds)
    after, took = await _redis_cost(stage), stage.history.now - began
    for name, cost in (("before", before), ("after", after)):
        stage.require(f"Redis's memory {name}", cost.memory_mb, 512.0, "MB")
    stage.require("Redis's CPU", 100 * (after.cpu_seconds - before.cpu_seconds) / took, 90.0, "% of a core")


async def _drain(stage: LocalStage) -> None:
    """All clients of one instance go elsewhere, over the window, and notice nothing."""
    victim = stage.instances[0]
    async with stage.fault("drain", victim.name):
        took = await victim.terminate()
    stage.require("ended within", took, 20.0, "s")
    stage.require("exit status", victim.exit_code or 0, 0)
    await stage.pause(stage.seconds)


_DIRECT = Layout(is_direct=True)

DRILLS = (
    Drill(
        "hot-conversation", "F15: everybody talks at once, in few conversations", _hot, seconds=10.0, rate=200.0, layout=_DIRECT
    ),
    Drill("load", "scenario 11: many connections, a high rate", _load, seconds=15.0, clients=1_000, rate=200.0, layout=_DIRECT),
    Drill(
        "drain",
        "F3: an instance with hundreds of connections stops",
        _drain,
        clients=1_000,
        rate=100.0,
        reconnect_p99=1.0,
        layout=_DIRECT,
    ),
)
