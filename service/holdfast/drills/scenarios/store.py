"""The store cut off, slow, and gone together with Redis."""

from functools import partial

from holdfast.drills.drill import Drill
from holdfast.drills.local.disk import missing_mount
from holdfast.drills.local.target import Layout
from holdfast.drills.stage import LocalStage

_WHY = "SQLite is a file: there is no network to break"
_DEGRADED_SECONDS = 5.0
_HEALTHY_SECONDS = 15.0
_SLOW_SECONDS = 0.4  # each way
_TOO_SLOW_SECONDS = 1.0  # each way: an answer takes 2 s longer than usual, and the deadline of a call is 2 s
_RESET_SHARE = 0.1  # of the connections, every two seconds; one at least


async def _firestore_down(stage: LocalStage) -> None:
    """Honest errors, no acks, sockets stay."""
    async with stage.fault("firestore-down"):
        for proxy in stage.target.to_store.values():
            await proxy.refuse()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, stage.instances, "degraded"))
        await stage.expect("all ready", 1.0, stage.all_ready)
        await stage.pause(stage.seconds)
        for proxy in stage.target.to_store.values():
            await proxy.listen()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _firestore_slow(stage: LocalStage) -> None:
    """First slower than usual, then slower than its deadline: what was given up lands all the same. And connections are reset."""
    proxies = list(stage.target.to_store.values())
    async with stage.fault("firestore-slow"):
        for delay_seconds in (_SLOW_SECONDS, _TOO_SLOW_SECONDS):
            for proxy in proxies:
                proxy.delay_seconds = delay_seconds
            for _ in range(max(1, int(stage.seconds / 4))):
                await stage.pause(2.0)
                for proxy in [each for each in proxies if stage.random.random() < _RESET_SHARE] or [stage.random.choice(proxies)]:
                    proxy.cut()
        for proxy in proxies:
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
    await stage.expect("all connections registered", 10.0, stage.all_registered)


async def _disk_full(stage: LocalStage) -> None:
    """No acks and honest errors while there is no room; nothing has to be done once there is."""
    disk = stage.target.disk
    assert disk is not None  # noqa: S101 - by the layout of this drill
    async with stage.fault("disk-full"):
        disk.fill()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, stage.instances, "degraded"))
        await stage.expect("all ready", 1.0, stage.all_ready)
        await stage.pause(stage.seconds)
        disk.empty()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


DRILLS = (
    Drill(
        "disk-full",
        "F23: the disk under SQLite is full",
        _disk_full,
        ("sqlite",),
        "Firestore's disks are not ours",
        layout=Layout(disk_mb=32),
        missing=missing_mount,
    ),
    Drill("firestore-down", "F13: the store is cut off", _firestore_down, ("firestore",), _WHY),
    Drill("firestore-slow", "F14: the store is slow and drops connections", _firestore_slow, ("firestore",), _WHY, seconds=12.0),
    Drill("replies-lost", "F14: the store's answers are lost after the commit", _replies_lost, ("firestore",), _WHY, seconds=9.0),
    Drill("both-gone", "F16: Redis and the store are gone together", _both_gone, ("firestore",), _WHY),
)
