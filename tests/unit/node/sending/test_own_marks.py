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
    assert await marks.set_for_commit(C, 7) == Marking(("c1|one|0001|1|7",), 0, is_found)


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
    commit, change = await marks.set_for_commit(C, 1), await marks.set_for_change(C, 3, [ANN, BEN], 0.5)
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
    before = await marks.set_for_commit(C, 1)
    bus.losses += 1
    after = await marks.set_for_commit(C, 2)
    for each in (before, after):
        marks.decided(Commit(C, [], 0.0, each))
    marks.flush()
    assert bus.cleared == ["c1|one|0001|2|2"]
    assert [marks.to_finish(at, 9) for at in (1.0, 2.9, 3.0)] == [["c1|one|0001|1|1"], [], ["c1|one|0001|1|1"]]
    marks.forget("c1|one|0001|1|1")
    assert marks.to_finish(9.0, 9) == []


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
        marking = await node.sending.own_marks.set_for_commit(C, 7)
        node.conversations.delivery.hand_over = lambda _, told=is_told: told  # type: ignore[method-assign]  # as Redis has it
        node.on_commit(Commit(C, [Message(C, 7, ANN, "k7", "text", None, 1)], 0.0, marking))
        assert node.sending.own_marks.to_finish(0.0, 9) == ([] if is_told else list(marking.entries))
        await node.tasks.close()
