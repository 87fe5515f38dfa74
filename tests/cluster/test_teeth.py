"""What each mechanism is there for: the same scenario holds over instances as built and breaks without that mechanism alone.

A scenario says whether the promise was kept. Where several mechanisms cover for each other, the others are off in both runs.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.drills.local.proxy import Proxy
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import SYSTEM, RedisServer, require_binary
from support.store_view import StoreView, view_of

pytestmark = pytest.mark.long

SETTLING_SECONDS = 12.0  # an instance that has just found its Redis reads the bulletins each second for 10 s
HEARD_SECONDS = 6.0  # C4: any single fault costs 5 s at most; anti-entropy would come after 15 s


@pytest.fixture(params=["as built", "without it"])
def is_built(request: pytest.FixtureRequest) -> bool:
    """Whether this run has the mechanism."""
    return bool(request.param == "as built")


def altered(*names: str) -> dict[str, str]:
    """The variables of an instance with these alterations; none is the instance as built."""
    return {"ALTERED": ",".join(names)} if names else {}


async def heard(chatter: Chatter, body: str, within: float = HEARD_SECONDS) -> bool:
    """Whether a message reached the user in time."""
    try:
        await chatter.receive("message", within=within, body=body)
    except AssertionError:
        return False
    return True


async def becomes(condition: Callable[[], Awaitable[bool]], within: float) -> bool:
    """Whether it comes to that in time."""
    try:
        await eventually(condition, within=within)
    except AssertionError:
        return False
    return True


async def passed(seconds: float) -> None:
    """That much time is part of the scenario."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() >= until, within=seconds + 5)


async def is_online(instance: Serving, user_id: str) -> bool:
    """What the store says, by REST."""
    async with Rest(instance, "operator", is_admin=True) as rest:
        return bool((await rest.get(f"/api/users/{user_id}/presence")).json()["online"])


async def is_split(instance: Serving) -> bool:
    """The condition of the bus in its health."""
    async with Rest(instance, "ann") as rest:
        conditions = (await rest.get("/api/health")).json()["conditions"]
    return any(each["type"] == "BusLive" and each["reason"] == "Split" for each in conditions)


async def test_dedupe(sqlite_instances: Instances, *, is_built: bool) -> None:
    """The instance dies between commit and ack; the client sends again elsewhere, under the same id."""
    (doomed,) = await sqlite_instances.start("doomed", **altered("die_after_commit"))
    (well,) = await sqlite_instances.start("well", **altered(*[] if is_built else ["no_dedupe"]))
    c = await new_conversation(well, "ann", "ben")
    ann = await Chatter(doomed, "ann").connect()
    with pytest.raises(AssertionError, match="closed with"):
        await ann.say(c, LAST_WORDS, "m1")
    async with Chatter(well, "ann") as again:
        answer = await again.say(c, LAST_WORDS, "m1")
    assert answer["type"] == "ack"
    assert ((answer["seq"], answer["duplicate"]) == (1, True)) == is_built


async def test_sweep_of_dirty_marks(sqlite_instances: Instances, *, is_built: bool) -> None:
    """The instance dies between commit and publication, and the sender never returns."""
    (doomed,) = await sqlite_instances.start("doomed", **altered("die_after_commit"))
    (well,) = await sqlite_instances.start("well", **altered(*[] if is_built else ["no_sweep"]))
    c = await new_conversation(well, "ann", "ben")
    async with Chatter(well, "ben") as ben:
        ann = await Chatter(doomed, "ann").connect()
        with pytest.raises(AssertionError, match="closed with"):
            await ann.say(c, LAST_WORDS)
        assert await heard(ben, LAST_WORDS) == is_built


