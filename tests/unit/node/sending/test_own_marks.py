"""Marks of an instance's own commits: carried where Redis confirms none, removed when all is done, and never without bound."""

import pytest

from holdfast.domain.ids import ConversationId
from holdfast.domain.marks import StoredMark
from holdfast.node.sending import own_marks
from holdfast.node.sending.append import Commit
from holdfast.node.sending.own_marks import OwnMarks
from support.fake_cluster import FakeBus
from support.own_marks import Sight, own_marks_of

C = ConversationId("c1")


class Away(FakeBus):
    """A Redis that confirms no mark."""

    async def mark_dirty(self, *entries: str, within_seconds: float = 0.1) -> bool:
        return False


def _committed(marks: OwnMarks, at: float, first: int = 1) -> StoredMark:
    mark = marks.of(C, first, first)
    marks.committed(mark, at)
    return mark


def _commit(mark: StoredMark, dirty: str | None = None) -> Commit:
    return Commit(C, [], 0.0, dirty, stored_mark=mark.mark_id)


@pytest.mark.parametrize(
    ("bus", "is_seen_by_all", "is_found"), [(FakeBus(), True, True), (FakeBus(), False, False), (Away(), True, False)]
)
async def test_mark_counts_where_redis_confirmed_it_and_every_instance_sees_it(
    bus: FakeBus, is_seen_by_all: bool, is_found: bool
) -> None:
    """In every other case an instance that dies leaves no word of its commit there."""
    marks = own_marks_of(bus, sight=Sight(is_seen_by_all=is_seen_by_all))
    assert await marks.set_in_redis(C) == ("c1|one|0001|1", is_found)


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


def test_mark_in_redis_goes_with_the_decision() -> None:
    """The second one of the batch; the first one goes with the publication."""
    bus = FakeBus()
    own_marks_of(bus).decided(Commit(C, [], 0.0, "c1|one|0001|1"))
    assert bus.cleared == ["c1|one|0001|1|notify"]


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
