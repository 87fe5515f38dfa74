"""The store's contract, failures: deadlines that hold, unknown outcomes that are reported, and changes that survive a lost
reply."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.firestore.client import MAX_UNDER_WAY
from holdfast.adapters.sqlite import presence
from holdfast.adapters.sqlite.presence import change
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import LastMessage
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, RunId, UserId
from holdfast.domain.presence import PresenceChange
from holdfast.errors import StoreBusy, StoreConflict, StoreTimeout, StoreUnavailable
from holdfast.ports import Store
from support.appending import NOW_MS, begin, change_member, draft, drafts, new_conversation
from support.eventually import eventually
from support.fixtures_firestore import NewFirestore, Way
from support.fixtures_store import TIMEOUT_SECONDS, NewStore, RecordingWatch

C = ConversationId("c1")
ALICE, BOB = UserId("alice"), UserId("bob")
ENTRY = "one:e1"
SHORT_SECONDS = 1.0

Call = Callable[[Store], Awaitable[object]]

STANDING = Bulletin(InstanceId("one"), Epoch("e0"), 1, "ok", version="2026-01-01T00:00:00Z")
WRITES: dict[str, Call] = {
    "append": lambda store: store.append(C, 1, drafts(2), NOW_MS),
    "create_conversation": lambda store: store.create_conversation(new_conversation("new", "alice")),
    "update_conversation": lambda store: store.update_conversation(C, title="x", metadata_json=None),
    "change_members": lambda store: change_member(store, C, BOB, is_member=True, max_members=9),
    "note_activity": lambda store: store.note_activity(C, LastMessage(1, ALICE, "x", NOW_MS)),
    "advance_cursors": lambda store: store.advance_cursors(C, {ALICE: 1}, {1: [ALICE]}),
    "add_presence": lambda store: store.add_presence(ENTRY, dict.fromkeys([ALICE, BOB], NOW_MS)),
    "remove_presence": lambda store: store.remove_presence(ENTRY, dict.fromkeys([ALICE, BOB], NOW_MS)),
    "write_bulletin": lambda store: store.write_bulletin(Bulletin(InstanceId("one"), Epoch("e1"), 1, "ok")),
    "declare_dead": lambda store: store.declare_dead(STANDING),
    "remove_bulletin": lambda store: store.remove_bulletin(STANDING),
    "revoke": lambda store: store.revoke(ALICE),
    "revoke_token": lambda store: store.revoke_token("alice.1f", NOW_MS),
    "block": lambda store: store.block(ALICE, UserId("bob"), 5),
    "unblock": lambda store: store.unblock(ALICE, UserId("bob")),
    "renew": lambda store: store.renew(),
}
READS: dict[str, Call] = {
    "generation": lambda store: store.generation(),
    "settle": lambda store: store.settle(C, [draft("m1").key]),
    "heads": lambda store: store.heads({C: 0}),
    "read_messages": lambda store: store.read_messages(C, limit=5),
    "read_conversation": lambda store: store.read_conversation(C),
    "memberships_of": lambda store: store.memberships_of(ALICE),
    "page_conversations": lambda store: store.page_conversations(ALICE, 5, None),
    "read_cursors": lambda store: store.read_cursors(C),
    "blocks_of": lambda store: store.blocks_of(ALICE),
    "blockers_of": lambda store: store.blockers_of(ALICE, 5),
    "blockers_among": lambda store: store.blockers_among(ALICE, [UserId("bob")]),
    "cursors_of": lambda store: store.cursors_of(ALICE, [C]),
    "read_presence": lambda store: store.read_presence([ALICE]),
    "users_on": lambda store: store.users_on(ENTRY, 5),
    "read_bulletins": lambda store: store.read_bulletins(),
    "find_bulletin": lambda store: store.find_bulletin(RunId("one:e1")),
    "read_revocations": lambda store: store.read_revocations(0),
    "read_revoked_tokens": lambda store: store.read_revoked_tokens(0, 5),
}


@contextmanager
def frozen(firestore: NewFirestore) -> Iterator[None]:
    """Inside, Firestore answers no call."""
    firestore.freeze()
    try:
        yield
    finally:
        firestore.thaw()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds SQLite's write lock inside."""
    hold = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read(); c.execute('ROLLBACK')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate("")


