"""What a user missed is found by what was committed, not by hints: the work of one flag, over SQLite and Firestore."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.cloud.firestore_v1.async_query import AsyncQuery

from holdfast.adapters.firestore import notifications as firestore_notifications
from holdfast.adapters.machine.clock import SystemClock
from holdfast.domain.conversations import LastMessage
from holdfast.domain.ids import ConnectionId, ConversationId, InstanceId, UserId
from holdfast.domain.notifications import CatchUp, notification_id
from holdfast.domain.registry import ConnectionRecord
from holdfast.errors import RedisUnavailable
from holdfast.node.notifications.decision import BELIEVED_SECONDS, Notifications
from holdfast.node.notifications.offline_backfill import OfflineBackfill
from holdfast.ports import Store
from support.appending import change_member, draft, drafts, new_conversation
from support.fake_cluster import FakeRegistry
from support.fixtures_firestore import NewFirestore
from support.notifications_scene import notifications_over

ALICE, BOB, C = UserId("alice"), UserId("bob"), ConversationId("c1")


def now_ms() -> int:
    """The machine's wall clock, which the store's is not far from."""
    return time.time_ns() // 1_000_000


class AdvancedClock(SystemClock):
    """The machine's, as if so many seconds more had passed."""

    def __init__(self) -> None:
        super().__init__()
        self.advanced_seconds = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return super().monotonic() + self.advanced_seconds


def catch_ups_of(
    store: Store, clock: SystemClock | None = None, grace_seconds: float = 15.0, registry: FakeRegistry | None = None
) -> OfflineBackfill:
    """Those of one instance."""
    return OfflineBackfill(store, notifications_of(store), registry or FakeRegistry(), clock or SystemClock(), grace_seconds)


async def look_as_its_own(store: Store) -> None:
    """Of the instance that took Bob offline."""
    catch_ups = catch_ups_of(store)
    catch_ups.look_soon([BOB])
    await catch_ups.look()


def notifications_of(store: Store) -> Notifications:
    """Those of one instance."""
    conversations = SimpleNamespace(
        as_of=lambda c, _: store.read_conversation(c), cached_as_of=lambda *_: None, peek=lambda _: None
    )
    return notifications_over(store, SystemClock(), 3.0, conversations)


async def leave(store: Store, user_id: UserId, seconds_ago: float) -> None:
    """The user was last heard then, and is offline now."""
    heard_ms = now_ms() - int(1000 * seconds_ago)
    await store.add_presence("one:e1", {user_id: heard_ms})
    await store.remove_presence("one:e1", {user_id: heard_ms})


async def recorded(store: Store, user_id: UserId, c: ConversationId, count: int, members: int = 2) -> list[int]:
    """Of the first `count` messages those of which the user is notified."""
    ids = {notification_id(c, user_id, seq, members): seq for seq in range(1, count + 1)}
    names = list(ids)
    found = [each for start in range(0, len(names), 200) for each in await store.recorded(names[start : start + 200])]
    return sorted(ids[each] for each in found)


@pytest.mark.parametrize("hinted", [False, True], ids=["without a hint", "with a hint of long ago"])
async def test_a_message_is_found_whose_conversation_has_no_fresh_hint(store: Store, *, hinted: bool) -> None:
    """Hints are written seconds late, and never by an instance that was killed."""
    names = [ConversationId(f"c{number}") for number in range(1, 13)]
    for each in names:
        await store.create_conversation(new_conversation(each, "alice", "bob", created_at_ms=now_ms() - 3_600_000))
        await store.append(each, 1, [draft("m1")], now_ms())
        if hinted:
            await store.note_activity(each, LastMessage(1, ALICE, "x", now_ms() - 3_600_000))
    await leave(store, BOB, 3600)
    await look_as_its_own(store)
    assert [await recorded(store, BOB, each, 1) for each in names] == [[1]] * 12
    assert await store.catch_ups(10) == []


