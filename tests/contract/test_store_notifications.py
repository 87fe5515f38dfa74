"""The store's contract, offline notifications: made once, claimed by one at a time. Over SQLite and Firestore."""

import asyncio
import itertools
import time
from dataclasses import replace

import pytest

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.domain.notifications import CatchUp, Notification, PushOutcome, notification_id
from holdfast.ports import Store
from support.appending import NOW_MS, draft, new_conversation
from support.eventually import eventually
from support.fixtures_store import NewStore
from support.wrong_clock import WrongClock

BEATS = itertools.count(1)  # Firestore's time of a document moves only when the document changes
ALICE, BOB, C = UserId("alice"), UserId("bob"), ConversationId("c1")


def record(seq: int, user_id: UserId = BOB) -> Notification:
    """The record that tells bob of alice's message."""
    return Notification(notification_id(C, user_id, seq, 2), user_id, C, seq, ALICE, f"text {seq}", time.time_ns() // 1_000_000)


async def test_a_record_is_made_once_however_many_ask_for_it(new_store: NewStore) -> None:
    """Of ten at once exactly one made each; later ones make none and change nothing."""
    one, two = await new_store(), await new_store()
    asked = await asyncio.gather(*(store.create_notifications([record(1), record(2)]) for store in (one, two) for _ in range(5)))
    made = sorted(each.notification_id for created in asked for each in created)
    assert made == [record(1).notification_id, record(2).notification_id]
    assert [each.seq for each in await two.create_notifications([record(2), record(3)])] == [3]
    ids = [record(seq).notification_id for seq in (1, 3, 4)]
    assert await one.recorded(ids) == set(ids[:2])
    claimed = await one.claim_notifications(10, 60)
    assert sorted(each.seq for each in claimed) == [1, 2, 3]


async def test_a_record_is_claimed_by_one_and_counts_its_attempts(new_store: NewStore) -> None:
    """Who died while pushing has used an attempt up; the claim ends by itself."""
    one, two = await new_store(), await new_store()
    await one.create_notifications([record(seq) for seq in range(1, 9)])
    claims = await asyncio.gather(*(store.claim_notifications(8, 0.5) for store in (one, two, one, two)))
    seqs = sorted(each.seq for claimed in claims for each in claimed)
    assert seqs == sorted(set(seqs)), "claimed twice"
    found: dict[int, int] = {each.seq: each.attempts for claimed in claims for each in claimed}
    assert set(found.values()) <= {1}

    async def again() -> bool:
        found.update({each.seq: each.attempts for each in await two.claim_notifications(8, 60)})
        return sorted(found) == list(range(1, 9)) and 2 in found.values()

    await eventually(again)


async def test_what_became_of_a_record_is_kept(store: Store) -> None:
    """Sent and dead ones are not due any more; a failed one is, after its pause."""
    await store.create_notifications([record(1), record(2), record(3)])
    assert len(await store.claim_notifications(10, 60)) == 3
    sent, dead, failed = (record(seq).notification_id for seq in (1, 2, 3))
    outcomes = [PushOutcome(sent, "sent"), PushOutcome(dead, "dead"), PushOutcome(failed, "pending", 0.3)]
    await store.mark_notifications(outcomes)
    await store.mark_notifications(outcomes)
    claimed: list[Notification] = []

    async def due() -> bool:
        claimed.extend(await store.claim_notifications(10, 60))
        return bool(claimed)

    await eventually(due)
    assert [(each.seq, each.attempts) for each in claimed] == [(3, 2)]


async def test_an_answer_that_comes_after_its_claim_changes_nothing(new_store: NewStore) -> None:
    """The other's claim is the one that counts. Answers that come together with it do count."""
    slow, quick = await new_store(), await new_store()
    first, second = record(1).notification_id, record(2).notification_id
    await slow.create_notifications([record(1)])
    assert await slow.claim_notifications(1, 0.1)

    async def taken() -> bool:
        return bool(await quick.claim_notifications(2, 60))

    await eventually(taken)
    await slow.create_notifications([record(2)])
    assert [each.seq for each in await slow.claim_notifications(2, 60)] == [2]
    await slow.mark_notifications([PushOutcome(first, "dead"), PushOutcome(second, "pending")])
    await eventually(taken)
    await quick.mark_notifications([PushOutcome(first, "pending"), PushOutcome(second, "dead")])
    await eventually(taken)
    assert await quick.claim_notifications(2, 60) == []


async def test_a_cleared_record_can_be_made_anew(store: Store) -> None:
    """In large conversations, once the user has read; clearing what is not there is nothing."""
    await store.create_notifications([record(1)])
    await store.clear_notification(record(1).notification_id)
    await store.clear_notification(record(1).notification_id)
    assert [each.seq for each in await store.create_notifications([replace(record(1), seq=9)])] == [9]


async def test_who_goes_offline_is_flagged_in_the_same_write(store: Store) -> None:
    """From when they were last heard; a user with another entry is not offline. Clearing asks for the very flag."""
    now_ms = time.time_ns() // 1_000_000
    await store.add_presence("one:e1", {ALICE: now_ms - 7_000, BOB: now_ms})
    await store.add_presence("two:e1", {BOB: now_ms})
    await store.remove_presence("one:e1", {ALICE: now_ms, BOB: now_ms})
    assert await store.catch_ups(10) == [CatchUp(ALICE, now_ms)]
    await store.finish_catch_up(CatchUp(ALICE, now_ms - 1))
    assert len(await store.catch_ups(10)) == 1
    await store.finish_catch_up(CatchUp(ALICE, now_ms))
    assert await store.catch_ups(10) == []


async def test_a_flag_that_is_still_set_begins_anew_with_the_later_absence(store: Store) -> None:
    """Away, back, and away again before the flag's work was done: what the first absence missed was shown in between."""
    now_ms = time.time_ns() // 1_000_000
    await store.add_presence("one:e1", {ALICE: now_ms - 20_000})
    await store.remove_presence("one:e1", {ALICE: now_ms - 9_000})
    (first,) = await store.catch_ups(10)
    await store.add_presence("one:e1", {ALICE: now_ms - 5_000})
    await store.remove_presence("one:e1", {ALICE: now_ms - 2_000})
    second = CatchUp(ALICE, now_ms - 2_000)
    assert (first.since_ms, await store.catch_ups(10)) == (now_ms - 9_000, [second])
    await store.finish_catch_up(first)
    assert await store.catch_ups(10) == [second]


async def test_two_absences_from_the_same_moment_are_two_flags(store: Store) -> None:
    """An instance that looks through the first one does not clear the second one."""
    now_ms = time.time_ns() // 1_000_000
    flags = []
    for _ in range(2):
        await store.add_presence("one:e1", {ALICE: now_ms})
        await store.remove_presence("one:e1", {ALICE: now_ms})
        flags += await store.catch_ups(10)
    await store.finish_catch_up(flags[0])
    assert await store.catch_ups(10) == [flags[1]]


async def test_an_absence_begins_when_the_user_was_last_heard_at_any_instance(store: Store) -> None:
    """Of two instances at which a user was, the one that removes its entry last may have heard the user long before."""
    now_ms = time.time_ns() // 1_000_000
    await store.add_presence("one:e1", {ALICE: now_ms - 60_000})
    await store.add_presence("two:e1", {ALICE: now_ms - 50_000})
    await store.remove_presence("two:e1", {ALICE: now_ms - 5_000})
    await store.remove_presence("one:e1", {ALICE: now_ms - 55_000})
    assert await store.catch_ups(10) == [CatchUp(ALICE, now_ms - 5_000)]


async def store_time(store: Store) -> int:
    """The present, by the store's own clock."""
    return (await store.write_bulletin(Bulletin(InstanceId("clock"), Epoch(f"e{next(BEATS)}"), 1, "ok"))).at_ms


async def later(store: Store) -> int:
    """A time that everything before has surely passed and nothing later has, by the store's own clock."""
    before_ms = await store_time(store)

    async def has_passed() -> bool:
        return await store_time(store) > before_ms + 200

    await eventually(has_passed)
    return before_ms + 100


async def test_messages_since_are_those_committed_by_the_stores_own_clock(store: Store) -> None:
    """Whatever the committing instance's clock said; ascending, the last ones when there are more than asked for, in pages."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    await store.append(C, 1, [draft("old")], NOW_MS)
    since_ms = await later(store)
    await store.append(C, 2, [draft(f"new{n}") for n in range(5)], NOW_MS - 3_600_000)

    async def seqs(since_ms: int, limit: int, before_seq: int | None = None) -> list[int]:
        found = await store.messages_since(C, since_ms, limit, before_seq)
        assert all(each.at_ms >= since_ms for each in found)
        return [each.message.seq for each in found]

    assert await seqs(since_ms, 100) == [2, 3, 4, 5, 6]
    assert await seqs(since_ms, 2) == [5, 6]
    assert await seqs(since_ms, 2, 5) == [3, 4]
    assert await seqs(since_ms, 2, 3) == [2]
    assert await seqs(await later(store), 100) == []
    assert await store.messages_since(ConversationId("none"), 0, 10) == []


async def test_messages_say_when_the_store_committed_them(store: Store) -> None:
    """By the store's clock, whatever the committing instance's said: how long a delivery took is counted from it."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    before_ms = await later(store)
    await store.append(C, 1, [draft("one"), draft("two")], NOW_MS - 3_600_000)
    after_ms = await later(store)
    pages = (await store.read_messages(C, after_seq=0, limit=10), await store.read_messages(C, limit=10))
    settled = (await store.settle(C, [draft("one").key])).sends.values()
    for each in (*pages[0], *pages[1], *(send.message for send in settled)):
        assert before_ms <= each.committed_at_ms <= after_ms


@pytest.mark.parametrize("hint", [0, 1, 2, 9], ids=["none", "older", "right", "beyond the end"])
async def test_an_active_conversation_is_found_whatever_the_hint_says(store: Store, hint: int) -> None:
    """No decision rests on a hint."""
    quiet, empty, none = (ConversationId(name) for name in ("quiet", "empty", "none"))
    for each in (C, quiet, empty):
        await store.create_conversation(new_conversation(each, "alice", "bob"))
    await store.append(quiet, 1, [draft("old"), draft("older")], NOW_MS)
    await store.append(C, 1, [draft("old")], NOW_MS)
    since_ms = await later(store)
    await store.append(C, 2, [draft("new")], NOW_MS - 3_600_000)
    assert await store.active_since(since_ms, {quiet: hint, C: hint, empty: hint, none: hint}) == {C: 2}
    assert await store.active_since(0, {quiet: hint, C: hint, empty: hint, none: hint}) == {quiet: 2, C: 2}


@pytest.mark.parametrize("ahead_seconds", [3_600, -3_600], ids=["ahead", "behind"])
async def test_processes_on_a_sqlite_file_have_one_clock(new_sqlite: NewStore, ahead_seconds: float) -> None:
    """A wrong wall clock of one process neither hides messages from the others nor makes old ones look new."""
    right, wrong = await new_sqlite(), await new_sqlite(clock=WrongClock(ahead_seconds))
    await right.create_conversation(new_conversation(C, "alice", "bob"))
    assert abs(await store_time(right) - await store_time(wrong)) < 10_000
    await wrong.append(C, 1, [draft("old")], WrongClock(ahead_seconds).now_ms())
    since_ms = await later(right)
    await wrong.append(C, 2, [draft("new")], WrongClock(ahead_seconds).now_ms())
    for store in (right, wrong):
        assert [each.message.seq for each in await store.messages_since(C, since_ms, 10)] == [2]
    await right.create_notifications([record(1)])
    assert [each.seq for each in await wrong.claim_notifications(1, 60)] == [1]
    assert await right.claim_notifications(1, 60) == []
