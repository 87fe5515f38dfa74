"""Marks in the store: one's own are removed when they are done, those of the dead are finished and removed later."""

import itertools
from typing import Any, cast

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, Seq
from holdfast.domain.marks import StoredMark
from holdfast.errors import StoreRejected, StoreTimeout
from holdfast.node.foundation import Process
from holdfast.node.recovery.stored_marks import StoredMarks
from holdfast.node.sending.append import Commit
from holdfast.node.tasks import Tasks
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fakes import FakeStore
from support.identities import identity_of
from support.own_marks import own_marks_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C = ConversationId("c1")


class _Told:
    """The parts that are told of what a dead instance left."""

    def __init__(self) -> None:
        self.tried: list[tuple[str, Seq, Seq]] = []
        self.finished: list[tuple[str, Seq, Seq]] = []
        self.hints: list[tuple[str, Seq]] = []
        self.told_at = 0.0
        self.is_away = False
        self.is_prompt = True
        self.failing: dict[Seq, Exception] = {}

    async def finish(self, conversation_id: ConversationId, first: Seq, last: Seq) -> None:
        self.tried.append((conversation_id, first, last))
        if self.is_away:
            raise StoreTimeout("away")
        if first in self.failing:
            raise self.failing[first]
        self.finished.append((conversation_id, first, last))

    def hint(self, conversation_id: ConversationId, tail: Seq) -> None:
        self.hints.append((conversation_id, tail))


class Scene:
    """An instance, `one` unless told otherwise."""

    def __init__(self, name: str = "one", store: FakeStore | None = None) -> None:
        self.store, self.told, self.own = store or FakeStore(), _Told(), own_marks_of(FakeBus())
        self.sweep = StoredMarks(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.own,
            cast("Any", self.told),
            cast("Any", self.told),
            cast("Any", self.told),
            Process(identity_of(name, "0001"), LoopClock(), Tasks(), Telemetry("test")),
        )
        self.running = supervised(self.sweep.loop)

    def mark(self, owner: str, first: Seq = 2, last: Seq = 3) -> str:
        """A commit of that owner carried it."""
        mark = StoredMark(f"{owner}~0000000{first}", C, first, last)
        self.store.marks[mark.mark_id] = mark
        return mark.mark_id

    def see(self, beat: int, name: str = "two") -> None:
        """The bulletin of an instance is read."""
        bulletin = Bulletin(InstanceId(name), Epoch("0001"), beat, "redis")
        self.store.bulletins[name] = bulletin
        self.sweep.note_bulletins([bulletin])

    async def close(self) -> None:
        """The end."""
        self.running.cancel()
        await settled()


@in_virtual_time
async def test_mark_of_a_late_instance_is_finished_within_2_s_and_stays_until_that_is_told() -> None:
    """Once; it goes when a written bulletin names its messages."""
    scene = Scene()
    scene.see(1)
    scene.mark("two:0001")
    await passed(4.5)
    scene.see(1)
    await passed(2.0)
    assert scene.told.finished == [("c1", 2, 3)]
    await passed(60.0)
    assert scene.store.marks
    scene.told.told_at = LoopClock().monotonic()
    await passed(1.5)
    assert not scene.store.marks
    assert scene.told.tried == [("c1", 2, 3)]
    await scene.close()


@in_virtual_time
async def test_mark_of_a_living_instance_is_left_to_it_until_it_was_seen_twice() -> None:
    """Most are gone a moment later; those that stay are the rest of an owner that has too many, or does not know of them."""
    scene = Scene()
    scene.mark("one:0001")
    for beat in range(25):
        scene.see(beat)
        if beat == 20:
            assert scene.told.tried == []
            mark = scene.mark("two:0001", 3, 3)
        await passed(1.0)
    assert scene.told.finished == []
    for beat in range(25, 100):
        scene.see(beat)
        scene.told.told_at = LoopClock().monotonic()
        await passed(1.0)
    assert scene.told.finished == [("c1", 2, 3), ("c1", 3, 3)]
    assert mark not in scene.store.marks
    await scene.close()


@in_virtual_time
async def test_mark_of_a_run_that_has_no_bulletin_any_more_is_found_after_the_start() -> None:
    """All instances had died: nothing but the store knows of it, however long ago that was."""
    scene = Scene()
    scene.mark("zero:0009")
    await passed(7.0)
    assert scene.told.finished == [("c1", 2, 3)]
    await scene.close()


@in_virtual_time
async def test_mark_of_which_the_store_does_not_answer_stays_and_does_not_hide_the_others() -> None:
    """It is finished at a later look."""
    scene = Scene()
    scene.told.is_away = True
    scene.mark("zero:0009", 1, 1)
    scene.mark("zero:0009", 2, 2)
    await passed(32.0)
    assert len(scene.store.marks) == 2
    assert {first for _, first, _ in scene.told.tried} == {1, 2}
    scene.told.is_away = False
    await passed(40.0)
    assert scene.told.finished == [("c1", 1, 1), ("c1", 2, 2)]
    scene.told.told_at = LoopClock().monotonic()
    await passed(1.5)
    assert not scene.store.marks
    await scene.close()


