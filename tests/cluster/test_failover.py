"""Redis flushed, or started again from a snapshot: connections are registered anew, and the store is not written for it."""

from functools import partial

from redis.asyncio import Redis

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances
from support.redis_server import RedisServer
from support.store_view import StoreView, view_of

USERS = ("ann", "ben", "cyd")


async def is_registered_anew(operator: "Redis", before: dict[str, str]) -> bool:
    """Every instance has taken its lease again, and says that all its connections are in."""
    for name, registration in before.items():
        lease = await operator.hgetall(f"instance:{name}")
        if lease.get("registered") != "1" or lease["registration"] == registration:
            return False
    return all([await operator.exists(f"connections:{user}") for user in USERS])


async def present(store: StoreView) -> list[list[str]]:
    """Under which starts of which instances the users stand in the store."""
    return [sorted((await store.user(user))["on"]) for user in USERS]


async def test_registering_everything_again_does_not_touch_presence(
    instances: Instances, redis7: RedisServer, operator: "Redis"
) -> None:
    """It was one write for each user, of all instances at once, in the moment of a failover."""
    one, two = await instances.start("one", "two")
    await new_conversation(one, *USERS)
    async with (
        Chatter(one, "ann"),
        Chatter(two, "ben"),
        Chatter(two, "cyd") as cyd,
        view_of(instances) as store,
    ):
        there = await present(store)
        assert [len(entries) for entries in there] == [1, 1, 1]
        beats = await store.beats()
        await eventually(partial(have_beaten, store, beats), within=15)
        for fault in ("snapshot", "flush"):
            before = {name: await operator.hget(f"instance:{name}", "registration") for name in ("one", "two")}
            if fault == "snapshot":
                await operator.save()
                await redis7.restart()
            else:
                await operator.flushall()
            await eventually(partial(is_registered_anew, operator, before), within=20)
            assert await present(store) == there, fault
        await cyd.ask(type="ping")


async def have_beaten(store: StoreView, before: dict[str, int]) -> bool:
    """Each instance has written its bulletin again."""
    now = await store.beats()
    return all(now.get(name, 0) > beat for name, beat in before.items())
