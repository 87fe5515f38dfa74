"""Mechanisms whose lack no seed shows: the same scenario holds over instances as built and breaks without that mechanism alone.

All others are switched off in `tests/simulation/test_teeth.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from redis.asyncio import Redis

from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.drills.local.proxy import Proxy
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances
from support.redis_server import RedisServer
from support.store_view import view_of

pytestmark = pytest.mark.long

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


@pytest.mark.parametrize("altered_as", ["one_mark", "mark_ends_with_publication"])
async def test_a_mark_for_each_batch_until_it_is_decided(sqlite_instances: Instances, altered_as: str, *, is_built: bool) -> None:
    """While it is decided whom one message notifies another one is stored and published; then the instance dies."""
    (well,) = await sqlite_instances.start("well")
    names = ["die_undecided"] if is_built else ["die_undecided", altered_as]
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
