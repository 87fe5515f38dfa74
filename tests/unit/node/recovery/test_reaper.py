"""A run is declared dead when it is silent in the store and has no lease; what it left is completed by any instance."""

import pytest

from holdfast.domain.bulletins import LOST, Bulletin
from holdfast.domain.ids import InstanceId
from holdfast.errors import RedisUnavailable, StoreTimeout
from support.reaper_scene import RUN, Scene
from support.virtual_time import in_virtual_time


@in_virtual_time
async def test_killed_run_is_declared_dead_and_completed() -> None:
    """Its lease ends 12 s after the kill; its connections go when the silence is proven, its users at once after their grace."""
    scene = Scene(grace_seconds=15.0)
    await scene.looks(15, is_beating=True)
    scene.beat(200)
    await scene.looks(12)
    scene.expire()
    await scene.looks(6)
    assert (scene.standing(), scene.registry.reaped) == ("alive", [])
    await scene.looks(1.5)
    assert (scene.standing(), scene.registry.reaped, scene.presence.reaped) == ("dead", ["two"], [])
    await scene.looks(3)
    assert (scene.presence.reaped, scene.standing()) == ([RUN], "")
    assert scene.fleet == ("healthy",)


@in_virtual_time
async def test_killed_run_is_declared_dead_and_its_users_are_offline_while_redis_is_away() -> None:
    """Its connections leave Redis when Redis answers, and its bulletin waits for that."""
    scene = Scene(grace_seconds=15.0)
    scene.registry.fail("instances", *[RedisUnavailable("away")] * 40)
    await scene.looks(12)
    assert scene.standing() == "alive"
    await scene.looks(4.5)
    assert (scene.standing(), scene.presence.reaped, scene.registry.reaped) == ("dead", [], [])
    await scene.looks(4.5)
    assert (scene.standing(), scene.presence.reaped, scene.registry.reaped) == ("dead", [RUN], [])
    await scene.looks(30)
    assert (scene.standing(), scene.registry.reaped) == ("dead", [])
    scene.expire()
    await scene.looks(20)
    assert (scene.standing(), scene.registry.reaped) == ("", ["two"])


@in_virtual_time
async def test_bulletin_of_a_dead_run_does_not_wait_for_redis_for_ever() -> None:
    """An hour later nothing is left there of its connections."""
    scene = Scene()
    scene.lose_redis(1e4)
    await scene.looks(3_500)
    assert scene.standing() == "dead"
    await scene.looks(200)
    assert scene.standing() == ""


@in_virtual_time
async def test_without_redis_the_bulletins_that_the_slow_path_reads_are_used() -> None:
    """It reads all of them every second then: a second reader would cost as much again."""
    scene = Scene()
    scene.lose_redis()
    for _ in range(10):
        scene.bulletins.latest = (scene.clock.now + 1.0, list(scene.store.bulletins.values()))
        await scene.look()
    assert scene.standing() == "dead"
    assert scene.store.calls["read_bulletins"] == 0


@in_virtual_time
async def test_run_that_beats_lives_whether_or_not_redis_knows_it() -> None:
    """It is cut from Redis alone: its users are online."""
    for redis_answers in (True, False):
        scene = Scene()
        scene.expire()
        if not redis_answers:
            scene.lose_redis()
        await scene.looks(60, is_beating=True)
        assert (scene.standing(), scene.registry.reaped, scene.presence.reaped) == ("alive", [], [])


@in_virtual_time
async def test_run_whose_lease_lives_is_alive() -> None:
    """It is the store that does not take its beat."""
    scene = Scene()
    await scene.looks(120)
    assert scene.standing() == "alive"
    assert scene.fleet == ("healthy", "healthy")


@in_virtual_time
async def test_instance_that_is_slow_itself_concludes_nothing() -> None:
    """The store may be slow for all: then no run is dead."""
    scene = Scene()
    scene.expire()
    scene.own.is_prompt = False
    await scene.looks(120)
    assert scene.standing() == "alive"