async def test_all_messages_of_an_absence_are_recorded_however_many(store: Store) -> None:
    """In pages: 1,200 in one grace."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    for start in range(0, 1_200, 200):
        await store.append(C, start + 1, drafts(200, f"m{start}-"), now_ms())
    await leave(store, BOB, 3600)
    await look_as_its_own(store)
    assert await recorded(store, BOB, C, 1_200) == list(range(1, 1_201))


async def test_neither_own_messages_nor_those_before_the_membership_are_recorded(store: Store) -> None:
    """A user who was added in the grace has not missed the history."""
    await store.create_conversation(new_conversation(C, "alice", "cyd"))
    await store.append(C, 1, drafts(3), now_ms())
    await change_member(store, C, BOB, is_member=True, max_members=10, joined_seq=2)
    await store.append(C, 4, [draft("own", sender="bob"), draft("last")], now_ms())
    await leave(store, BOB, 3600)
    await look_as_its_own(store)
    assert await recorded(store, BOB, C, 5, members=3) == [3, 5]


async def test_a_user_who_is_back_is_not_notified(store: Store) -> None:
    """Missed messages are replayed."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    await store.append(C, 1, drafts(3), now_ms())
    await leave(store, BOB, 3600)
    await store.add_presence("two:e1", {BOB: now_ms()})
    await look_as_its_own(store)
    assert await recorded(store, BOB, C, 3) == []
    assert await store.catch_ups(10) == []


async def miss_one_message(store: Store) -> None:
    """Bob is offline; `m1` came in the absence."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    await store.append(C, 1, [draft("m1")], now_ms())
    await leave(store, BOB, 3600)


async def test_a_message_is_found_that_was_filtered_by_a_connection_which_redis_held_for_too_long(store: Store) -> None:
    """Of an instance that is cut from Redis, for longer than a short grace; with the usual one the flag is cleared at once."""
    await miss_one_message(store)
    clock = AdvancedClock()
    catch_ups = catch_ups_of(store, clock, grace_seconds=5.0)
    catch_ups.look_soon([BOB])
    assert await catch_ups.look() == 1.0, "it has to look again"
    assert await recorded(store, BOB, C, 1) == [1], "it looks at once all the same"
    await store.append(C, 2, [draft("m2")], now_ms())  # no record is made: Redis calls Bob connected
    clock.advanced_seconds = 9.0
    await catch_ups.look()
    assert [each.user_id for each in await store.catch_ups(10)] == [BOB], "Redis may still call Bob connected"
    clock.advanced_seconds = 10.0
    await catch_ups.look()
    assert await recorded(store, BOB, C, 2) == [1, 2]
    assert await store.catch_ups(10) == []


@pytest.mark.parametrize("is_away", [False, True], ids=["Redis has the connection", "Redis is away"])
async def test_a_message_that_redis_filtered_after_its_return_is_found_soon(store: Store, *, is_away: bool) -> None:
    """A user may come back before Redis can call none connected of whom it should not: the message was missed all the same."""
    await miss_one_message(store)
    clock, registry = AdvancedClock(), FakeRegistry()
    catch_ups = catch_ups_of(store, clock, 5.0, registry)
    catch_ups.look_soon([BOB])
    assert await catch_ups.look() == 1.0
    if is_away:
        registry.fail("connected", RedisUnavailable("away"))
    else:
        registry.registered["k1"] = ConnectionRecord(BOB, ConnectionId("k1"), InstanceId("one"), "")
    assert await catch_ups.look() == 1.0
    await store.append(C, 2, [draft("m2")], now_ms())  # no record is made: Redis calls Bob connected
    registry.registered.clear()
    clock.advanced_seconds = BELIEVED_SECONDS
    await catch_ups.look()
    assert await recorded(store, BOB, C, 2) == [1], "another instance may still believe an answer of before"
    clock.advanced_seconds = 2 * BELIEVED_SECONDS
    await catch_ups.look()
    assert await recorded(store, BOB, C, 2) == [1, 2]
    assert [each.user_id for each in await store.catch_ups(10)] == [BOB], "an older copy of Redis may still call Bob connected"
    await catch_ups.look()
    assert registry.calls["connected"] == 2, "Redis is asked until it calls Bob connected nowhere"


@pytest.mark.parametrize(("grace_seconds", "left_seconds"), [(5.0, 9.5), (15.0, 5.0)], ids=["short grace", "usual grace"])
async def test_a_flag_of_another_instance_is_left_to_it_for_some_seconds(
    store: Store, grace_seconds: float, left_seconds: float
) -> None:
    """Each look costs a read of every conversation of the user; where the other instance has died, it is made after that."""
    await miss_one_message(store)
    clock = AdvancedClock()
    others = catch_ups_of(store, clock, grace_seconds)
    assert left_seconds - 1.0 < await others.look() <= left_seconds, "when it has to look again"
    assert await recorded(store, BOB, C, 1) == []
    clock.advanced_seconds = left_seconds
    await others.look()
    assert await recorded(store, BOB, C, 1) == [1]
    assert await store.catch_ups(10) == []


async def test_a_flag_that_a_sweep_saw_first_is_looked_through_at_once_all_the_same(store: Store) -> None:
    """A sweep may read the flag between its write and the moment when this instance hears that the write is done."""
    await miss_one_message(store)
    catch_ups = catch_ups_of(store, grace_seconds=5.0)
    await catch_ups.look()
    assert await recorded(store, BOB, C, 1) == []
    catch_ups.look_soon([BOB])
    await catch_ups.look()
    assert await recorded(store, BOB, C, 1) == [1]


class _Visited:
    """A store whose user comes back, and leaves again, after the flags were read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        flags = await self._store.catch_ups(limit)
        await leave(self._store, BOB, -1)
        return flags

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


