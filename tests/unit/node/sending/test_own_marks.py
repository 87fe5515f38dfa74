"""Marks of an instance's own commits: carried where Redis confirms none, removed when all is done, and never without bound."""

import pytest

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Message
from holdfast.node.sending import own_marks
from holdfast.node.sending.append import Commit
from holdfast.node.sending.own_marks import Marking, OwnMarks
from support.fake_cluster import FakeBus
from support.node_scene import NodeScene
from support.own_marks import Sight, own_marks_of
from support.virtual_time import in_virtual_time

C, ANN, BEN = ConversationId("c1"), UserId("ann"), UserId("ben")


class Away(FakeBus):
    """A Redis that confirms no mark."""

    async def mark_dirty(self, *entries: str, within_seconds: float = 0.1) -> bool:
        return False


def _committed(marks: OwnMarks, at: float, first: int = 1) -> StoredMark:
    mark = marks.of(C, first, first)
    marks.committed(mark, at)
    return mark


def _commit(mark: StoredMark) -> Commit:
    return Commit(C, [], 0.0, None, stored_mark=mark.mark_id)


@pytest.mark.parametrize(
    ("bus", "is_seen_by_all", "is_found"), [(FakeBus(), True, True), (FakeBus(), False, False), (Away(), True, False)]
)
async def test_mark_counts_where_redis_confirmed_it_and_every_instance_sees_it(
    bus: FakeBus, is_seen_by_all: bool, is_found: bool
) -> None:
    """In every other case an instance that dies leaves no word of its commit there."""
    marks = own_marks_of(bus, sight=Sight(is_seen_by_all=is_seen_by_all))
    marking = await marks.set_for_commit(C, 7, 0.0)
    assert (marking.entries, marking.losses, marking.is_found) == (("c1|one|0001|1|7",), 0, is_found)


def test_mark_is_done_when_it_is_decided_and_told() -> None:
    """Decided: the absent are notified. Told: the connected, everywhere, are shown the message by a written bulletin."""
    marks = own_marks_of(FakeBus())
    mark = _committed(marks, 10.0)
    assert marks.done(20.0, 9) == []
    marks.decided(_commit(mark))
    assert marks.done(10.0, 9) == []
    assert marks.done(10.1, 9) == [mark.mark_id]
    marks.removed([mark.mark_id])
    assert marks.done(20.0, 9) == []


async def test_marks_in_redis_go_together_when_they_are_decided_or_told() -> None:
    """One command for all of a moment, at the next tick; nothing where there is none."""
    bus = FakeBus()
    marks = own_marks_of(bus)
    commit, change = await marks.set_for_commit(C, 1, 0.0), await marks.set_for_change(C, 3, [ANN, BEN], 0.5)
    marks.flush()
    assert bus.cleared == []
    marks.decided(Commit(C, [], 0.0, commit))
    marks.end(change)
    marks.flush()
    marks.flush()
    assert bus.cleared == bus.marks == ["c1|one|0001|1|1", "user:ann|one|0001|2|c1|3", "user:ben|one|0001|2|c1|3"]


async def test_mark_in_redis_is_left_where_a_publication_may_be_lost() -> None:
    """A publication since it was set may not have arrived anywhere: it is finished like that of a dead instance, every 2 s."""
    bus = FakeBus()
    marks = own_marks_of(bus)
    before = await marks.set_for_commit(C, 1, 0.0)
    bus.losses += 1
    after = await marks.set_for_commit(C, 2, 0.0)
    for each in (before, after):
        marks.decided(Commit(C, [], 0.0, each))
    marks.flush()
    assert bus.cleared == ["c1|one|0001|2|2"]
    assert [marks.to_finish(at, 9) for at in (1.0, 2.9, 3.0)] == [["c1|one|0001|1|1"], [], ["c1|one|0001|1|1"]]
    marks.forget("c1|one|0001|1|1")
    assert marks.to_finish(9.0, 9) == []


async def test_mark_of_a_commit_that_is_decided_is_taken_over_by_the_next_one_of_the_conversation() -> None:
    """It waits for no round trip to Redis. The mark goes with the last of them, and names the first message of all."""
    bus = FakeBus()
    marks = own_marks_of(bus)
    first = await marks.set_for_commit(C, 1, 0.0)
    marks.decided(Commit(C, [], 0.0, first))
    second = await marks.set_for_commit(C, 2, 0.05)
    assert second == first
    marks.flush()
    assert bus.cleared == []
    marks.decided(Commit(C, [], 0.0, second))
    marks.flush()
    assert bus.cleared == bus.marks == ["c1|one|0001|1|1"]


async def _taken_over(marks: OwnMarks, conversation_id: ConversationId = C, first: int = 2, at: float = 0.01) -> Marking:
    """The mark of a commit after one that is decided: that of the first message, set at 0."""
    before = await marks.set_for_commit(C, 1, 0.0)
    marks.decided(Commit(C, [], 0.0, before))
    return await marks.set_for_commit(conversation_id, first, at)


async def test_mark_is_not_taken_over_where_redis_may_have_it_no_more() -> None:
    """It is as old as one that Redis was slow to confirm, a command or its connection was lost, or not all instances see it."""
    for change in ("age", "loss", "connection", "no connection", "sight"):
        bus, sight = FakeBus(), Sight()
        marks = own_marks_of(bus, sight=sight)
        before = await marks.set_for_commit(C, 1, 0.0)
        marks.decided(Commit(C, [], 0.0, before))
        bus.losses += change == "loss"
        bus.connection = {"connection": 2, "no connection": 0}.get(change, 1)
        sight.is_seen_by_all = change != "sight"
        after = await marks.set_for_commit(C, 2, 0.1 if change == "age" else 0.01)
        assert after.entries == ("c1|one|0001|2|2",), change
        assert after.is_found is (change != "sight")
        marks.flush()
        assert (bus.cleared if change != "loss" else marks.to_finish(0.0, 9)) == [*before.entries], change
        assert (bus.cleared == []) is (change == "loss")


