"""Lanes of sends: their order, equal keys, non-members, and an answer within the deadline whatever the store does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Draft
from holdfast.errors import CommandError, StoreBusy, StoreRejected, StoreTimeout
from holdfast.node.sending.append import Appender, Commit, Settled
from holdfast.node.sending.committer import MAX_BATCH, MAX_QUEUED, SEND_DEADLINE_SECONDS, Committer
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fakes import FakeStore, draft
from support.identities import identity_of
from support.own_marks import own_marks_of
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C = ConversationId("c1")


class Scene:
    """A committer on fakes; `expire` is called as the node does."""

    def __init__(self) -> None:
        self.store, self.bus = FakeStore(), FakeBus()
        self.commits: list[Commit] = []
        self.answers: list[tuple[str, object]] = []
        self.members = {"alice", "bob"}
        self.asking: asyncio.Event | None = None
        self.failure: Exception | None = None
        telemetry = Telemetry("test")
        appender = Appender(identity_of(), self.store, LoopClock(), telemetry, self.commits.append)  # type: ignore[arg-type]  # the part it uses
        self.own_marks = own_marks_of(self.bus)
        self.committer = Committer(appender, self.own_marks, LoopClock(), telemetry, self._non_members)

    async def _non_members(self, c: ConversationId, users: Iterable[UserId]) -> set[UserId] | None:
        if self.asking is not None:
            await self.asking.wait()
        if self.failure is not None:
            raise self.failure
        return set(users) - self.members if self.members else None

    def send(
        self, key: str, body: str = "hello", sender: str = "alice", c: ConversationId = C, *, bypass_membership: bool = False
    ) -> None:
        """Submit; the answer is noted as seq, or code and outcome."""

        def note(result: Settled | CommandError) -> None:
            said = result.message.seq if isinstance(result, Settled) else (result.code, result.outcome)
            self.answers.append((key, said))

        self.committer.submit(c, draft(sender, key, body), note, bypass_membership=bypass_membership)

    async def until(self, seconds: float) -> None:
        """Time passes, and overdue sends are answered."""
        for _ in range(int(seconds / 0.05)):
            await passed(0.05)
            self.committer.expire()


@in_virtual_time
async def test_one_append_is_in_flight_and_what_comes_meanwhile_is_the_next_batch() -> None:
    """The order of arrival is the order of the conversation."""
    scene = Scene()
    appending = scene.store.hold("append")
    scene.send("k1")
    await settled()
    for number in range(2, 6):
        scene.send(f"k{number}")
    await settled()
    assert scene.store.calls["append"] == 1
    appending.set()
    await passed(1)
    assert scene.answers == [(f"k{number}", number) for number in range(1, 6)]
    assert scene.store.calls["append"] == 2
    assert scene.bus.marks == ["c1|one|0001|1|0", "c1|one|0001|2|2"]


@in_virtual_time
async def test_a_batch_is_bounded() -> None:
    """Firestore takes 500 writes in a commit, two of them a message."""
    scene = Scene()
    for number in range(2 * MAX_BATCH + 1):
        scene.send(f"k{number}")
    await passed(1)
    assert [len(commit.messages) for commit in scene.commits] == [MAX_BATCH, MAX_BATCH, 1]


@in_virtual_time
async def test_equal_keys_in_one_batch_are_one_message_and_other_content_is_a_conflict() -> None:
    """Two creates of one document in one commit would be refused for ever."""
    scene = Scene()
    for body in ("hello", "hello", "other"):
        scene.send("k1", body)
    scene.send("k1", "bob's own", sender="bob")
    await passed(1)
    assert sorted(scene.answers, key=str) == sorted(
        [("k1", ("idempotency_conflict", "refused")), ("k1", 1), ("k1", 1), ("k1", 2)], key=str
    )
    assert scene.store.bodies(C) == ["hello", "bob's own"]


@in_virtual_time
async def test_strangers_are_refused_and_hold_nobody_up() -> None:
    """And when the membership cannot be told, nothing is stored and it may be tried again."""
    scene = Scene()
    scene.send("k1", sender="eve")
    scene.send("k2")
    await passed(1)
    assert sorted(scene.answers) == [("k1", ("conversation_not_found", "refused")), ("k2", 1)]
    scene.failure = StoreTimeout("away")
    scene.send("k3")
    await passed(1)
    assert scene.answers[-1] == ("k3", ("store_unavailable", "refused"))
    scene.failure = None
    scene.send("k4")
    await passed(1)
    assert scene.answers[-1] == ("k4", 2)


@in_virtual_time
async def test_what_an_administrator_sends_in_somebodys_name_lets_nobody_in() -> None:
    """In one batch, even under one key: that send is stored, theirs is not; and none where there is no conversation."""
    scene = Scene()
    scene.send("k1", sender="eve", bypass_membership=True)
    scene.send("k2", sender="eve")
    scene.send("k1", sender="eve")
    await passed(1)
    refused = ("conversation_not_found", "refused")
    assert sorted(scene.answers, key=str) == [("k1", refused), ("k1", 1), ("k2", refused)]
    scene.members.clear()
    scene.send("k3", sender="eve", bypass_membership=True)
    await passed(1)
    assert scene.answers[-1] == ("k3", refused)


@in_virtual_time
async def test_every_send_is_answered_within_its_deadline_and_says_what_may_be() -> None:
    """A send that was tried may be stored; a send that still waits behind it is not, and never will be."""
    scene = Scene()
    appending = scene.store.hold("append")
    scene.send("tried")
    await settled()
    scene.send("waiting")
    await scene.until(SEND_DEADLINE_SECONDS + 0.1)
    assert scene.answers == [("tried", ("store_unavailable", "unknown")), ("waiting", ("store_unavailable", "refused"))]
    appending.set()
    await scene.until(2)
    assert scene.store.bodies(C) == ["hello"]
    assert [message.client_message_id for commit in scene.commits for message in commit.messages] == ["tried"]
    assert len(scene.answers) == 2


@in_virtual_time
async def test_what_was_refused_while_its_membership_was_read_is_not_stored_after_that() -> None:
    """`refused` is a promise: the client may send it under another id."""
    scene = Scene()
    scene.asking = asyncio.Event()
    scene.send("k1")
    await scene.until(SEND_DEADLINE_SECONDS + 0.1)
    scene.send("k2")
    assert scene.answers == [("k1", ("store_unavailable", "refused"))]
    scene.asking.set()
    await scene.until(1)
    assert scene.answers[1:] == [("k2", 1)]
    assert [message.client_message_id for message in scene.store.messages[C]] == ["k2"]


@in_virtual_time
async def test_what_became_overdue_while_redis_took_the_mark_is_not_stored_after_that() -> None:
    """The same promise, at the last moment before the append."""
    scene = Scene()
    marking = asyncio.Event()

    async def mark(*_: str) -> bool:
        return await marking.wait()

    scene.bus.mark_dirty = mark  # type: ignore[method-assign]  # a Redis that takes its time
    scene.send("k1")
    await scene.until(SEND_DEADLINE_SECONDS + 0.1)
    marking.set()
    await scene.until(1)
    assert scene.answers == [("k1", ("store_unavailable", "refused"))]
    assert scene.store.bodies(C) == []


@in_virtual_time
async def test_a_hanging_conversation_does_not_hold_up_another() -> None:
    """A lane is one conversation's."""
    scene = Scene()
    appending = scene.store.hold("append")
    scene.send("k1")
    await settled()
    scene.store._gates.clear()
    scene.send("k2", c=ConversationId("c2"))
    await passed(0.2)
    assert scene.answers == [("k2", 1)]
    appending.set()
    await passed(0.2)
    assert scene.answers == [("k2", 1), ("k1", 1)]


