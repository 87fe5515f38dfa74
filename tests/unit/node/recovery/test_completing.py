"""Which instance completes a dead run, when, and at which cost; and until when the run lived."""

import pytest

from holdfast.domain.ids import RunId
from holdfast.node.recovery.reaper import LOOK_SECONDS
from holdfast.node.recovery.turns import turn_seconds
from support.reaper_scene import RUN, Scene
from support.virtual_time import in_virtual_time


@in_virtual_time
async def test_time_of_the_future_in_a_bulletin_keeps_no_dead_run_from_being_noticed_and_completed() -> None:
    """A forged one, or of a clock that was set back: its age was negative for as long as that, and its users online."""
    for is_dead in (False, True):
        scene = Scene()
        scene.expire()
        scene.beat(1, written_at_ms=scene.now_ms + 10**9, is_dead=is_dead)
        await scene.looks(27)
        assert (scene.standing(), scene.presence.reaped) == ("", [RUN] * 2)


@in_virtual_time
async def test_users_of_a_run_that_was_cut_from_the_store_before_it_died_have_their_whole_grace() -> None:
    """Its lease shows that it lived for a minute after its last write. It may have renewed that 12 s before it was found gone."""
    scene = Scene(grace_seconds=30.0)
    await scene.looks(60)
    scene.expire()
    died_at = scene.clock.now - 12.0
    while not scene.presence.reaped:
        await scene.look()
    assert 30.0 <= scene.clock.now - died_at <= 39.0
    scene = Scene(grace_seconds=30.0)
    scene.expire()
    await scene.looks(36)
    assert scene.presence.reaped == [RUN], "of a lease that was never seen nothing is concluded"


@pytest.mark.parametrize("is_first_alive", [True, False])
def test_of_all_instances_one_begins_and_the_next_one_two_seconds_later(*, is_first_alive: bool) -> None:
    """All of them know of the death at once: they would read the same users, and their writes would conflict."""

    @in_virtual_time
    async def scenario() -> None:
        scene = Scene(grace_seconds=15.0)
        own = scene.reaper._identity.run
        name = next(each for each in map("n{}".format, range(99)) if turn_seconds(own, [RunId(f"{each}:9")], RunId(RUN)) > 0)
        scene.expire()
        seconds, offline_after = 0.0, 0.0
        while not offline_after:
            if is_first_alive or seconds < 3.0:
                scene.beat(int(seconds * 10) + 2, name=name, epoch="9")
            await scene.look()
            seconds += LOOK_SECONDS
            offline_after = seconds if scene.presence.reaped else 0.0
        assert scene.presence.reaped[0] == RUN
        assert offline_after == (22.5 if is_first_alive else 21.0), "one that is silent for 6 s has no turn"

    scenario()


@in_virtual_time
async def test_bulletins_are_not_read_at_each_look_while_a_dead_run_waits_for_the_end_of_a_grace() -> None:
    """Each of many instances would read the bulletins of all the others every 1.5 s."""
    scene = Scene(grace_seconds=300.0)
    await scene.looks(15, is_beating=True)
    scene.expire()
    await scene.looks(30)
    assert (scene.standing(), scene.registry.reaped) == ("dead", ["two"])
    before = scene.store.calls["read_bulletins"]
    await scene.looks(240)
    assert scene.store.calls["read_bulletins"] - before == 240 / 15
    assert scene.presence.reaped == []
    await scene.looks(45)
    assert (scene.standing(), scene.presence.reaped) == ("", [RUN])