@in_virtual_time
async def test_garbage_among_the_marks_is_removed_and_ends_no_loop() -> None:
    """An hour later: a version to come may have written it."""
    scene = Scene()
    scene.store.damaged_marks.add("nothing")
    await passed(100.0)
    assert scene.store.damaged_marks
    await passed(3_600.0)
    assert not scene.store.damaged_marks
    assert not scene.running.done()
    await scene.close()


@in_virtual_time
async def test_mark_is_finished_by_one_of_the_living_and_shown_by_each() -> None:
    """With a finisher for each instance, the store would be read as often as there are instances, when it is all that works."""
    scenes = [Scene(name) for name in ("one", "three", "four")]
    for scene in scenes:
        scene.see(1)
        for first in range(1, 31):
            scene.mark("two:0001", first, first)
    for beat in range(8):
        for scene, name in itertools.product(scenes, ("one", "three", "four")):
            scene.see(beat, name)
        await passed(0.5)
        for scene in scenes:
            scene.see(1)
    await passed(2.5)
    finished = [mark for scene in scenes for mark in scene.told.finished]
    assert sorted(finished) == [("c1", first, first) for first in range(1, 31)]
    assert all(scene.told.finished for scene in scenes)
    for scene in scenes:
        here = {last for _, _, last in scene.told.finished}
        assert sorted(scene.told.hints) == [("c1", last) for last in range(1, 31) if last not in here]
        await scene.close()


@in_virtual_time
async def test_mark_whose_finisher_does_not_finish_it_is_finished_by_the_next() -> None:
    """The first may have died as well, or may not reach the store."""
    scene = Scene()
    for first in range(1, 11):
        scene.mark("two:0001", first, first)
    for beat in range(30):
        scene.see(1)
        scene.see(beat, "three")
        await passed(0.5)
    assert sorted(first for _, first, _ in scene.told.finished) == list(range(1, 11))
    await scene.close()


@in_virtual_time
async def test_own_marks_are_removed_together_when_a_bulletin_names_them() -> None:
    """One write call for up to 200; while the store does not answer they stay, and are removed later."""
    scene = Scene()
    for first in (1, 2, 3):
        mark = scene.own.of(C, first, first)
        scene.store.marks[mark.mark_id] = mark
        scene.own.committed(mark, 0.5)
        scene.own.decided(Commit(C, [], 0.0, None, stored_mark=mark.mark_id))
    await passed(3.0)
    assert len(scene.store.marks) == 3
    scene.told.told_at = 1.0
    await passed(1.5)
    assert not scene.store.marks
    assert scene.store.calls["remove_marks"] == 1
    assert scene.told.tried == []
    await scene.close()


async def _is_finished_beside_one_that_fails(error: Exception) -> None:
    scene = Scene()
    scene.told.failing = {1: error}
    scene.mark("zero:0009", 1, 1)
    scene.mark("zero:0009", 2, 2)
    await passed(40.0)
    scene.told.told_at = LoopClock().monotonic()
    await passed(1.5)
    assert scene.told.finished == [("c1", 2, 2)]
    assert [mark.first for mark in scene.store.marks.values()] == [1]
    scene.told.told_at = float("inf")
    await passed(1_300.0)
    assert not scene.store.marks
    assert not scene.running.done()
    await scene.close()


@in_virtual_time
async def test_mark_that_the_store_always_refuses_keeps_no_other_from_being_finished() -> None:
    """Marks are read by their ids: one in front of all others would end the work of every instance for good."""
    await _is_finished_beside_one_that_fails(StoreRejected("no"))


@in_virtual_time
async def test_defect_in_finishing_one_mark_keeps_no_other_from_being_finished() -> None:
    """As above. Either mark is given up after 40 tries."""
    await _is_finished_beside_one_that_fails(ValueError("a defect"))


@in_virtual_time
async def test_store_that_is_away_is_not_asked_for_each_mark_in_turn() -> None:
    """With a deadline for each of a thousand marks, this instance would not remove its own for an hour."""
    scene = Scene()
    scene.told.is_away = True
    for number in range(50):
        mark = StoredMark(f"zero:0009~{number:08}", C, 1, 1)
        scene.store.marks[mark.mark_id] = mark
    await passed(7.0)
    assert len(scene.told.tried) == 3
    await scene.close()


@in_virtual_time
async def test_instance_to_which_the_store_is_slow_takes_no_other_for_late() -> None:
    """Each would finish the marks of all others, and the reads would keep the store slow."""
    scene = Scene()
    scene.told.is_prompt = False
    await passed(7.0)  # after the look at all marks that follows the start
    scene.see(1)
    scene.mark("two:0001")
    await passed(4.5)
    scene.see(1)
    await passed(3.0)
    assert scene.told.tried == []
    scene.told.is_prompt = True
    await passed(2.5)
    assert scene.told.finished == [("c1", 2, 3)]
    await scene.close()


@in_virtual_time
async def test_own_mark_whose_decision_was_given_up_frees_its_place_when_it_is_swept() -> None:
    """Ten thousand such marks would leave no place for others in this process."""
    scene = Scene()
    mark = scene.own.of(C, 1, 1)
    scene.store.marks[mark.mark_id] = mark
    scene.own.committed(mark, 0.5)
    scene.told.told_at = float("inf")
    await passed(100.0)
    assert not scene.store.marks
    scene.own.decided(Commit(C, [], 0.0, None, stored_mark=mark.mark_id))
    assert scene.own.done(1_000.0, 9) == []
    await scene.close()
