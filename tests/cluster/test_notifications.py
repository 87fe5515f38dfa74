"""Offline notifications: one for each message and each user who is away, none for other users, whatever happens to instances."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances
from support.redis_server import RedisServer
from support.store_view import StoreView, view_of

GRACE = {"HOLDFAST_PRESENCE__GRACE_SECONDS": "3"}


async def told(store: StoreView, c: str) -> list[tuple[str, int]]:
    """The users notified, by message."""
    return sorted((r["userId"], r["seq"]) for r in (await store.notifications()).values() if r["conversationId"] == c)


def are_told(store: StoreView, c: str, *expected: tuple[str, int]) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Whether exactly these are."""

    async def check() -> bool:
        return await told(store, c) == sorted(expected)

    return check


async def a_moment(seconds: float = 1) -> None:
    """Longer than the store's round trip: a message just before a user was last heard may be notified once more."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > until)


async def is_offline(store: StoreView, user_id: str) -> bool:
    """What the store says."""
    return not (await store.user(user_id)).get("online")


async def test_each_message_notifies_each_who_is_away_once(instances: Instances) -> None:
    """Not the sender, not a user connected at another instance; repeated sends and two instances make no second record."""
    a, b = await instances.start("one", "two")
    c = await new_conversation(a, "ann", "ben", "cyd", "dan")
    async with Chatter(a, "ann") as ann, Chatter(b, "ben") as ben, view_of(instances) as store:
        await asyncio.gather(*(ann.say(c, f"from ann {n}", f"m{n}") for n in range(3)), ben.say(c, "from ben"))
        async with Rest(b, "ann") as rest:
            body = {"client_message_id": "m1", "body": "from ann 1"}
            assert (await rest.post(f"/api/conversations/{c}/messages", json=body)).status_code == 200
        await eventually(are_told(store, c, *((user, seq) for user in ("cyd", "dan") for seq in (1, 2, 3, 4))))
        async with Rest(a, "cyd") as rest:
            assert (
                await rest.post(f"/api/conversations/{c}/messages", json={"client_message_id": "x", "body": "by REST"})
            ).status_code == 201
        await eventually(lambda: ben.seqs(c) == [1, 2, 3, 4, 5])
        await eventually(are_told(store, c, *((u, s) for u in ("cyd", "dan") for s in (1, 2, 3, 4)), ("dan", 5)))


async def test_who_comes_back_within_the_grace_is_not_notified_and_who_does_not_is(instances: Instances) -> None:
    """A message in the grace is not known to be missed until the grace is over; then it is notified, and only it."""
    (a,) = await instances.start("one", **GRACE)
    c = await new_conversation(a, "ann", "ben", "cyd")
    async with Chatter(a, "ann") as ann, view_of(instances) as store:
        ben, cyd = await Chatter(a, "ben").connect(), await Chatter(a, "cyd").connect()
        await ann.say(c, "seen by all")
        await asyncio.gather(*(each.receive("message", seq=1) for each in (ben, cyd)))
        await a_moment()
        await asyncio.gather(ben.close(), cyd.close())
        await ann.say(c, "seen by no user")
        async with Chatter(a, "ben") as back:
            await back.ask(type="ping")
            await eventually(are_told(store, c, ("cyd", 2)))
            assert await is_offline(store, "cyd")
            await ann.say(c, "after")
            await eventually(are_told(store, c, ("cyd", 2), ("cyd", 3)))


async def test_a_message_in_the_grace_is_recorded_although_its_instance_was_killed_right_after_the_ack(
    sqlite_instances: Instances,
) -> None:
    """The hint of the conversation's activity, which is written a second later, died with the instance."""
    (well,) = await sqlite_instances.start("well", **GRACE)
    (doomed,) = await sqlite_instances.start("doomed", **(GRACE | {"ALTERED": "no_hints"}))
    conversations = [await new_conversation(well, "ann", "ben") for _ in range(10)]
    async with view_of(sqlite_instances) as store:
        ann, ben = await Chatter(doomed, "ann").connect(), await Chatter(well, "ben").connect()
        await a_moment(4)  # the hints of the creation are older than the absence
        await ben.close()
        await asyncio.gather(*(ann.say(c, "into the grace") for c in conversations))
        await a_moment(0.2)  # they are published, and their marks are gone
        doomed.kill()
        for c in conversations:
            await eventually(are_told(store, c, ("ben", 1)))