@pytest.mark.parametrize(
    ("conversation_id", "first"), [(ConversationId("c2"), 2), (C, 0), (C, 301)], ids=["another one", "unknown", "too far"]
)
async def test_mark_is_not_taken_over_by_a_commit_that_it_does_not_name(conversation_id: ConversationId, first: int) -> None:
    """An instance that finishes it looks from its first message on, at a bounded number of messages."""
    bus = FakeBus()
    marks = own_marks_of(bus)
    after = await _taken_over(marks, conversation_id, first)
    assert after.entries == (f"{conversation_id}|one|0001|2|{first}",)
    marks.flush()
    assert bus.cleared == ["c1|one|0001|1|1"]


async def test_mark_is_not_taken_over_where_the_conversation_has_become_shorter() -> None:
    """The store was restored: the next message may have a lower number than the mark names."""
    marks = own_marks_of(FakeBus())
    marks.decided(Commit(C, [], 0.0, await marks.set_for_commit(C, 7, 0.0)))
    assert (await marks.set_for_commit(C, 6, 0.01)).entries == ("c1|one|0001|2|6",)


async def test_mark_that_names_no_message_is_not_taken_over() -> None:
    """For such a mark the latest messages are looked at, as many as one commit has."""
    marks = own_marks_of(FakeBus())
    marks.decided(Commit(C, [], 0.0, await marks.set_for_commit(C, 0, 0.0)))
    assert (await marks.set_for_commit(C, 1, 0.01)).entries == ("c1|one|0001|2|1",)


async def test_mark_has_one_commit_at_a_time() -> None:
    """The notifications of the commit before are not decided: its mark is its own, and so is one that was left or removed."""
    for fate in ("open", "left", "removed", "not confirmed"):
        marks = own_marks_of(Away() if fate == "not confirmed" else FakeBus())
        before = await marks.set_for_commit(C, 1, 0.0)
        if fate == "left":
            marks.leave(before)
        elif fate != "open":
            marks.decided(Commit(C, [], 0.0, before))
        if fate == "removed":
            marks.flush()
        assert (await marks.set_for_commit(C, 2, 0.01)).entries == ("c1|one|0001|2|2",), fate


async def test_mark_that_was_taken_over_is_left_where_the_publication_of_the_commit_before_is_lost() -> None:
    """It was on its way when the next commit began. The mark names the messages of both."""
    bus = FakeBus()
    marks = own_marks_of(bus)
    after = await _taken_over(marks)
    bus.losses += 1
    marks.decided(Commit(C, [], 0.0, after))
    marks.flush()
    assert (bus.cleared, marks.to_finish(0.0, 9)) == ([], ["c1|one|0001|1|1"])


async def test_mark_that_was_taken_over_and_left_goes_by_the_attempts_of_its_last_commit() -> None:
    """The commits before it are decided: no attempt of theirs is under way."""
    bus = FakeBus()
    marks = own_marks_of(bus)
    after = await _taken_over(marks, first=2)
    marks.leave(after, 2)
    for last, cleared in ((1, []), (2, ["c1|one|0001|1|1"])):
        marks.looked_at("c1|one|0001|1|1", last, bus.losses)
        marks.flush()
        assert bus.cleared == cleared


def test_mark_of_another_instance_that_is_finished_here_goes_when_a_bulletin_names_it() -> None:
    """The finisher has it removed like one of its own; until then it is not finished once more."""
    marks = own_marks_of(FakeBus())
    mark = StoredMark("two:0001~00000001", C, 1, 1)
    assert not marks.is_finished(mark.mark_id)
    marks.finished(mark, 10.0)
    assert marks.is_finished(mark.mark_id)
    assert (marks.done(10.0, 9), marks.done(10.1, 9)) == ([], [mark.mark_id])


def test_marks_beyond_the_limit_are_left_to_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes commits and removes nothing must not fill the memory."""
    monkeypatch.setattr(own_marks, "MAX_OPEN", 2)
    marks = own_marks_of(FakeBus())
    found = [_committed(marks, 1.0, first) for first in (1, 2, 3)]
    for mark in found:
        marks.decided(_commit(mark))
    assert marks.done(9.0, 9) == [mark.mark_id for mark in found[:2]]
    assert marks.done(9.0, 1) == [found[0].mark_id]


def test_each_attempt_has_a_mark_of_its_own() -> None:
    """A slow attempt that lands after all brings its mark, although that of the next one is removed already."""
    marks = own_marks_of(FakeBus())
    assert marks.of(C, 1, 1).mark_id != marks.of(C, 1, 1).mark_id
    assert marks.of(C, 1, 1).owner == "one:0001"


@in_virtual_time
async def test_mark_of_a_commit_that_is_not_announced_is_left_and_of_an_announced_one_is_not() -> None:
    """Its notifications are decided all the same: they end no mark then."""
    for is_told in (False, True):
        node = NodeScene().node
        marking = await node.sending.own_marks.set_for_commit(C, 7, 0.0)
        node.conversations.delivery.hand_over = lambda _, told=is_told: told  # type: ignore[method-assign]  # as Redis has it
        node.on_commit(Commit(C, [Message(C, 7, ANN, "k7", "text", None, 1)], 0.0, marking))
        assert node.sending.own_marks.to_finish(0.0, 9) == ([] if is_told else list(marking.entries))
        await node.tasks.close()
