"""The bulletin of a run: written on condition of its last version, adopted after an unknown outcome, lost with the run."""

import dataclasses

import pytest

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.errors import StoreTimeout, StoreUnavailable
from holdfast.node.cluster.own_bulletin import OwnBulletin
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.identity import Identity
from support.fakes import FakeStore, ShiftedClock
from support.virtual_time import in_virtual_time

RUN = "one:7"


class Scene:
    """The bulletin of run `one:7`."""

    def __init__(self) -> None:
        self.store, self.clock = FakeStore(), ShiftedClock(0)
        self.identity = Identity(InstanceId("one"), Epoch("7"))
        self.own = OwnBulletin(self.store, self.clock, StoreClock(self.clock), self.identity)  # type: ignore[arg-type]  # the part it uses

    async def write_five(self) -> None:
        """Beats 1 to 5, 3 s apart."""
        for beat in range(1, 6):
            await self.write(beat)
            self.clock.now += 3

    async def write(self, beat: int) -> None:
        """One beat."""
        await self.own.write(Bulletin(InstanceId("one"), Epoch("7"), beat, "ok"))

    @property
    def beat(self) -> int:
        """The beat that stands in the store."""
        return self.store.bulletins[RUN].beat


@in_virtual_time
async def test_each_write_follows_the_one_before_it() -> None:
    """The first one creates the document."""
    scene = Scene()
    assert not scene.identity.is_written.is_set()
    for beat in range(1, 4):
        await scene.write(beat)
        assert scene.beat == beat
    assert scene.identity.is_written.is_set()
    assert scene.store.calls["find_bulletin"] == 0


@in_virtual_time
async def test_write_whose_answer_was_lost_is_adopted() -> None:
    """It landed, or it did not: the document says which, also where it was the first."""
    for fails_after in (True, False):
        for earlier in (0, 1):
            scene = Scene()
            for beat in range(earlier):
                await scene.write(beat)
            scene.store.fail("write_bulletin", StoreTimeout("lost"), after=fails_after)
            with pytest.raises(StoreTimeout):
                await scene.write(5)
            await scene.write(6)
            assert scene.beat == 6
            assert not scene.identity.declared_dead.is_set()


@in_virtual_time
async def test_write_that_landed_late_is_adopted() -> None:
    """Its outcome was unknown, the document did not have it yet, and then it came."""
    scene = Scene()
    await scene.write(1)
    scene.store._put(dataclasses.replace(scene.store.bulletins[RUN], beat=2))
    await scene.write(3)
    assert scene.beat == 3


@in_virtual_time
async def test_run_that_was_declared_dead_ends_and_writes_no_more() -> None:
    """Its users are offline in the store: it must not go on as if they were not."""
    scene = Scene()
    await scene.write(1)
    scene.clock.now += 12
    assert await scene.store.declare_dead(scene.store.bulletins[RUN])
    for beat in (2, 3):
        with pytest.raises(StoreUnavailable):
            await scene.write(beat)
        assert scene.identity.declared_dead.is_set()
        assert scene.beat == 1
    assert not scene.own.is_store_restored


@in_virtual_time
async def test_run_whose_bulletin_was_removed_in_due_time_ends() -> None:
    """It was declared dead, and its death is complete. Its own clock may have stood still: the store's tells the age."""
    for own_seconds in (15, 1, 0):
        scene = Scene()
        await scene.write(1)
        scene.clock.now += own_seconds
        del scene.store.bulletins[RUN]
        scene.store.stamp_ms += 15_000
        with pytest.raises(StoreUnavailable):
            await scene.write(2)
        assert scene.identity.declared_dead.is_set()
        assert scene.store.bulletins[RUN].is_ended, "the other instances need not wait until it is silent"
        assert not scene.own.is_store_restored


@in_virtual_time
async def test_bulletin_with_a_smaller_beat_than_was_acknowledged_shows_a_restored_store() -> None:
    """No write of this run can do that. The run writes on until it ends: others must find the users whom it adds meanwhile."""
    scene = Scene()
    await scene.write_five()
    backup = dataclasses.replace(scene.store.bulletins[RUN], beat=3)
    scene.clock.now += 60
    scene.store._put(backup)
    await scene.write(6)
    assert scene.own.is_store_restored
    assert scene.beat == 6
    assert not scene.identity.declared_dead.is_set()


@in_virtual_time
async def test_run_that_is_dead_in_an_earlier_store_ends_and_knows_of_the_restore() -> None:
    """Another instance found the restored bulletin old, and was faster than this run."""
    scene = Scene()
    await scene.write_five()
    scene.store._put(dataclasses.replace(scene.store.bulletins[RUN], beat=3, is_dead=True))
    with pytest.raises(StoreUnavailable):
        await scene.write(6)
    assert scene.own.is_store_restored
    assert scene.identity.declared_dead.is_set()


@in_virtual_time
async def test_bulletin_that_is_gone_too_soon_shows_a_store_that_was_restored_or_emptied() -> None:
    """No other instance removes one that was written within 12 s. The run is in the store again, for the sake of its users."""
    scene = Scene()
    await scene.write(1)
    scene.clock.now += 9
    scene.store.stamp_ms += 9_000
    del scene.store.bulletins[RUN]
    await scene.write(2)
    assert scene.own.is_store_restored
    assert scene.beat == 2
    assert not scene.identity.declared_dead.is_set()


@in_virtual_time
async def test_own_writes_of_unknown_outcome_show_no_restored_store() -> None:
    """The document is the last acknowledged one, or a later one."""
    scene = Scene()
    await scene.write(1)
    for beat in range(2, 40, 2):
        scene.store.fail("write_bulletin", StoreTimeout("lost"), after=beat % 4 == 0)
        with pytest.raises(StoreTimeout):
            await scene.write(beat)
        await scene.write(beat + 1)
        scene.clock.now += 3
    assert not scene.own.is_store_restored


@in_virtual_time
async def test_instance_that_the_store_answers_slowly_is_not_prompt() -> None:
    """It must not take the silence of others for their deaths: the store may be slow for all."""
    scene = Scene()
    for beat in range(3):
        assert not scene.own.is_prompt
        await scene.write(beat)
    assert scene.own.is_prompt
    scene.store.fail("write_bulletin", StoreTimeout("away"))
    with pytest.raises(StoreTimeout):
        await scene.write(4)
    assert not scene.own.is_prompt


@in_virtual_time
async def test_writes_of_before_a_freeze_do_not_make_an_instance_prompt() -> None:
    """It stood still, and has shown once that the store answers it: it knows nothing yet of the silence of others."""
    scene = Scene()
    for beat in range(3):
        await scene.write(beat)
    scene.clock.now += 6
    assert not scene.own.is_prompt, "the last write was too long ago"
    for beat in range(3, 6):
        await scene.write(beat)
        assert scene.own.is_prompt is (beat == 5)
        scene.clock.now += 3