async def assert_all_time_out(store: Store, calls: dict[str, Call]) -> None:
    """Every call ends by its own deadline, and says that it cannot tell."""
    async with asyncio.timeout(SHORT_SECONDS + TIMEOUT_SECONDS):
        outcomes = await asyncio.gather(*(call(store) for call in calls.values()), return_exceptions=True)
    for name, outcome in zip(calls, outcomes, strict=True):
        assert isinstance(outcome, StoreTimeout), (name, outcome)


@pytest.fixture
async def way(new_firestore: NewFirestore) -> AsyncIterator[Way]:
    """Between a store and Firestore."""
    async with new_firestore.way() as way:
        yield way


# --- a store that hangs -------------------------------------------------------------------------------------------------


async def test_every_deadline_holds_while_firestore_hangs(new_firestore: NewFirestore) -> None:
    """A frozen server closes nothing: only our own deadline ends the wait. It works again by itself."""
    watch = RecordingWatch()
    store = await new_firestore(timeout_seconds=SHORT_SECONDS, watch=watch)
    with frozen(new_firestore):
        await assert_all_time_out(store, WRITES | READS)
    assert [is_timeout for _, is_timeout in watch.failures] == [True] * len(WRITES | READS)
    await eventually(lambda: answers(store))


async def test_more_than_the_store_can_take_waits_here_and_was_never_sent(new_firestore: NewFirestore) -> None:
    """Then giving up is certain: no caller has to look up the outcome. An instance's proof of life does not wait for other
    calls."""
    watch = RecordingWatch()
    store = await new_firestore(timeout_seconds=SHORT_SECONDS, watch=watch)
    await begin(await new_firestore(), *(f"c{n}" for n in range(MAX_UNDER_WAY + 20)))
    with frozen(new_firestore):
        calls = (store.append(ConversationId(f"c{n}"), 1, drafts(1), NOW_MS) for n in range(MAX_UNDER_WAY + 20))
        outcomes, beat = await asyncio.gather(
            asyncio.gather(*calls, return_exceptions=True),
            asyncio.gather(WRITES["write_bulletin"](store), return_exceptions=True),
        )
    assert [type(outcome) for outcome in outcomes] == [StoreTimeout] * MAX_UNDER_WAY + [StoreBusy] * 20
    assert [type(outcome) for outcome in beat] == [StoreTimeout]
    assert (watch.postponements, len(watch.failures)) == (20, MAX_UNDER_WAY + 1)
    await eventually(lambda: answers(store))
    never = [ConversationId(f"c{n}") for n in range(MAX_UNDER_WAY, MAX_UNDER_WAY + 20)]
    assert await store.heads(dict.fromkeys(never, 0)) == dict.fromkeys(never, 0)


async def test_every_deadline_holds_while_another_process_holds_sqlite_s_lock(new_sqlite: NewStore, tmp_path: Path) -> None:
    """Writes and the probe end by the deadline, reads go on but are no sign of health; once the lock is free all works again."""
    watch = RecordingWatch()
    store = await new_sqlite(timeout_seconds=SHORT_SECONDS, watch=watch)
    needing_the_lock = WRITES | {"generation": READS["generation"]}
    with locked(tmp_path / "holdfast.db"):
        await assert_all_time_out(store, needing_the_lock)
        successes = watch.successes
        await asyncio.gather(*(call(store) for name, call in READS.items() if name != "generation"))
        assert watch.successes == successes
    assert [is_timeout for _, is_timeout in watch.failures] == [True] * len(needing_the_lock)
    await eventually(lambda: answers(store, WRITES["revoke"]))


async def test_what_nobody_waits_for_any_more_is_not_begun(new_sqlite: NewStore, tmp_path: Path) -> None:
    """The queue behind a long lock is not worked off for callers who have left: they have sent it again already."""
    store = await new_sqlite(timeout_seconds=SHORT_SECONDS)
    with locked(tmp_path / "holdfast.db"):
        await assert_all_time_out(store, {"append": WRITES["append"], "revoke": WRITES["revoke"]})
    await eventually(lambda: answers(store, WRITES["write_bulletin"]))
    assert (await store.settle(C, [])).tail == 0
    assert await store.read_revocations(0) == {}


async def test_many_waiting_writes_cost_one_deadline_not_one_each(new_sqlite: NewStore, tmp_path: Path) -> None:
    """A thousand callers behind a lock are all told in time."""
    store = await new_sqlite(timeout_seconds=SHORT_SECONDS)
    appends: dict[str, Call] = {f"{n}": WRITES["append"] for n in range(1_000)}
    with locked(tmp_path / "holdfast.db"):
        await assert_all_time_out(store, appends)