@pytest.mark.long
async def test_a_drain_notifies_only_who_does_not_come_back(sqlite_instances: Instances) -> None:
    """Who left at its beginning missed what came during the rest of it."""
    leaving, well = await sqlite_instances.start("leaving", "well", **(GRACE | {"HOLDFAST_DRAIN__WINDOW_SECONDS": "2"}))
    c = await new_conversation(well, "ann", "ben", "cyd")
    async with Chatter(well, "ann") as ann, view_of(sqlite_instances) as store:
        ben, cyd = await Chatter(leaving, "ben").connect(), await Chatter(leaving, "cyd").connect()
        await ann.say(c, "before")
        await asyncio.gather(*(each.receive("message", seq=1) for each in (ben, cyd)))
        await a_moment()
        leaving.signal(signal.SIGTERM)
        await asyncio.gather(ben.closed(), cyd.closed())
        async with Chatter(well, "ben"):
            await ann.say(c, "after their close")
            await eventually(lambda: not leaving.is_running)
            await eventually(are_told(store, c, ("cyd", 2)), within=45)


async def test_without_redis_the_store_decides(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """A user connected at another instance is online there; a user without any connection is notified."""
    a, b = await sqlite_instances.start("one", "two")
    c = await new_conversation(a, "ann", "ben", "cyd")
    async with Chatter(a, "ann") as ann, Chatter(b, "ben") as ben, view_of(sqlite_instances) as store:
        redis7.kill()
        await ann.say(c, "without Redis")
        await eventually(are_told(store, c, ("cyd", 1)))
        await ben.receive("message", seq=1)
        assert await told(store, c) == [("cyd", 1)]


@pytest.mark.long
async def test_a_large_conversation_notifies_once_until_it_is_read(sqlite_instances: Instances) -> None:
    """101 members: the first message makes a record; later ones none, until the user has read."""
    (a,) = await sqlite_instances.start("one", **(GRACE | {"HOLDFAST_LIMITS__MEMBERS": "200"}))
    others = [f"user-{n}" for n in range(100)]
    c = await new_conversation(a, "ann", *others)
    async with Chatter(a, "ann") as ann, view_of(sqlite_instances) as store:
        for n in (1, 2, 3):
            await ann.say(c, f"message {n}")
        await eventually(lambda: _count_is(store, c, 100))
        async with Chatter(a, "user-7") as reader:
            await reader.ask(type="read", conversation_id=c, message_id=f"{3:012d}")
            await eventually(lambda: _count_is(store, c, 99))
            await ann.say(c, "seen by user-7")
            await reader.receive("message", seq=4)
            await a_moment()
        await eventually(partial(is_offline, store, "user-7"))
        await ann.say(c, "not seen by user-7")
        await eventually(lambda: _count_is(store, c, 100))
        assert ("user-7", 5) in await told(store, c)


async def test_a_large_conversation_notifies_again_after_a_read_at_another_instance(sqlite_instances: Instances) -> None:
    """A user who is away reads by REST elsewhere: the committing instance remembers the record that the read has cleared."""
    a, b = await sqlite_instances.start("one", "two", **(GRACE | {"HOLDFAST_LIMITS__MEMBERS": "200"}))
    c = await new_conversation(a, "ann", *(f"user-{n}" for n in range(100)))
    async with Chatter(a, "ann") as ann, view_of(sqlite_instances) as store:
        await ann.say(c, "first")
        await eventually(lambda: _count_is(store, c, 100))
        async with Chatter(b, "user-8"), Rest(b, "user-7") as rest:
            assert (await rest.post(f"/api/conversations/{c}/messages/{1:012d}/read")).status_code == 200
            await eventually(lambda: _count_is(store, c, 99))
        await ann.say(c, "right after the read")

        async def is_told_again() -> bool:
            return ("user-7", 2) in await told(store, c)

        await eventually(is_told_again, within=12)


async def test_a_member_who_is_added_while_away_is_notified_of_the_next_message(sqlite_instances: Instances) -> None:
    """Whichever instance commits it, and what it has heard of the addition."""
    a, b = await sqlite_instances.start("one", "two", **GRACE)
    c = await new_conversation(a, "ann", "ben")
    async with Chatter(a, "ann") as ann, Chatter(b, "ben") as ben, Rest(b, "ben") as rest, view_of(sqlite_instances) as store:
        await ann.say(c, "before")
        newcomers = [f"new-{n}" for n in range(10)]
        for number, user in enumerate(newcomers):
            added, _ = await asyncio.gather(rest.put(f"/api/conversations/{c}/members/{user}"), ann.say(c, f"during {number}"))
            assert added.status_code == 201
            await ann.say(c, f"after {number}")
        last = ben.seqs(c)[-1]
        tails = {user: 3 + 2 * number for number, user in enumerate(newcomers)}
        due = {(user, seq) for user, first in tails.items() for seq in range(first, last + 1)}

        async def are_told() -> bool:
            return due <= set(await told(store, c))

        await eventually(are_told)


async def _count_is(store: StoreView, c: str, count: int) -> bool:
    return len(await told(store, c)) == count
