"""Two witnesses: an instance without a lease and without a beat is gone; an instance that lacks only one of the two is alive."""

from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from holdfast.domain.bulletins import LOST, Bulletin
from holdfast.domain.ids import Epoch, InstanceId, UserId
from holdfast.errors import RedisUnavailable, StoreTimeout
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.recovery.reaper import Reaper
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeRegistry
from support.fake_rosters import FakeRosters
from support.fakes import FakeStore, ManualClock
from support.identities import identity_of
from support.virtual_time import in_virtual_time


class _Presence:
    """Notes whose entries are taken away."""

    def __init__(self) -> None:
        self.reaped: list[str] = []

    async def reap(self, entry: str, alive_at_ms: int, left: Mapping[UserId, int]) -> None:
        self.reaped.append(entry)


class Scene:
    """Instance `one` looks after `two`."""

    def __init__(self, grace_seconds: float = 5.0) -> None:
        self.registry, self.store, self.clock, self.presence = FakeRegistry(), FakeStore(), ManualClock(), _Presence()
        self.fleet: tuple[str, ...] = ()
        self.rosters = FakeRosters()
        self.reaper = Reaper(
            self.registry,
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.presence,  # type: ignore[arg-type]  # the part it uses
            self.clock,
            StoreClock(self.clock),
            Telemetry("test"),
            SimpleNamespace(identity=identity_of(), server="here"),  # type: ignore[arg-type]  # the part it uses
            self.rosters,
            on_fleet=self._on_fleet,
            grace_seconds=grace_seconds,
        )
        self.registry.lease("one", "1")
        self.registry.lease("two", "7")
        self.beat(1)

    def _on_fleet(self, states: tuple[str, ...]) -> None:
        self.fleet = states

    def beat(self, beat: int) -> None:
        """What `two` has in the store."""
        self.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("7"), beat, "ok")

    async def rounds(self, count: int, *, is_beating: bool = False) -> None:
        """Rounds of 3 s."""
        for number in range(count):
            if is_beating:
                self.beat(100 + number)
            self.clock.now += 3
            await self.reaper.look()


@in_virtual_time
async def test_users_that_a_drained_instance_left_within_their_grace_go_offline_without_waiting_for_the_rare_full_look() -> None:
    """It gave its lease back and its name out of the list: Redis does not name it any more."""
    scene = Scene()
    await scene.rounds(1, is_beating=True)
    del scene.registry.leases[InstanceId("two")]
    await scene.rounds(4)
    assert scene.presence.reaped == ["two:7"]
    assert scene.store.bulletins == {}


@in_virtual_time
async def test_a_drained_instance_is_looked_for_also_where_the_store_did_not_answer_at_once() -> None:
    """One answer that is missing must not cost its users a rare full look."""
    scene = Scene()
    await scene.rounds(1, is_beating=True)
    del scene.registry.leases[InstanceId("two")]
    scene.store.fail("read_bulletins", StoreTimeout("slow"))
    with pytest.raises(StoreTimeout):
        await scene.rounds(1)
    await scene.rounds(4)
    assert scene.presence.reaped == ["two:7"]


@in_virtual_time
async def test_an_instance_without_lease_that_beats_on_is_not_looked_for_for_ever() -> None:
    """Each look costs a read of every bulletin."""
    scene = Scene()
    await scene.rounds(1, is_beating=True)
    del scene.registry.leases[InstanceId("two")]
    await scene.rounds(20, is_beating=True)
    before = scene.store.calls["read_bulletins"]
    await scene.rounds(20, is_beating=True)
    assert scene.store.calls["read_bulletins"] - before == 2


@in_virtual_time
async def test_an_instance_without_lease_and_beat_is_reaped_with_its_users() -> None:
    """Connections first, users after the silence and the grace, the bulletin last."""
    scene = Scene()
    scene.registry.lease("two", None)
    await scene.rounds(2)
    assert scene.registry.reaped == []
    await scene.rounds(1)
    assert scene.registry.reaped == ["two"]
    await scene.rounds(2)
    assert scene.presence.reaped == ["two:7"]
    assert scene.store.bulletins == {}


@in_virtual_time
async def test_users_who_were_being_moved_to_a_new_epoch_are_reaped_under_both() -> None:
    """It died on the way, and only its bulletin says that there is another."""
    scene = Scene()
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("7"), 1, "ok", earlier={"two:6": 0, "two:5": 7})
    scene.registry.lease("two", None)
    await scene.rounds(6)
    assert scene.presence.reaped == ["two:7", "two:6", "two:5"]


@in_virtual_time
async def test_an_instance_that_is_cut_from_redis_alone_is_alive() -> None:
    """Its beat rises: its users are online, whatever Redis says."""
    scene = Scene()
    scene.registry.lease("two", None)
    await scene.rounds(20, is_beating=True)
    assert (scene.registry.reaped, scene.presence.reaped) == ([], [])