async def test_what_a_user_was_shown_between_two_absences_is_not_recorded(store: Store) -> None:
    """A flag of the first absence that is looked through when the second one has begun."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    await leave(store, BOB, 3600)
    await store.append(C, 1, drafts(3), now_ms())
    await look_as_its_own(cast("Store", _Visited(store)))
    assert await recorded(store, BOB, C, 3) == []
    assert len(await store.catch_ups(10)) == 1, "the second absence is still to be looked through"


async def test_a_large_conversation_is_told_once_by_its_last_message(store: Store) -> None:
    """Whatever the user wrote after it."""
    await store.create_conversation(new_conversation(C, "alice", "bob", *(f"user-{n}" for n in range(99))))
    await store.append(C, 1, drafts(50), now_ms())
    await store.append(C, 51, [draft(f"own-{n}", sender="bob") for n in range(30)], now_ms())
    await leave(store, BOB, 3600)
    await look_as_its_own(store)
    (told,) = await store.claim_notifications(10, 60)
    assert (told.notification_id, told.seq) == ("c1:bob", 50)


async def test_a_message_that_a_newcomer_s_first_moments_missed_is_recorded_by_the_second_look(store: Store) -> None:
    """For the newcomer alone, and only what came after the addition."""
    await store.create_conversation(new_conversation(C, "alice", "cyd"))
    await store.append(C, 1, drafts(30), now_ms())
    await change_member(store, C, BOB, is_member=True, max_members=10, joined_seq=28)
    await notifications_of(store)._look_after(C, BOB, 28)
    assert await recorded(store, BOB, C, 30, members=3) == [29, 30]
    assert await recorded(store, UserId("cyd"), C, 30, members=3) == []


async def test_the_second_look_records_nothing_that_the_user_was_shown(store: Store) -> None:
    """A user who came and left meanwhile has seen what was committed before."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    await store.append(C, 1, drafts(3), now_ms())
    await leave(store, BOB, -3600)
    await notifications_of(store)._look_after(C, BOB, 0)
    assert await recorded(store, BOB, C, 3) == []


async def test_flags_are_read_in_pages_up_to_the_limit(new_firestore: NewFirestore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mass departure may leave 10,000: an instance that cannot read them within one deadline would look no more."""
    monkeypatch.setattr(firestore_notifications, "FLAGS_PAGE", 2)
    store, sizes, get = await new_firestore(), list[int](), AsyncQuery.get

    async def noting(query: AsyncQuery, **how: Any) -> Any:
        found = await get(query, **how)
        sizes.append(len(found))
        return found

    users = [UserId(f"user-{number}") for number in range(5)]
    for user_id in users:
        await leave(store, user_id, 60)
    monkeypatch.setattr(AsyncQuery, "get", noting)
    for limit in range(1, 7):
        assert [each.user_id for each in await store.catch_ups(limit)] == users[:limit]
    assert max(sizes) == 2