@in_virtual_time
async def test_more_than_fits_is_refused_at_once() -> None:
    """Memory is bounded; the refusal is definite and retryable."""
    scene = Scene()
    scene.store.hold("append")
    for number in range(MAX_QUEUED + 1):
        scene.send(f"k{number}")
    assert scene.answers == [(f"k{MAX_QUEUED}", ("overloaded", "refused"))]


@in_virtual_time
async def test_closing_waits_for_what_is_under_way() -> None:
    """A drain must not leave a send between the store and its answer."""
    scene = Scene()
    appending = scene.store.hold("append")
    scene.send("k1")
    await settled()
    closing = asyncio.create_task(scene.committer.close(3.0))
    await passed(1)
    assert not closing.done()
    appending.set()
    await closing
    assert scene.answers == [("k1", 1)]


@in_virtual_time
async def test_retry_of_a_stored_send_by_a_former_member_is_acknowledged_as_duplicate() -> None:
    """It was stored and shown, only its answer was lost: `refused` would be untrue. New sends are refused."""
    scene = Scene()
    scene.send("k1", sender="bob")
    await passed(1)
    scene.members.discard("bob")
    scene.send("k1", sender="bob")
    scene.send("k1", "other content", sender="bob")
    scene.send("k2", sender="bob")
    await passed(1)
    refused = ("conversation_not_found", "refused")
    assert sorted(scene.answers, key=str) == sorted(
        [("k1", 1), ("k1", 1), ("k1", ("idempotency_conflict", "refused")), ("k2", refused)], key=str
    )
    assert scene.store.bodies(C) == ["hello"]