async def test_a_dirty_mark_for_each_batch(sqlite_instances: Instances, *, is_built: bool) -> None:
    """While it is decided whom one message notifies another one is stored and published; then the instance dies."""
    (well,) = await sqlite_instances.start("well")
    names = ["die_undecided"] if is_built else ["die_undecided", "one_mark"]
    (doomed,) = await sqlite_instances.start("doomed", **altered(*names))
    c = await new_conversation(well, "ann", "ben")
    async with view_of(sqlite_instances) as store:
        ann = await Chatter(doomed, "ann").connect()
        for body in ("first words", LAST_WORDS):
            assert (await ann.say(c, body))["type"] == "ack"
        await eventually(lambda: not doomed.is_running, within=10)

        async def is_recorded() -> bool:
            return len(await store.notifications()) == 2

        assert await becomes(is_recorded, within=2 * HEARD_SECONDS) == is_built


async def test_bulletins(sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool) -> None:
    """Redis is gone: what is said at one instance is heard at the other through the store."""
    names = [] if is_built else ["no_bulletins"]
    one, two = await sqlite_instances.start("one", "two", **altered(*names))
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as ann, Chatter(two, "ben") as ben:
        redis7.kill()
        assert (await ann.say(c, "without Redis"))["type"] == "ack"
        assert await heard(ben, "without Redis") == is_built


async def test_others_at_another_redis(sqlite_instances: Instances, *, is_built: bool) -> None:
    """Each has a Redis that answers, and they are not the same: what is said at one is heard at the other all the same."""
    other_redis = RedisServer(require_binary(SYSTEM))
    try:
        await other_redis.start()
        names = [] if is_built else ["no_split"]
        (one,) = await sqlite_instances.start("one", **altered(*names))
        (two,) = await sqlite_instances.start("two", HOLDFAST_REDIS__URL=other_redis.url, **altered(*names))
        c = await new_conversation(one, "ann", "ben")
        if is_built:
            await asyncio.gather(*(eventually(partial(is_split, instance), within=40) for instance in (one, two)))
        async with Chatter(one, "ann") as ann, Chatter(two, "ben") as ben:
            heard_all = True
            for number in range(4):  # for longer than from one anti-entropy to the next
                assert (await ann.say(c, f"word {number}"))["type"] == "ack"
                heard_all &= await heard(ben, f"word {number}")
                await passed(4)
        assert heard_all == is_built
    finally:
        other_redis.close()


async def test_comparison_after_a_death_at_another_redis(sqlite_instances: Instances, *, is_built: bool) -> None:
    """The instance dies between commit and publication, and its mark is in a Redis where no instance sweeps."""
    other_redis = RedisServer(require_binary(SYSTEM))
    try:
        await other_redis.start()
        (well,) = await sqlite_instances.start("well", **altered(*[] if is_built else ["no_split"]))
        (doomed,) = await sqlite_instances.start("doomed", HOLDFAST_REDIS__URL=other_redis.url, **altered("die_after_commit"))
        c = await new_conversation(well, "ann", "ben")
        await eventually(partial(is_split, doomed), within=40)
        if is_built:
            await eventually(partial(is_split, well), within=40)
        async with Chatter(well, "ben") as ben:
            ann = await Chatter(doomed, "ann").connect()
            with pytest.raises(AssertionError, match="closed with"):
                await ann.say(c, LAST_WORDS)
            assert await heard(ben, LAST_WORDS, within=20) == is_built
    finally:
        other_redis.close()


async def test_comparison_after_a_resubscription(sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool) -> None:
    """The bus was away while a user sent the last message; bulletins, which would cover for it, are off in both runs."""
    names = ["no_bulletins"] if is_built else ["no_bulletins", "no_resync"]
    async with Proxy(redis7.port) as proxy:
        (one,) = await sqlite_instances.start("one")
        (two,) = await sqlite_instances.start("two", HOLDFAST_REDIS__URL=f"redis://{proxy.address}/0", **altered(*names))
        c = await new_conversation(one, "ann", "ben")
        async with Chatter(one, "ann") as ann, Chatter(two, "ben") as ben:
            await proxy.refuse()
            assert (await ann.say(c, "while you were away"))["type"] == "ack"
            await proxy.listen()
            assert await heard(ben, "while you were away") == is_built