@in_virtual_time
async def test_silence_that_was_seen_before_a_freeze_does_not_count() -> None:
    """The others may have stood still as well, as on a host that was suspended: they have to be silent again."""
    scene = Scene()
    scene.expire()
    await scene.looks(9)
    scene.clock.now += 10
    scene.reaper.forget()
    await scene.looks(6)
    assert scene.standing() == "alive"
    await scene.looks(1.5)
    assert scene.standing() != "alive"


@in_virtual_time
async def test_run_that_beats_between_the_look_and_the_commit_is_not_declared_dead() -> None:
    """The commit is made on condition of the version that was read."""
    scene = Scene()
    scene.expire()
    declare = scene.store.declare_dead

    async def late(bulletin: Bulletin) -> bool:
        scene.beat(2)
        return await declare(bulletin)

    scene.store.declare_dead = late  # type: ignore[method-assign]  # a beat comes between
    await scene.looks(18)
    assert (scene.standing(), scene.presence.reaped) == ("alive", [])


@in_virtual_time
async def test_look_that_failed_begins_the_silence_anew() -> None:
    """Nothing was seen meanwhile."""
    scene = Scene()
    scene.expire()
    await scene.looks(7.5)
    scene.store.fail("read_bulletins", StoreTimeout("away"))
    with pytest.raises(StoreTimeout):
        await scene.look()
    await scene.looks(6)
    assert scene.standing() == "alive"
    await scene.looks(1.5)
    assert scene.standing() != "alive"


@in_virtual_time
async def test_drained_run_needs_no_silence_and_its_users_have_their_grace() -> None:
    """Its last bulletin says that it ended; then it gave its lease back."""
    scene = Scene(grace_seconds=15.0)
    await scene.looks(3, is_beating=True)
    scene.beat(200, is_ended=True)
    del scene.registry.leases[InstanceId("two")]
    await scene.looks(3)
    assert (scene.standing(), scene.presence.reaped) == ("dead", [])
    await scene.looks(13.5)
    assert (scene.standing(), scene.presence.reaped) == ("", [RUN])


@in_virtual_time
async def test_instance_without_lease_that_beats_on_is_not_looked_for_for_ever() -> None:
    """Each look costs a read of every bulletin."""
    scene = Scene()
    await scene.looks(3, is_beating=True)
    del scene.registry.leases[InstanceId("two")]
    await scene.looks(90, is_beating=True)
    before = scene.store.calls["read_bulletins"]
    await scene.looks(30, is_beating=True)
    assert scene.store.calls["read_bulletins"] - before == 2


@in_virtual_time
async def test_what_another_instance_left_half_done_is_found_by_the_bulletin() -> None:
    """Redis was flushed, or the other instance died at it: no list names the dead one any more."""
    scene = Scene()
    del scene.registry.leases[InstanceId("two")]
    scene.beat(1, is_dead=True)
    await scene.looks(45)
    assert (scene.standing(), scene.presence.reaped) == ("", [RUN] * 2)


@in_virtual_time
async def test_predecessor_under_the_own_name_is_a_dead_run_like_any_other() -> None:
    """This run holds the name, so the lease of the other one is gone; its connections went when the name was taken over.

    No look of this run saw that lease, so nothing but the bulletin tells of the other one. Its users are offline as soon as those
    of any dead instance.
    """
    scene = Scene()
    scene.beat(1, name="one", epoch="0")
    await scene.looks(13.5, is_beating=True)
    assert scene.presence.reaped == ["one:0"]
    await scene.looks(16.5, is_beating=True)
    assert (scene.standing("one:0"), scene.presence.reaped, scene.registry.reaped) == ("", ["one:0"] * 2, [])


@in_virtual_time
async def test_users_whom_a_run_added_after_it_was_declared_dead_are_found_a_minute_later() -> None:
    """A frozen instance may write once more before it notices."""
    scene = Scene()
    scene.expire()
    await scene.looks(21)
    assert (scene.standing(), scene.presence.reaped) == ("", [RUN] * 2), "the second time before the bulletin went"
    await scene.looks(63)
    assert scene.presence.reaped == [RUN] * 3
    await scene.looks(120)
    assert scene.presence.reaped == [RUN] * 3


