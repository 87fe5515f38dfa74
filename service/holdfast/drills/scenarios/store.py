"""The store cut off, slow, and gone together with Redis."""

from functools import partial

from holdfast.drills.drill import Drill
from holdfast.drills.stage import LocalStage

_WHY = "SQLite is a file: there is no network to break"
_HEALTHY_SECONDS = 15.0


async def _firestore_down(stage: LocalStage) -> None:
    """Honest errors, no acks, sockets stay."""
    async with stage.fault("firestore-down"):
        for proxy in stage.target.to_store.values():
            await proxy.refuse()
        await stage.expect("degraded", 5.0, partial(stage.every, stage.instances, "degraded"))
        await stage.expect("all ready", 1.0, stage.all_ready)
        await stage.pause(stage.seconds)
        for proxy in stage.target.to_store.values():
            await proxy.listen()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _firestore_slow(stage: LocalStage) -> None:
    """Slower, with connections reset now and then: the same key gets the same seq."""
    async with stage.fault("firestore-slow"):
        for proxy in stage.target.to_store.values():
            proxy.delay_seconds = 0.4
        for _ in range(max(1, int(stage.seconds / 2))):
            await stage.pause(2.0)
            stage.random.choice(list(stage.target.to_store.values())).cut()
        for proxy in stage.target.to_store.values():
            proxy.delay_seconds = 0.0
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _replies_lost(stage: LocalStage) -> None:
    """Requests arrive, their answers do not: was it stored?"""
    victim = stage.instances[0].name
    proxy = stage.target.to_store[victim]
    async with stage.fault("replies-lost", victim):
        for _ in range(max(1, int(stage.seconds / 3))):
            proxy.swallow_replies()
            await stage.pause(0.7)
            proxy.flow()
            proxy.cut()
            await stage.pause(2.0)
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _both_gone(stage: LocalStage) -> None:
    """Sockets stay, errors are honest, it recovers by itself."""
    async with stage.fault("both-gone"):
        stage.target.redis.kill()
        for proxy in stage.target.to_store.values():
            await proxy.refuse()
        await stage.pause(stage.seconds)
        for proxy in stage.target.to_store.values():
            await proxy.listen()
        await stage.target.redis.start()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("everybody registered", 10.0, stage.all_registered)


DRILLS = (
    Drill("firestore-down", "F13: the store is cut off", _firestore_down, ("firestore",), _WHY),
    Drill("firestore-slow", "F14: the store is slow and drops connections", _firestore_slow, ("firestore",), _WHY, seconds=8.0),
    Drill("replies-lost", "F14: the store's answers are lost after the commit", _replies_lost, ("firestore",), _WHY, seconds=9.0),
    Drill("both-gone", "F16: Redis and the store are gone together", _both_gone, ("firestore",), _WHY),
)
