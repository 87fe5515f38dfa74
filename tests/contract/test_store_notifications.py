"""The store's contract, offline notifications: made once, claimed by one at a time. Over SQLite and Firestore."""

import asyncio
import time
from dataclasses import replace
from functools import partial

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import CatchUp, Notification, notification_id
from holdfast.ports import MessageStore
from support.appending import draft, new_conversation
from support.eventually import eventually
from support.fixtures_store import NewStore

ALICE, BOB, C = UserId("alice"), UserId("bob"), ConversationId("c1")


def record(seq: int, user_id: UserId = BOB) -> Notification:
    """What tells bob of alice's message."""
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

    await eventually(again, within=10)


async def test_what_became_of_a_record_is_kept(store: MessageStore) -> None:
    """Sent and dead ones are not due any more; a failed one is, after its pause."""
    await store.create_notifications([record(1), record(2), record(3)])
    assert len(await store.claim_notifications(10, 60)) == 3
    await store.mark_notification(record(1).notification_id, "sent")
    await store.mark_notification(record(2).notification_id, "dead")
    await store.mark_notification(record(3).notification_id, "pending", 0.3)
    claimed: list[Notification] = []

    async def due() -> bool:
        claimed.extend(await store.claim_notifications(10, 60))
        return bool(claimed)

    await eventually(due, within=10)
    assert [(each.seq, each.attempts) for each in claimed] == [(3, 2)]


async def test_an_answer_that_comes_after_its_claim_changes_nothing(new_store: NewStore) -> None:
    """The other's claim is the one that counts."""
    slow, quick = await new_store(), await new_store()
    await slow.create_notifications([record(1)])
    assert await slow.claim_notifications(1, 0.1)

    async def taken() -> bool:
        return bool(await quick.claim_notifications(1, 0.2))

    await eventually(taken, within=10)
    await slow.mark_notification(record(1).notification_id, "dead")
    await eventually(taken, within=10)


async def test_a_cleared_record_can_be_made_anew(store: MessageStore) -> None:
    """In large conversations, once the user has read; clearing what is not there is nothing."""
    await store.create_notifications([record(1)])
    await store.clear_notification(record(1).notification_id)
    await store.clear_notification(record(1).notification_id)
    assert [each.seq for each in await store.create_notifications([replace(record(1), seq=9)])] == [9]


async def test_who_goes_offline_is_flagged_in_the_same_write(store: MessageStore) -> None:
    """From when they were last heard; who has another entry is not offline. Clearing asks for the very flag."""
    now_ms = time.time_ns() // 1_000_000
    await store.add_presence("one:e1", {ALICE: now_ms, BOB: now_ms})
    await store.add_presence("two:e1", {BOB: now_ms})
    await store.remove_presence("one:e1", {ALICE: now_ms - 7_000, BOB: now_ms})
    assert await store.catch_ups(10) == [CatchUp(ALICE, now_ms - 7_000)]
    await store.finish_catch_up(CatchUp(ALICE, now_ms))
    assert len(await store.catch_ups(10)) == 1
    await store.finish_catch_up(CatchUp(ALICE, now_ms - 7_000))
    assert await store.catch_ups(10) == []


async def test_a_flag_that_is_still_set_keeps_its_older_beginning(store: MessageStore) -> None:
    """Away, back, and away again before anybody looked: both absences are looked through, and no end clears the other."""
    now_ms = time.time_ns() // 1_000_000
    await store.add_presence("one:e1", {ALICE: now_ms})
    await store.remove_presence("one:e1", {ALICE: now_ms - 9_000})
    first = await store.catch_ups(10)
    await store.add_presence("one:e1", {ALICE: now_ms})
    await store.remove_presence("one:e1", {ALICE: now_ms})
    (second,) = await store.catch_ups(10)
    assert second.since_ms < now_ms - 9_000 + 1
    await store.finish_catch_up(first[0])
    assert await store.catch_ups(10) == [second]


async def test_messages_since_are_those_committed_by_the_stores_own_clock(store: MessageStore) -> None:
    """Whatever the committing instance's clock said; ascending, the last ones when there are more than asked for."""
    await store.create_conversation(new_conversation(C, "alice", "bob"))
    await store.append(C, 1, [draft("old")], time.time_ns() // 1_000_000)
    before_ms = time.time_ns() // 1_000_000
    await eventually(partial(_is_later_than, before_ms + 300))
    await store.append(C, 2, [draft(f"new{n}") for n in range(5)], time.time_ns() // 1_000_000)
    assert [message.seq for message in await store.messages_since(C, before_ms + 250, 100)] == [2, 3, 4, 5, 6]
    assert [message.seq for message in await store.messages_since(C, before_ms + 250, 2)] == [5, 6]
    assert await store.messages_since(ConversationId("none"), 0, 10) == []


def _is_later_than(ms: int) -> bool:
    return time.time_ns() // 1_000_000 > ms
