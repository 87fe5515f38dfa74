"""Whether Redis may be trusted: one object, asked in several senses."""

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.domain.bulletins import LOST, Bulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId
from holdfast.node.cluster.losses import Losses
from holdfast.node.cluster.peers import Peers
from holdfast.node.cluster.redis_trust import RedisTrust
from support.fake_rosters import FakeRosters
from support.fakes import ManualClock


class Scene:
    """`RedisTrust` of an instance whose lease is at the Redis `here`, after a look at all bulletins."""

    def __init__(self) -> None:
        self.clock, self.cache = ManualClock(), FakeRosters()
        self.bus: Any = SimpleNamespace(is_live=True, is_lost=False)
        self.link = SimpleNamespace(is_connected=True)
        lease: Any = SimpleNamespace(server="here", is_cut=False)
        self.peers = Peers(RunId("one:1"))
        self.trust = RedisTrust(self.bus, self.link, lease, Losses(self.cache), self.peers, self.clock)
        self.judge()

    def judge(self, *others: Bulletin) -> None:
        """What the other instances say."""
        self.trust.judge(others, self.clock.monotonic(), is_complete=True)

    @property
    def answers(self) -> tuple[bool, bool, bool, bool]:
        """Of one moment."""
        trust = self.trust
        return trust.is_heard, trust.is_memory_complete, trust.reaches_all, trust.is_lost


def test_all_is_trusted_while_nothing_speaks_against_it() -> None:
    """Else every question would go to the store."""
    scene = Scene()
    assert (scene.answers, scene.trust.mode) == ((True, True, True, False), "ok")
    assert scene.trust.is_seen_by_all


def test_a_bus_that_is_not_proven_live_is_not_believed_and_not_yet_lost() -> None:
    """An echo that is late costs reads of the store; it is no reason to tell clients that the service is degraded."""
    scene = Scene()
    scene.bus.is_live = False
    assert scene.answers == (False, False, True, False)


def test_redis_that_answers_no_command_is_lost() -> None:
    """The other instances read the store for what this one commits."""
    scene = Scene()
    scene.link.is_connected = False
    assert (scene.trust.is_lost, scene.trust.mode) == (True, "redis")


def test_a_peer_that_is_not_heard_ends_the_trust_in_redis() -> None:
    """A mark that is set here may not be seen there. After some seconds clients are told."""
    scene = Scene()
    scene.peers.world = "here"
    for second in range(10):
        scene.clock.now += 1
        scene.judge(Bulletin(InstanceId("two"), Epoch("1"), second, "ok", server="elsewhere"))
        scene.peers.look(scene.clock.now, is_listening=True)
        assert (scene.trust.is_heard, scene.trust.is_seen_by_all) == (False, False)
    assert (scene.answers, scene.trust.mode) == ((False, False, False, False), "split")
    assert scene.trust.is_impaired
    scene.bus.is_lost = True
    assert scene.trust.mode == "bus"


def test_bulletins_of_all_are_read_each_second_in_doubt_and_not_right_after_a_standstill() -> None:
    """After a standstill the next heartbeats tell more: 300 bulletins a second could make the next standstill."""
    scene = Scene()
    scene.peers.world = "here"
    assert not scene.trust.is_in_doubt
    scene.judge(Bulletin(InstanceId("two"), Epoch("1"), 1, "ok", server="here", beats=True))
    scene.peers.hear("two:1", "here", scene.clock.now)
    scene.peers.forget(scene.clock.now)
    scene.peers.look(scene.clock.now, is_listening=True)
    assert (scene.trust.is_heard, scene.trust.is_in_doubt) == (False, False)
    scene.clock.now += 2
    scene.peers.look(scene.clock.now, is_listening=True)
    assert (scene.trust.is_heard, scene.trust.is_in_doubt) == (False, True)


def test_a_loss_ends_what_redis_remembers_until_a_new_era_has_begun() -> None:
    """The lost write may be the one change that matters. Envelopes that arrive now do not rest on it."""
    scene = Scene()
    scene.cache.losses += 1
    assert (scene.answers, scene.trust.mode) == ((True, False, True, False), LOST)
    assert scene.trust.may_tell_losses


def test_no_era_begins_while_a_change_without_a_mark_is_under_way() -> None:
    """A list of before the change could be remembered in the new era."""
    scene = Scene()
    with scene.trust.losses.unmarked():
        assert not scene.trust.may_tell_losses
    assert scene.trust.may_tell_losses


@pytest.mark.parametrize(("mode", "server"), [(LOST, "here"), ("ok", "elsewhere")], ids=["lost a write", "is elsewhere"])
def test_memory_of_redis_is_incomplete_by_another_instance(mode: str, server: str) -> None:
    """Its changes are not in the Redis that this instance asks."""
    scene = Scene()
    scene.judge(Bulletin(InstanceId("two"), Epoch("1"), 1, mode, server=server))
    assert not scene.trust.is_memory_complete
    scene.judge(Bulletin(InstanceId("two"), Epoch("1"), 2, "ok", server="here"))
    assert scene.trust.is_memory_complete


def test_an_old_look_at_the_bulletins_proves_nothing() -> None:
    """An instance may have lost a write since."""
    scene = Scene()
    scene.clock.now += 4
    assert not scene.trust.is_memory_complete