async def test_watchdog_of_the_bus(sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool) -> None:
    """The subscribed connection is open and nothing comes over it any more; every other connection is well."""
    names = [] if is_built else ["no_watchdog"]
    async with Proxy(redis7.port, marker=b"SUBSCRIBE") as proxy:
        (one,) = await sqlite_instances.start("one")
        (two,) = await sqlite_instances.start("two", HOLDFAST_REDIS__URL=f"redis://{proxy.address}/0", **altered(*names))
        c = await new_conversation(one, "ann", "ben")
        async with Chatter(one, "ann") as ann, Chatter(two, "ben") as ben:
            await ann.say(c, "before")
            assert await heard(ben, "before")
            await passed(SETTLING_SECONDS)
            proxy.deafen()
            assert (await ann.say(c, "into deaf ears"))["type"] == "ack"
            assert await heard(ben, "into deaf ears", within=3 + HEARD_SECONDS) == is_built


async def test_subscribing_before_reading(sqlite_instances: Instances, *, is_built: bool) -> None:
    """A user sends a single message while another instance begins to follow the conversation."""
    names = ["slow_activation"] if is_built else ["slow_activation", "read_before_subscribe"]
    (one,) = await sqlite_instances.start("one")
    (two,) = await sqlite_instances.start("two", **altered(*names))
    conversations = [await new_conversation(one, "ann", "ben") for _ in range(12)]
    await passed(SETTLING_SECONDS)
    async with Chatter(one, "ann") as ann:
        connecting = asyncio.create_task(Chatter(two, "ben").connect({}))
        for number, c in enumerate(conversations):
            assert (await ann.say(c, f"word {number}"))["type"] == "ack"
            await asyncio.wait([connecting], timeout=0.1)  # spread over the time that it takes
        ben = await connecting
        everything = await asyncio.gather(*(heard(ben, f"word {number}") for number in range(len(conversations))))
        await ben.close()
    assert all(everything) == is_built


