"""The documents that the adapter counts are those that were on the wire, whatever the operation: they are the bill."""

import math
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import LastMessage, MemberChange, Room
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.domain.marks import StoredMark
from holdfast.domain.notifications import CatchUp, Notification, PushOutcome
from holdfast.errors import PredecessorMissing, StoreConflict
from holdfast.ports import Store
from support.appending import NOW_MS, begin, draft, drafts, new_conversation
from support.fixtures_store import NewStore, RecordingWatch

C, ALICE, BOB = ConversationId("c1"), UserId("alice"), UserId("bob")
ONE = InstanceId("one")
ROOM = Room(own=1_000, added=1_000, by_one=1_000)
NOTE = Notification("c1:000000000001:alice", ALICE, C, 1, BOB, "hel", NOW_MS)


class Commits(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """The documents that commits wrote."""

    written = 0

    async def intercept_unary_unary(self, go_on: Any, details: Any, request: Any) -> Any:
        """A commit."""
        call = await go_on(details, request)
        if await call.code() is grpc.StatusCode.OK:
            writes = type(request).pb(request).writes
            self.written += sum(bool(each.WhichOneof("operation")) for each in writes)
        return call


class Reads(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """The documents that answers held, and what Google's price list says of answers without one."""

    read = 0

    async def intercept_unary_stream(self, go_on: Any, details: Any, request: Any) -> Any:
        """Reads of all kinds."""
        return self._seen(await go_on(details, request), details.method)

    async def _seen(self, answers: AsyncIterator[Any], method: Any) -> AsyncIterator[Any]:
        name, found = (method.decode() if isinstance(method, bytes) else method).rpartition("/")[2], 0
        if name == "RunQuery":
            self.read += 1  # taken back by the first document
        async for answer in answers:
            if name == "BatchGetDocuments":
                self.read += bool(answer.missing or answer.found.name)
            elif name == "RunQuery" and answer.document.name:
                self.read += found > 0
                found += 1
            elif name == "RunAggregationQuery":
                (count,) = type(answer).pb(answer).result.aggregate_fields.values()
                self.read += max(1, math.ceil(count.integer_value / 1000))
            yield answer


@dataclass
class Bill:
    """A store of which every call is looked at twice: on the wire and by the adapter."""

    store: Store
    reads: Reads
    commits: Commits
    watch: RecordingWatch

    async def of(self, call: Awaitable[Any]) -> tuple[int, int]:
        """Documents read and written by the call; on the wire as many as counted."""
        self.watch.documents_read = self.watch.documents_written = self.reads.read = self.commits.written = 0
        await call
        counted = self.watch.documents_read, self.watch.documents_written
        assert counted == (self.reads.read, self.commits.written)
        return counted


@pytest.fixture
async def bill(new_emulated: NewStore, monkeypatch: pytest.MonkeyPatch) -> Bill:
    """Before the channel is made, which must be a real one: its interceptors see what is on the wire."""
    reads, commits, make = Reads(), Commits(), grpc.aio.insecure_channel
    monkeypatch.setattr(grpc.aio, "insecure_channel", lambda host, **more: make(host, interceptors=[reads, commits], **more))
    watch = RecordingWatch()
    store = await new_emulated(watch=watch)
    assert (watch.documents_read, watch.documents_written) == (reads.read, commits.written)
    await begin(store, C)
    return Bill(store, reads, commits, watch)


async def test_an_append_writes_two_documents_for_each_message_and_reads_none(bill: Bill) -> None:
    """The message and the record of its key; a verified predecessor is not billed as a write."""
    assert await bill.of(bill.store.append(C, 1, drafts(3), NOW_MS)) == (0, 6)


async def test_a_mark_costs_an_append_one_write_and_its_removal_one_delete(bill: Bill) -> None:
    """Only where Redis confirmed no mark; a look for marks where there is none costs one read."""
    mark = StoredMark("one:e1~00000001", C, 1, 3)
    assert await bill.of(bill.store.append(C, 1, drafts(3), NOW_MS, mark)) == (0, 7)
    assert await bill.of(bill.store.read_marks("", "", 200)) == (1, 0)
    assert await bill.of(bill.store.remove_marks([mark.mark_id])) == (0, 1)
    assert await bill.of(bill.store.read_marks("", "", 200)) == (1, 0)


async def test_an_append_that_is_refused_writes_nothing(bill: Bill) -> None:
    """Behind a gap, and under a key that exists."""
    await bill.store.append(C, 1, drafts(1), NOW_MS)

    async def append(first_seq: int, refusal: type[StoreConflict]) -> None:
        with pytest.raises(refusal):
            await bill.store.append(C, first_seq, [draft("m1")], NOW_MS)

    assert await bill.of(append(7, PredecessorMissing)) == (0, 0)
    assert await bill.of(append(2, StoreConflict)) == (0, 0)


async def test_a_condition_that_is_an_update_is_billed_as_a_write(bill: Bill) -> None:
    """Where `verify` is not taken; Firestore bills writes that change nothing."""
    bill.store._calls.may_verify = False  # type: ignore[attr-defined]  # decided by the first contact else
    assert await bill.of(bill.store.append(C, 1, drafts(3), NOW_MS)) == (0, 7)


async def test_a_page_reads_its_messages_and_an_empty_one_a_document(bill: Bill) -> None:
    """A query costs one read at least."""
    await bill.store.append(C, 1, drafts(5), NOW_MS)
    assert await bill.of(bill.store.read_messages(C, after_seq=2, limit=50)) == (3, 0)
    assert await bill.of(bill.store.read_messages(C, after_seq=5, limit=50)) == (1, 0)


async def test_documents_that_do_not_exist_are_billed(bill: Bill) -> None:
    """A tail is found by asking for the document behind it; three heads are six documents."""
    await begin(bill.store, "c2", "c3")
    for name in (C, ConversationId("c2"), ConversationId("c3")):
        await bill.store.append(name, 1, drafts(2), NOW_MS)
    known = dict.fromkeys((C, ConversationId("c2"), ConversationId("c3")), 2)
    assert await bill.of(bill.store.heads(known)) == (6, 0)
    assert await bill.of(bill.store.read_presence([ALICE, BOB])) == (2, 0)
    assert await bill.of(bill.store.read_conversation(ConversationId("c9"))) == (1, 0)


async def test_counts_of_small_lists_are_billed_as_one_read_each(bill: Bill) -> None:
    """Two lists are counted before a conversation is created, each small; then it is written, and read back."""
    new = new_conversation("c2", "alice", "bob")
    assert await bill.of(bill.store.create_conversation(new, ROOM)) == (2 + 1, 1)


async def test_what_instances_do_for_ever_is_counted(bill: Bill) -> None:
    """The fixed cost: bulletins written and read, the look for notifications and for users to catch up, the generation."""
    store = bill.store
    first = Bulletin(ONE, Epoch("e1"), 1, "ok", {})
    assert await bill.of(store.write_bulletin(first)) == (0, 1)
    assert await bill.of(store.write_bulletin(Bulletin(InstanceId("two"), Epoch("e1"), 1, "ok", {}))) == (0, 1)
    assert await bill.of(store.read_bulletins()) == (2, 0)
    assert await bill.of(store.read_bulletins(only_unwell=True)) == (1, 0)
    assert await bill.of(store.claim_notifications(50, 30.0)) == (1, 0)
    assert await bill.of(store.catch_ups(50)) == (1, 0)
    assert await bill.of(store.generation()) == (1, 0)
    assert await bill.of(store.find_bulletin(first.run)) == (1, 0)
    (found,) = [each for each in await store.read_bulletins() if each.run == first.run]
    assert await bill.of(store.declare_dead(found)) == (0, 1)
    (dead,) = [each for each in await store.read_bulletins() if each.run == first.run]
    assert await bill.of(store.remove_bulletin(dead)) == (0, 1)


async def test_whatever_is_asked_the_count_is_what_was_on_the_wire(bill: Bill) -> None:
    """A life of one conversation through every kind of operation; `Bill.of` compares each of them."""
    store = bill.store
    await store.append(C, 1, drafts(3), NOW_MS)
    for call in (
        store.settle(C, [each.key for each in drafts(5)]),
        store.heads({C: 1}),
        store.active_since(1, {C: 3}),
        store.messages_since(C, 1, 50),
        store.note_activity(C, LastMessage(3, ALICE, "x", NOW_MS)),
        store.change_members(C, [MemberChange(UserId("carol"), True, 3)], max_members=50, room=ROOM),
        store.update_conversation(C, title="new", metadata_json=None),
        store.memberships_of(ALICE),
        store.page_conversations(ALICE, 50, None),
        store.advance_cursors(C, {ALICE: 2}, {2: [ALICE], 9: [BOB]}),
        store.read_cursors(C),
        store.cursors_of(ALICE, [C, ConversationId("c9")]),
        store.add_presence("one:e1", {ALICE: NOW_MS, BOB: NOW_MS}),
        store.remove_presence("one:e1", {ALICE: NOW_MS}),
        store.users_on("one:e1", 50),
        store.catch_ups(50),
        store.finish_catch_up(CatchUp(ALICE, NOW_MS)),
        store.create_notifications([NOTE]),
        store.create_notifications([NOTE]),
        store.recorded([NOTE.notification_id, "none"]),
        store.claim_notifications(50, 30.0),
        store.mark_notifications([PushOutcome(NOTE.notification_id, "sent")]),
        store.clear_notification(NOTE.notification_id),
        store.block(ALICE, BOB, 10),
        store.blockers_of(BOB, 10),
        store.blockers_among(BOB, [ALICE, UserId("carol")]),
        store.unblock(ALICE, BOB),
        store.revoke(ALICE),
        store.read_revocations(0),
        store.read_revocations(1),
        store.revoke_token("alice.1f", NOW_MS),
        store.read_revoked_tokens(0, 9),
        store.read_revoked_tokens(1, 9),
        store.renew(),
        store.renew("another"),
    ):
        read, written = await bill.of(call)
        assert read + written > 0