# --- a reply that is lost -----------------------------------------------------------------------------------------------


async def test_an_append_whose_reply_is_lost_is_in(new_firestore: NewFirestore, way: Way) -> None:
    """The error says that it cannot tell; settling tells; repeating it would be refused."""
    direct = await new_firestore()
    store = await new_firestore(way=way)
    await begin(direct, C)
    way.swallow_replies()
    attempt = asyncio.create_task(store.append(C, 1, drafts(2), NOW_MS))
    await eventually(lambda: has_tail(direct, 2))
    way.flow()
    way.cut()
    with pytest.raises(StoreUnavailable):
        await attempt
    await eventually(lambda: answers(store))
    settlement = await store.settle(C, [each.key for each in drafts(2)])
    assert settlement.tail == 2
    assert [settlement.sends[each.key].message.seq for each in drafts(2)] == [1, 2]


async def test_an_append_cut_before_it_arrived_is_not_in(new_firestore: NewFirestore, way: Way) -> None:
    """The same error, the other truth: only settling tells them apart."""
    store = await new_firestore(way=way, timeout_seconds=SHORT_SECONDS)
    way.stall()
    with pytest.raises(StoreUnavailable):
        await store.append(C, 1, drafts(2), NOW_MS)
    way.cut()
    way.flow()
    await eventually(lambda: answers(store))
    assert (await store.settle(C, [draft("m1").key])).sends == {}


@pytest.mark.parametrize("is_present", [True, False])
async def test_a_presence_change_whose_reply_is_lost_is_told_by_its_call(
    new_firestore: NewFirestore, way: Way, *, is_present: bool
) -> None:
    """Otherwise everybody would see that user as before, until the next change."""
    direct = await new_firestore()
    store = await new_firestore(way=way)
    if not is_present:
        await store.add_presence(ENTRY, dict.fromkeys([ALICE, BOB], NOW_MS))
    way.swallow_replies(after=b"lastSeen")
    change = store.add_presence if is_present else store.remove_presence
    attempt = asyncio.create_task(change(ENTRY, dict.fromkeys([ALICE, BOB], NOW_MS)))
    await eventually(lambda: is_online(direct, ALICE, is_present))
    way.flow()
    way.cut()
    changes = await attempt
    assert {each.user_id: each.online for each in changes} == {ALICE: is_present, BOB: is_present}
    assert await change(ENTRY, dict.fromkeys([ALICE, BOB], NOW_MS)) == []


@pytest.mark.parametrize("is_present", [True, False])
async def test_a_presence_change_of_a_call_that_failed_is_told_by_the_next(
    new_firestore: NewFirestore, way: Way, *, is_present: bool
) -> None:
    """The caller left before the reply came: the next call is told the outcome of the first attempt."""
    direct = await new_firestore()
    store = await new_firestore(way=way)
    if not is_present:
        await store.add_presence(ENTRY, dict.fromkeys([ALICE], NOW_MS))
    change = store.add_presence if is_present else store.remove_presence
    way.swallow_replies(after=b"lastSeen")
    attempt = asyncio.create_task(change(ENTRY, dict.fromkeys([ALICE], NOW_MS)))
    await eventually(lambda: is_online(direct, ALICE, is_present))
    attempt.cancel()  # as a deadline does it
    await asyncio.gather(attempt, return_exceptions=True)
    assert attempt.cancelled()
    way.flow()
    way.cut()
    await eventually(lambda: answers(store))
    assert [each.online for each in await change(ENTRY, dict.fromkeys([ALICE], NOW_MS))] == [is_present]
    assert await change(ENTRY, dict.fromkeys([ALICE], NOW_MS)) == []


async def test_a_member_whose_change_lost_its_reply_counts_as_changed(new_firestore: NewFirestore, way: Way) -> None:
    """The caller announces changes: one that is in must not look like one that was not needed."""
    direct = await new_firestore()
    store = await new_firestore(way=way)
    await store.create_conversation(new_conversation("c1", "alice"))
    way.swallow_replies(after=b"membersVersion")
    attempt = asyncio.create_task(change_member(store, C, BOB, is_member=True, max_members=9))
    await eventually(lambda: has_member(direct, BOB))
    way.flow()
    way.cut()
    changed = await attempt
    assert changed is not None
    assert changed[1]
    assert (changed[0].members, changed[0].members_version) == ((ALICE, BOB), 2)


