"""Redis killed, frozen, slow, emptied, and cut from one instance."""

from functools import partial

from holdfast.drills.drill import Drill
from holdfast.drills.stage import LocalStage

_DEGRADED_SECONDS = 5.0
_HEALTHY_SECONDS = 15.0
_REGISTERED_SECONDS = 5.0


async def _redis_delete(stage: LocalStage) -> None:
    async with stage.fault("redis-delete"):
        stage.target.redis.kill()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, stage.instances, "degraded"))
        await stage.expect("all ready", 1.0, stage.all_ready)
        await stage.pause(stage.seconds)
        await stage.target.redis.start()
    await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _redis_hang(stage: LocalStage) -> None:
    async with stage.fault("redis-hang"):
        stage.target.redis.freeze()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, stage.instances, "degraded"))
        await stage.expect("all ready", 1.0, stage.all_ready)
        await stage.pause(stage.seconds)
        stage.target.redis.thaw()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _redis_slow(stage: LocalStage) -> None:
    """Half a second each way: longer than a command may take."""
    async with stage.fault("redis-slow"):
        for proxy in stage.target.to_redis.values():
            proxy.delay_seconds = 0.5
        await stage.pause(stage.seconds)
        for proxy in stage.target.to_redis.values():
            proxy.delay_seconds = 0.0
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _flushall(stage: LocalStage) -> None:
    """Costs latency and nothing else."""
    for _ in range(2):
        async with stage.fault("flushall"):
            await stage.redis("FLUSHALL")
        await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)
        await stage.pause(stage.seconds / 3)


async def _client_kill(stage: LocalStage) -> None:
    """Every connection to Redis is dropped, again and again."""
    async with stage.fault("client-kill"):
        for number in range(max(2, int(stage.seconds / 1.5))):
            await stage.redis("CLIENT", "KILL", "TYPE", ("pubsub", "normal")[number % 2])
            await stage.pause(1.5)
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _redis_cut(stage: LocalStage) -> None:
    """One instance alone: its users send and receive, and stay online."""
    victim = stage.instances[0]
    proxy = stage.target.to_redis[victim.name]
    async with stage.fault("redis-cut", victim.name):
        await proxy.refuse()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, [victim], "degraded"))
        await stage.pause(stage.seconds)
        await proxy.listen()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)


async def _redis_half_open(stage: LocalStage) -> None:
    """Data from Redis to one instance never arrives; no connection is closed."""
    victim = stage.instances[0]
    proxy = stage.target.to_redis[victim.name]
    async with stage.fault("redis-half-open", victim.name):
        proxy.deafen()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, [victim], "degraded"))
        await stage.pause(stage.seconds)
        proxy.flow()
        proxy.cut()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


DRILLS = (
    Drill("redis-delete", "F5: Redis is killed, and starts again empty", _redis_delete),
    Drill("redis-hang", "F6: Redis stands still", _redis_hang),
    Drill("redis-slow", "F7: Redis is slower than a command may take", _redis_slow),
    Drill("flushall", "F8: Redis is emptied under load", _flushall),
    Drill("client-kill", "F9: Redis drops every connection, again and again", _client_kill, seconds=9.0),
    Drill("redis-cut", "F12: one instance is cut from Redis for longer than its lease", _redis_cut, seconds=20.0),
    Drill("redis-half-open", "F12: one instance hears nothing from Redis, and is not told", _redis_half_open),
)