@in_virtual_time
async def test_users_are_looked_for_once_more_before_the_bulletin_of_a_dead_run_goes() -> None:
    """Redis was away for long, and the run may have come back meanwhile: without the bulletin no instance would look."""
    scene = Scene()
    scene.lose_redis(120)
    await scene.looks(117)
    assert (scene.standing(), scene.presence.reaped) == ("dead", [RUN, RUN])
    scene.expire()
    await scene.looks(20)
    assert (scene.standing(), scene.presence.reaped) == ("", [RUN, RUN, RUN])


@in_virtual_time
async def test_name_of_an_instance_that_died_before_its_first_bulletin_is_cleared() -> None:
    """It registered connections, and no bulletin tells of it."""
    scene = Scene()
    scene.store.bulletins.clear()
    scene.expire()
    await scene.looks(3)
    assert scene.registry.reaped == []
    await scene.looks(6)
    assert (scene.registry.reaped, scene.presence.reaped) == (["two"], [])
    await scene.looks(30)
    assert scene.registry.reaped == ["two"]


@in_virtual_time
async def test_word_of_the_kubelet_about_a_run_needs_one_beat_that_is_missing() -> None:
    """Its connections go then, its users when their grace is over; a successor under the name is not meant."""
    scene = Scene(grace_seconds=15.0)
    scene.beat(1, epoch="8")
    scene.registry.lease("two", None, ended="7")
    await scene.looks(3)
    assert (scene.standing(), scene.registry.reaped) == ("alive", [])
    await scene.look()
    assert (scene.standing(), scene.standing("two:8")) == ("dead", "alive")
    await scene.looks(3)
    assert scene.registry.reaped == ["two"]
    await scene.looks(10.5)
    assert scene.presence.reaped == []
    await scene.looks(3)
    assert scene.presence.reaped[0] == RUN


@in_virtual_time
async def test_run_that_beats_lives_whatever_the_kubelet_says_of_it() -> None:
    """The word may be wrong, or about another process of that name: the store is asked, where only a living run beats."""
    scene = Scene()
    scene.registry.lease("two", None, ended="7")
    await scene.looks(60, is_beating=True)
    assert (scene.standing(), scene.registry.reaped, scene.presence.reaped) == ("alive", [], [])


@in_virtual_time
async def test_of_a_removed_pod_one_beat_and_the_lease_have_to_be_missing() -> None:
    """Its process may live on: then it beats, or holds its lease."""
    scene = Scene()
    scene.registry.lease("two", "7", removed="7")
    await scene.looks(30)
    assert scene.standing() == "alive"
    scene.registry.lease("two", None, removed="7")
    await scene.looks(30, is_beating=True)
    assert (scene.standing(), scene.registry.reaped) == ("alive", [])
    await scene.looks(6)
    assert (scene.standing(), scene.registry.reaped) == ("dead", ["two"])


@in_virtual_time
async def test_run_of_an_older_version_is_declared_dead_only_while_redis_says_that_it_has_no_lease() -> None:
    """It writes its bulletin whatever stands there, so it would not notice. Its older entries are completed as well."""
    scene = Scene()
    scene.store.bulletins.clear()
    scene.beat(1, is_older=True, earlier={"two:6": 0, "two:5": 7})
    scene.lose_redis(60)
    await scene.looks(60)
    assert scene.standing("two") == "alive"
    scene.expire()
    await scene.looks(6)
    assert scene.standing("two") == ""
    assert scene.presence.reaped == ["two:7", "two:6", "two:5"] * 2


@in_virtual_time
async def test_end_of_a_run_that_was_cut_from_redis_begins_a_new_era() -> None:
    """Changes that did not reach Redis are in its bulletin only. Before that is removed, lists in Redis are made invalid."""
    scene = Scene()
    scene.expire()
    await scene.looks(30)
    assert scene.rosters.eras == 0
    for number, more in enumerate(({"mode": LOST}, {"mode": "split", "server": "elsewhere"}), 1):
        scene.beat(1, epoch="8", is_dead=True, **more)
        scene.rosters.is_away = True
        await scene.looks(30)
        assert scene.standing("two:8") == "dead"
        scene.rosters.is_away = False
        await scene.looks(30)
        assert (scene.rosters.eras, scene.standing("two:8")) == (number, "")