async def test_a_creation_whose_reply_is_lost_was_this_call_s(new_firestore: NewFirestore, way: Way) -> None:
    """The creator is told so."""
    direct = await new_firestore()
    store = await new_firestore(way=way)
    way.swallow_replies()
    attempt = asyncio.create_task(store.create_conversation(new_conversation("c1", "alice")))
    await eventually(lambda: direct.read_conversation(C))
    way.flow()
    way.cut()
    conversation, is_new = await attempt
    assert (conversation.members, is_new) == ((ALICE,), True)


async def test_a_presence_change_that_landed_late_in_sqlite_is_told_by_the_next(
    new_sqlite: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller left while its transaction ran; nothing of it may stay untold."""
    store = await new_sqlite()
    is_in, may_end = threading.Event(), threading.Event()

    def linger(*args: Any, **kwargs: Any) -> list[PresenceChange]:
        changes = change(*args, **kwargs)
        is_in.set()
        may_end.wait(TIMEOUT_SECONDS)
        return changes

    monkeypatch.setattr(presence, "change", linger)
    attempt = asyncio.create_task(store.add_presence(ENTRY, dict.fromkeys([ALICE], NOW_MS)))
    await eventually(is_in.is_set)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    may_end.set()
    told = await store.add_presence(ENTRY, dict.fromkeys([ALICE], NOW_MS))
    assert [each.online for each in told] == [True]
    assert await store.add_presence(ENTRY, dict.fromkeys([ALICE], NOW_MS)) == []


# --- a store that goes away and comes back ------------------------------------------------------------------------------


async def test_firestore_away_is_said_and_back_is_noticed(new_firestore: NewFirestore, way: Way) -> None:
    """Refused connections end as `StoreUnavailable`; the channel finds its way back alone, within seconds."""
    watch = RecordingWatch()
    store = await new_firestore(way=way, timeout_seconds=2.0, watch=watch)
    await way.refuse()
    outcomes = await asyncio.gather(*(call(store) for call in (WRITES | READS).values()), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, StoreUnavailable)] == []
    assert len(watch.failures) == len(WRITES | READS)
    await way.listen()
    await eventually(lambda: answers(store))


async def test_calls_under_way_end_when_the_store_is_closed(new_firestore: NewFirestore, way: Way) -> None:
    """The library cancels them; a caller must not take that for its own end."""
    direct = await new_firestore()
    store = await new_firestore(way=way)
    await begin(direct, C)
    way.swallow_replies()
    attempt = asyncio.create_task(store.append(C, 1, drafts(1), NOW_MS))
    await eventually(lambda: has_tail(direct, 1))
    await store.close()
    with pytest.raises(StoreUnavailable) as ending:
        await attempt
    assert not isinstance(ending.value, StoreTimeout)


async def test_a_closed_store_says_so(store: Store) -> None:
    """Twice is fine, and nothing hangs."""
    await store.close()
    await store.close()
    for call in (WRITES | READS).values():
        with pytest.raises(StoreUnavailable):
            await call(store)


async def test_every_answer_is_reported(new_store: NewStore) -> None:
    """Health is made of it: refusals are answers of a store that is well."""
    watch = RecordingWatch()
    store = await new_store(watch=watch)
    await begin(store, C)
    before = watch.successes
    await store.append(C, 1, drafts(1), NOW_MS)
    with pytest.raises(StoreConflict):
        await store.append(C, 1, drafts(1), NOW_MS)
    await store.generation()
    assert (watch.successes - before, watch.failures) == (3, [])


# --- predicates ---------------------------------------------------------------------------------------------------------


async def answers(store: Store, call: Call = READS["generation"]) -> bool:
    """Whether a call works (again)."""
    try:
        await call(store)
    except StoreUnavailable:
        return False
    return True


async def has_tail(store: Store, tail: int) -> bool:
    return (await store.settle(C, [])).tail == tail


async def has_member(store: Store, user: UserId) -> bool:
    conversation = await store.read_conversation(C)
    return conversation is not None and user in conversation.members


async def is_online(store: Store, user: UserId, expected: bool) -> bool:
    return (await store.read_presence([user]))[user].online is expected