@in_virtual_time
async def test_sends_of_non_members_do_not_hold_up_the_members() -> None:
    """They are looked up beside the lane, and answered within the deadline whatever the store does."""
    scene = Scene()
    settling = scene.store.hold("settle")
    scene.send("k1", sender="eve")
    scene.send("k2")
    await passed(0.2)
    assert scene.answers == [("k2", 1)]
    await scene.until(SEND_DEADLINE_SECONDS)
    assert scene.answers == [("k2", 1), ("k1", ("store_unavailable", "unknown"))]
    settling.set()
    await passed(1)
    assert len(scene.answers) == 2


@in_virtual_time
async def test_commit_of_which_redis_confirmed_no_mark_carries_one() -> None:
    """If this instance dies, the others find it in the store; with a mark in Redis it costs no write."""
    scene = Scene()
    scene.send("k1")
    await settled()
    assert scene.store.marks == {}

    async def mark(*_: str) -> bool:
        return False

    scene.bus.mark_dirty = mark  # type: ignore[method-assign]  # a Redis that is away
    for key in ("k2", "k3"):
        scene.send(key)
    await passed(1)
    (stored,) = scene.store.marks.values()
    assert (stored.owner, stored.conversation_id, stored.first, stored.last) == ("one:0001", C, 2, 3)
    assert [commit.stored_mark for commit in scene.commits] == [None, stored.mark_id]


@in_virtual_time
async def test_mark_of_a_batch_of_which_nothing_was_handed_on_is_left() -> None:
    """It may still be stored: this instance finishes it, for no other one does while it lives."""
    for error in (StoreTimeout("not in, or not yet"), TypeError("a mistake of ours")):
        scene = Scene()
        scene.store.fail("append", error)
        scene.store.fail("settle", *[StoreTimeout("away")] * 99)
        scene.send("k1")
        await scene.until(70)
        assert len(scene.answers) == 1
        assert scene.own_marks.to_finish(0.0, 9) == scene.bus.marks == ["c1|one|0001|1|0"]
    scene = Scene()
    scene.send("k1")
    await passed(1)
    assert scene.own_marks.to_finish(0.0, 9) == []


@in_virtual_time
async def test_mark_of_a_batch_that_was_given_up_goes_when_its_place_is_taken() -> None:
    """Its attempt wanted the first place of the conversation."""
    scene = Scene()
    scene.store.fail("append", StoreTimeout("not in, or not yet"))
    scene.store.fail("settle", *[StoreTimeout("away")] * 99)
    scene.send("k1")
    await scene.until(70)
    for last, cleared in ((0, []), (1, scene.bus.marks)):
        scene.own_marks.looked_at(scene.bus.marks[0], last, scene.bus.losses)
        scene.own_marks.flush()
        assert scene.bus.cleared == cleared


@in_virtual_time
async def test_mark_of_a_batch_of_which_nothing_can_be_stored_is_ended() -> None:
    """All was refused for certain, or nothing was sent: each look for it would be a read for nothing."""
    for failure in (StoreRejected("too large"), StoreBusy("full"), None):
        scene = Scene()
        gate, mark = asyncio.Event(), scene.bus.mark_dirty

        async def mark_late(*entries: str, gate: asyncio.Event = gate, mark: Callable[..., Awaitable[bool]] = mark) -> bool:
            await gate.wait()
            return await mark(*entries)

        scene.bus.mark_dirty = mark_late  # type: ignore[method-assign]  # a Redis that takes its time
        scene.send("k1")
        await scene.until(0.1 if failure else SEND_DEADLINE_SECONDS + 0.1)
        if failure is not None:
            scene.store.fail("append", *[failure] * 999)
        gate.set()
        await scene.until(70)
        assert scene.store.bodies(C) == []
        assert scene.own_marks.to_finish(1e9, 9) == []
        scene.own_marks.flush()
        assert scene.bus.cleared == scene.bus.marks == ["c1|one|0001|1|0"]


@in_virtual_time
async def test_mark_of_a_batch_that_is_stored_in_part_is_left() -> None:
    """The message that was handed on before the other one was refused did not take the mark with it."""
    scene = Scene()
    append = scene.store.append

    async def append_others(c: ConversationId, first: Seq, drafts: Sequence[Draft], at_ms: int, mark: StoredMark | None) -> None:
        if any(each.client_message_id == "k2" for each in drafts):
            raise StoreRejected("too large")
        await append(c, first, drafts, at_ms, mark)

    scene.store.append = append_others  # type: ignore[method-assign]  # it refuses one message
    for key in ("k1", "k2"):
        scene.send(key)
    await scene.until(1)
    assert scene.answers[0] == ("k1", 1)
    assert [commit.marking for commit in scene.commits] == [None]
    assert scene.own_marks.to_finish(1e9, 9) == scene.bus.marks