@in_virtual_time
async def test_an_instance_that_has_a_lease_again_keeps_its_users() -> None:
    """It may have come back under the epoch of before, between the look at its lease and the reaping."""
    scene = Scene()
    scene.registry.lease("two", None)
    scene.registry.back.add(InstanceId("two"))
    await scene.rounds(20)
    assert scene.registry.reaped
    assert scene.presence.reaped == []


@in_virtual_time
async def test_an_instance_whose_beat_stopped_but_whose_lease_lives_is_alive() -> None:
    """It is the store that does not take its beat."""
    scene = Scene()
    await scene.rounds(20)
    assert (scene.registry.reaped, scene.presence.reaped) == ([], [])
    assert scene.fleet == ("healthy", "healthy")


@in_virtual_time
async def test_what_a_reaper_left_half_done_is_found_by_its_bulletin() -> None:
    """Redis was flushed, or the reaper died: no list names the dead one any more."""
    scene = Scene()
    del scene.registry.leases[InstanceId("two")]
    await scene.rounds(20)
    assert scene.presence.reaped == ["two:7"]
    assert scene.store.bulletins == {}


@in_virtual_time
async def test_who_dies_before_its_first_bulletin_does_not_stay_online() -> None:
    """Redis tells its epoch once, before its users' grace is over, and nothing else is left of it."""
    scene = Scene(grace_seconds=15.0)
    scene.store.bulletins.clear()
    scene.registry.lease("two", None)
    scene.registry.left[InstanceId("two")] = Epoch("7")
    await scene.rounds(3)
    assert (scene.registry.reaped, scene.presence.reaped) == (["two"], [])
    await scene.rounds(3)
    assert scene.presence.reaped == ["two:7"]
    await scene.rounds(5)
    assert scene.presence.reaped == ["two:7"]


@in_virtual_time
async def test_a_look_that_failed_proves_nothing() -> None:
    """A witness that was away begins its testimony anew."""
    scene = Scene()
    scene.registry.lease("two", None)
    scene.registry.fail("instances", *[RedisUnavailable("away")] * 2)
    scene.store.fail("read_bulletins", StoreTimeout("away"))
    failures = 0
    for _ in range(3):
        try:
            await scene.rounds(1)
        except (RedisUnavailable, StoreTimeout):
            failures += 1
            scene.reaper._suspects.clear()  # as `run` does
    assert failures == 3
    await scene.rounds(2)
    assert scene.registry.reaped == []


@in_virtual_time
async def test_it_never_reaps_itself() -> None:
    """Its own lease may be gone for a moment."""
    scene = Scene()
    scene.registry.lease("one", None)
    scene.store.bulletins["one"] = Bulletin(InstanceId("one"), Epoch("1"), 1, "ok")
    await scene.rounds(20)
    assert scene.registry.reaped == []


@in_virtual_time
async def test_the_word_of_the_kubelet_stands_for_the_second_witness() -> None:
    """Connections go at once; users when their grace is over."""
    scene = Scene()
    scene.registry.lease("two", None, ended="7")
    await scene.rounds(1)
    assert (scene.registry.reaped, scene.presence.reaped) == (["two"], [])
    await scene.rounds(2)
    assert scene.presence.reaped == ["two:7"]


@in_virtual_time
async def test_that_word_is_not_about_a_successor_that_has_no_lease_yet() -> None:
    """It beats already: Redis may have been away when it started."""
    scene = Scene()
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("8"), 1, "ok")
    scene.registry.lease("two", None, ended="7")
    await scene.rounds(1)
    assert scene.registry.reaped == []


@in_virtual_time
async def test_of_a_removed_pod_the_silence_counts_from_the_removal() -> None:
    """Not from the end of its lease; and while it beats it lives."""
    scene = Scene()
    scene.registry.lease("two", "7", removed="7")
    await scene.rounds(3, is_beating=True)
    scene.registry.lease("two", "7", removed="7")
    await scene.rounds(3)
    assert scene.registry.reaped == []
    scene.registry.lease("two", None, removed="7")
    await scene.rounds(1)
    assert scene.registry.reaped == ["two"]


@in_virtual_time
async def test_the_end_of_who_was_cut_from_redis_begins_a_new_era() -> None:
    """Changes that did not reach Redis are in its bulletin only, which is deleted: before that, lists in Redis are made
    invalid."""
    scene = Scene()
    scene.registry.lease("two", None)
    await scene.rounds(6)
    assert scene.rosters.eras == 0
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("8"), 1, LOST)
    scene.rosters.is_away = True
    with pytest.raises(RedisUnavailable):
        await scene.rounds(9)
    assert "two" in scene.store.bulletins
    scene.rosters.is_away = False
    await scene.rounds(4)
    assert scene.rosters.eras == 1
    assert "two" not in scene.store.bulletins
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("9"), 1, "split", server="elsewhere")
    await scene.rounds(6)
    assert scene.rosters.eras == 2, "what it changed was marked at another Redis"