async def test_emptied_redis_does_not_make_users_absent(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """Redis is emptied right after a user has connected: it knows of no connection, and the store is asked as well."""
    (one,) = await sqlite_instances.start("one")
    (two,) = await sqlite_instances.start("two")
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as ann, view_of(sqlite_instances) as store, Redis.from_url(redis7.url) as admin:

        async def are_recorded(count: int) -> bool:
            return len(await store.notifications()) == count

        await ann.say(c, "no user is there")
        assert await becomes(partial(are_recorded, 1), within=HEARD_SECONDS)
        async with Chatter(two, "ben"):
            await admin.flushall()
            await ann.say(c, "a user is there")
            assert not await becomes(partial(are_recorded, 2), within=2)


async def test_server_in_the_world(sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool) -> None:
    """Redis starts again from a snapshot with the connection of a user who has left since: the user is notified all the same."""
    grace = {"HOLDFAST_PRESENCE__GRACE_SECONDS": "2"}
    one, two = await sqlite_instances.start("one", "two", **grace, **altered(*[] if is_built else ["no_server_in_world"]))
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as ann, view_of(sqlite_instances) as store, Redis.from_url(redis7.url) as admin:

        async def is_recorded() -> bool:
            return bool(await store.notifications())

        ben = await Chatter(two, "ben").connect()
        await eventually(partial(admin.exists, "connections:ben"))
        await admin.save()
        await ben.close()
        await eventually(partial(_has_no_connection, admin, "ben"))
        await redis7.restart()
        await eventually(partial(_is_away, store, "ben"), within=20)
        await eventually(partial(_is_at, one, "healthy"), within=20)
        await ann.say(c, "you have left")
        assert await becomes(is_recorded, within=HEARD_SECONDS) == is_built


async def _has_no_connection(admin: "Redis", user_id: str) -> bool:
    return not await admin.exists(f"connections:{user_id}")


async def _is_away(store: StoreView, user_id: str) -> bool:
    return not (await store.user(user_id)).get("online")


async def _is_at(instance: Serving, status: str) -> bool:
    async with Rest(instance, "ann") as rest:
        return bool((await rest.get("/api/health")).json()["status"] == status)


async def test_membership_starts_at_its_position(sqlite_instances: Instances, *, is_built: bool) -> None:
    """A conversation is created and written to at once; the recipient's instance takes its time to follow it."""
    (one,) = await sqlite_instances.start("one")
    names = ["slow_activation"] if is_built else ["slow_activation", "no_joined_seq"]
    (slow,) = await sqlite_instances.start("slow", **altered(*names))
    async with Chatter(one, "ann") as ann, Chatter(slow, "ben") as ben:
        c = await new_conversation(one, "ann", "ben")
        assert (await ann.say(c, "the first words"))["type"] == "ack"
        assert await heard(ben, "the first words") == is_built


async def test_second_witness(sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool) -> None:
    """An instance is cut from Redis for longer than its lease; it lives, and its users are online."""
    names = [] if is_built else ["no_second_witness"]
    grace = {"HOLDFAST_PRESENCE__GRACE_SECONDS": "2"}
    async with Proxy(redis7.port) as proxy:
        (one,) = await sqlite_instances.start("one", **grace, **altered(*names))
        (cut,) = await sqlite_instances.start("cut", HOLDFAST_REDIS__URL=f"redis://{proxy.address}/0", **grace)
        await new_conversation(one, "ann", "ben")
        async with Chatter(cut, "ben"):
            await eventually(partial(is_online, one, "ben"))
            await proxy.refuse()
            assert await _stays(partial(is_online, one, "ben"), seconds=28) == is_built


async def test_versions_of_memberships(sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool) -> None:
    """One instance removes a user whose own instance is cut from Redis: 3 s later the user gets no messages any more."""
    names = [] if is_built else ["no_members_version"]
    async with Proxy(redis7.port) as proxy:
        (one,) = await sqlite_instances.start("one")
        (cut,) = await sqlite_instances.start("cut", HOLDFAST_REDIS__URL=f"redis://{proxy.address}/0", **altered(*names))
        c = await new_conversation(one, "ann", "ben", "cyd")
        async with Chatter(one, "ann") as ann, Chatter(cut, "ben") as ben, Chatter(cut, "cyd") as cyd:
            await ann.say(c, "among the three of us")
            await asyncio.gather(*(each.receive("message", body="among the three of us") for each in (ben, cyd)))
            await proxy.refuse()
            async with Rest(one, "ann") as rest:
                assert (await rest.delete(f"/api/conversations/{c}/members/ben")).status_code in (200, 204)
            await passed(3)
            assert (await ann.say(c, "among us"))["type"] == "ack"
            assert await heard(cyd, "among us", within=20)
            assert (not await heard(ben, "among us", within=1)) == is_built


async def test_catching_up(sqlite_instances: Instances, *, is_built: bool) -> None:
    """A user leaves; messages in the grace period are not known to be missed until it is over."""
    names = [] if is_built else ["no_catch_up"]
    (one,) = await sqlite_instances.start("one", HOLDFAST_PRESENCE__GRACE_SECONDS="2", **altered(*names))
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as ann, view_of(sqlite_instances) as store:
        ben = await Chatter(one, "ben").connect()
        await ben.close()
        assert (await ann.say(c, "are you still there?"))["type"] == "ack"

        async def is_recorded() -> bool:
            return bool(await store.notifications())

        assert await becomes(is_recorded, within=2 + 2 * HEARD_SECONDS) == is_built


async def _stays(condition: partial[object], seconds: float) -> bool:
    """Whether it holds each time one looks, for that long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not await condition():
            return False
        await asyncio.sleep(0.1)
    return True


async def test_condition_on_the_predecessor(sqlite_instances: Instances, tmp_path: Path, *, is_built: bool) -> None:
    """The store is put back under a running instance: what comes next is stored without a gap."""
    (one,) = await sqlite_instances.start("one", **altered(*[] if is_built else ["no_predecessor"]))
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as ann:
        for number in range(1, 6):
            assert (await ann.say(c, f"body {number}"))["seq"] == number
        with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db", isolation_level=None)) as connection:
            connection.executescript("DELETE FROM sends WHERE seq > 3; DELETE FROM messages WHERE seq > 3")
        assert (await ann.say(c, "after the restore"))["seq"] == (4 if is_built else 6)
