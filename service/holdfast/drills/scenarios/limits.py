"""Redis at the end of its means: no memory, no room for a connection, no disk; and behind Sentinels, which replace it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from holdfast.adapters.redis.link import RedisLink
from holdfast.drills.drill import Drill
from holdfast.drills.hindsight import acks_in_the_midst
from holdfast.drills.local.disk import SmallDisk, missing_mount
from holdfast.drills.local.target import Layout
from holdfast.drills.stage import LocalStage
from holdfast.launcher.waiting import TargetFailed

_DEGRADED_SECONDS = 5.0
_HEALTHY_SECONDS = 15.0
_REGISTERED_SECONDS = 5.0
PROMOTED_SECONDS = 10.0  # Sentinels call it down after half a second, agree, and choose
_LEFT_SECONDS = 3.0
_SPLIT_SECONDS = 20.0  # no hole outlives this, noticed or not
_DEMOTED_SECONDS = 30.0  # Sentinels wait 8 s before they turn a primary that came back into a replica, and look every 10 s
_DISK_MB = 8


async def _redis_full(stage: LocalStage) -> None:
    """It refuses what takes memory and answers everything else."""
    async with stage.fault("redis-full"):
        await stage.redis("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await stage.redis("CONFIG", "SET", "maxmemory", "1")
        await _endure(stage)
        await stage.redis("CONFIG", "SET", "maxmemory", "0")
    await recover(stage)


async def _redis_crowded(stage: LocalStage) -> None:
    """Every connection is dropped, and no other is accepted."""
    async with stage.operator() as operator, stage.fault("redis-crowded"), _closed_to_others(operator):
        for kind in ("normal", "pubsub"):
            await operator.call("CLIENT", "KILL", "TYPE", kind)
        await _endure(stage)
    await recover(stage)


async def _redis_disk_full(stage: LocalStage) -> None:
    """Its log of writes cannot grow any more: it refuses every write, and even a PING."""
    redis, disk = stage.target.redis, SmallDisk(_DISK_MB)
    usual = redis.options
    disk.mount()
    try:
        async with stage.fault("redis-disk-full"):
            redis.options = (*usual, "--appendonly", "yes", "--dir", str(disk.path))
            await redis.restart()
            await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)
            disk.fill()
            await _endure(stage)
            disk.empty()
        await recover(stage)
    finally:
        redis.options = usual
        async with stage.fault("redis-delete"):
            await redis.restart()
        disk.close()
    await recover(stage)


async def _endure(stage: LocalStage) -> None:
    """The expected state while Redis refuses: degraded, ready, and open to new connections."""
    await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, stage.instances, "degraded"))
    await stage.expect("all ready", 1.0, stage.all_ready)
    await stage.somebody_connects()
    await stage.pause(stage.seconds)


async def recover(stage: LocalStage) -> None:
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)


async def _sentinel_kill(stage: LocalStage) -> None:
    """The primary is killed and the replica promoted: instances find it by themselves."""
    await check_steady(stage)
    async with stage.fault("sentinel-kill"):
        stage.target.redis.kill()
        await stage.expect("promoted", PROMOTED_SECONDS, partial(is_promoted, stage))
    await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.pause(stage.seconds)


async def _sentinel_freeze(stage: LocalStage) -> None:
    """The old primary still holds every connection; it wakes when another has its place, and no instance uses it."""
    old = stage.target.redis
    await check_steady(stage)
    async with stage.fault("sentinel-freeze"):
        old.freeze()
        await stage.expect("promoted", PROMOTED_SECONDS, partial(is_promoted, stage))
    await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.pause(stage.seconds)
    old.thaw()
    await stage.expect("no instance stays on the old primary", _LEFT_SECONDS, partial(_is_left, stage, old.url))


async def _sentinel_cut(stage: LocalStage) -> None:
    """The old primary and one instance are cut from everybody else: two halves, each with a Redis that is well."""
    left_behind = stage.instances[0]
    ways = stage.target.to_sentinels[left_behind.name]
    await check_steady(stage)
    async with (
        stage.operator(stage.target.redis.url) as operator,
        stage.fault("sentinel-cut", left_behind.name),
        _closed_to_others(operator),
    ):
        for way in ways:
            await way.refuse()
        await _drop_all_but(left_behind.name, operator)
        await stage.expect("promoted", PROMOTED_SECONDS, partial(is_promoted, stage))
        await stage.expect("the split is noticed", _SPLIT_SECONDS, partial(_all_know_of_a_split, stage))
        await stage.expect("all ready", 1.0, stage.all_ready)
        await stage.pause(stage.seconds)
        await stage.expect("all still know of it", 1.0, partial(_all_know_of_a_split, stage))
        for way in ways:
            await way.listen()
    await stage.expect("no instance stays on the old primary", _DEMOTED_SECONDS, partial(_is_left, stage, stage.target.redis.url))
    await recover(stage)


@asynccontextmanager
async def _closed_to_others(operator: RedisLink) -> AsyncIterator[None]:
    """Existing connections stay, new ones are refused."""
    _, before = await operator.call("CONFIG", "GET", "maxclients")
    await operator.call("CONFIG", "SET", "maxclients", "1")
    try:
        yield
    finally:
        await operator.call("CONFIG", "SET", "maxclients", before)


async def _drop_all_but(name: str, operator: RedisLink) -> None:
    """Every connection to a Redis but that instance's and the operator's own: replicas, Sentinels, instances."""
    own = await operator.call("CLIENT", "ID")
    for line in (await operator.call("CLIENT", "LIST")).decode().splitlines():
        client = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
        is_theirs = f"{client['name']}:".startswith(f"holdfast:{name}:")
        if not is_theirs and int(client["id"]) != own:
            await operator.call("CLIENT", "KILL", "ID", client["id"])


async def check_steady(stage: LocalStage) -> None:
    """A failover before the failure would make a drill that proves nothing."""
    if await is_promoted(stage):
        raise TargetFailed("the replica was promoted before anything was broken")


async def is_promoted(stage: LocalStage) -> bool:
    """Whether the replica is the primary now, as it says itself."""
    watched = stage.target.watched
    assert watched is not None  # noqa: S101 - by the layout of these drills
    role = await stage.redis("ROLE", url=watched.replica.url)
    return isinstance(role, list) and role[0] in (b"master", "master")


async def _all_know_of_a_split(stage: LocalStage) -> bool:
    """Whether each instance says that others are at another Redis."""
    answers = await asyncio.gather(*(instance.health() for instance in stage.instances))
    return all(
        any(each["type"] == "BusLive" and each["reason"] == "Split" for each in answer.get("conditions", ()))
        for answer in answers
    )


async def _is_left(stage: LocalStage, url: str) -> bool:
    """Whether no instance has a connection there."""
    clients = await stage.redis("CLIENT", "LIST", url=url)
    return isinstance(clients, bytes) and b"name=holdfast:instance" not in clients


WATCHED = Layout(has_sentinels=True)

DRILLS = (
    Drill("redis-full", "F11: Redis is out of memory", _redis_full, looks_back=(acks_in_the_midst,)),
    Drill("redis-crowded", "F11: Redis takes no more clients", _redis_crowded, looks_back=(acks_in_the_midst,)),
    Drill(
        "redis-disk-full",
        "F11: the disk under Redis is full",
        _redis_disk_full,
        missing=missing_mount,
        looks_back=(acks_in_the_midst,),
    ),
    Drill("sentinel-kill", "F10: the primary behind Sentinels is killed", _sentinel_kill, layout=WATCHED),
    Drill("sentinel-freeze", "F10: the primary behind Sentinels stands still", _sentinel_freeze, layout=WATCHED),
    Drill(
        "sentinel-cut",
        "F10: the primary and one instance are cut from the Sentinels and all others",
        _sentinel_cut,
        seconds=20.0,
        layout=WATCHED,
    ),
)
