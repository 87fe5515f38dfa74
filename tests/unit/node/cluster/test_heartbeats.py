"""Heartbeats of one run: when they are published, whose bulletins are read, and what follows from a silence."""

from types import SimpleNamespace
from typing import Any

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.errors import StoreTimeout
from holdfast.node.cluster.heartbeats import Heartbeats
from holdfast.node.cluster.peers import Peers
from holdfast.ports import FLEET
from holdfast.protocol.envelopes import HeartbeatEnvelope, decode
from support.fake_cluster import FakeBus
from support.fakes import FakeStore
from support.identities import identity_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed


class Scene:
    """Run `one:1` beside `two:1`, of which the store has a bulletin. The bus carries to `one` what it publishes."""

    def __init__(self) -> None:
        self.bus, self.store, self.clock = FakeBus(), FakeStore(), LoopClock()
        self.lease = SimpleNamespace(server="here", is_cut=False)
        identity = identity_of("one", "1")
        self.peers = Peers(identity.run)
        self.urgent = self.ended = self.heard_again = 0
        parts: Any = SimpleNamespace(bus=self.bus, store=self.store, clock=self.clock, identity=identity), self.lease, self
        on, lease, above = parts
        self.heartbeats = Heartbeats(on, self.peers, lease, above, above)
        self.running = supervised(self.heartbeats.loops)
        self.write(1)

    def write(self, beat: int) -> None:
        """The bulletin of `two`."""
        self.store.bulletins["two:1"] = Bulletin(InstanceId("two"), Epoch("1"), beat, "ok", server="here", beats=True)
        self.peers.note(self.store.bulletins.values(), self.clock.monotonic(), is_complete=True)

    def write_soon(self) -> None:
        """Of the bulletins."""
        self.urgent += 1

    def on_loss_elsewhere(self) -> None:
        """Of the rooms above."""
        self.ended += 1

    def on_heard_again(self) -> None:
        """Of the rooms above."""
        self.heard_again += 1

    @property
    def published(self) -> list[HeartbeatEnvelope]:
        """All, decoded."""
        found = [decode(envelope) for channel, envelope in self.bus.published if channel == FLEET]
        return [each for each in found if isinstance(each, HeartbeatEnvelope)]

    async def hear(self, seconds: float, *runs: str) -> None:
        """So long, twice a second, heartbeats of these."""
        for _ in range(round(seconds * 2)):
            for run in runs:
                self.heartbeats.take(HeartbeatEnvelope(v=1, kind="heartbeat", run=run, world="here"))
            await passed(0.5)


@in_virtual_time
async def test_heartbeat_is_published_twice_a_second_while_redis_works() -> None:
    """It names the run and the Redis of its lease."""
    scene = Scene()
    await passed(10)
    assert 18 <= len(scene.published) <= 21
    assert (scene.published[0].run, scene.published[0].world) == ("one:1", "here")
    before, scene.bus.is_live = len(scene.published), False
    await passed(10)
    assert len(scene.published) == before


@in_virtual_time
async def test_bulletin_of_a_silent_peer_is_read_and_the_own_one_written_every_second() -> None:
    """Until it stands still for long enough. A store that does not answer stops nothing."""
    scene = Scene()
    await scene.hear(10, "one:1", "two:1")
    assert (scene.store.calls["find_bulletin"], scene.urgent) == (0, 0)
    scene.store.fail("find_bulletin", StoreTimeout("slow"))
    await scene.hear(30, "one:1")
    assert 3 <= scene.store.calls["find_bulletin"] <= 8
    assert 3 <= scene.urgent <= 6
    assert scene.peers.is_trusted
    assert scene.ended == 0


@in_virtual_time
async def test_end_of_a_peer_that_was_apart_is_told_above() -> None:
    """Perhaps it did not tell what it did last."""
    scene = Scene()
    await scene.hear(10, "one:1", "two:1")
    for beat in range(2, 12):
        scene.write(beat)
        await scene.hear(1, "one:1")
    assert not scene.peers.is_trusted
    del scene.store.bulletins["two:1"]
    await scene.hear(3, "one:1")
    assert (scene.peers.is_trusted, scene.ended) == (True, 1)


@in_virtual_time
async def test_nothing_is_trusted_while_the_lease_is_not_renewed() -> None:
    """Redis may carry publications and refuse all else."""
    scene = Scene()
    await scene.hear(3, "one:1", "two:1")
    assert scene.peers.is_trusted
    scene.lease.is_cut = True
    await scene.hear(1, "one:1", "two:1")
    assert not scene.peers.is_trusted


@in_virtual_time
async def test_return_of_the_trust_is_told_above_once() -> None:
    """Cached conversations may be older than what a peer changed while it was not heard."""
    scene = Scene()
    await scene.hear(3, "one:1", "two:1")
    assert scene.heard_again == 0
    scene.lease.is_cut = True
    await scene.hear(1, "one:1", "two:1")
    scene.lease.is_cut = False
    await scene.hear(3, "one:1", "two:1")
    assert scene.heard_again == 1


@in_virtual_time
async def test_move_to_another_redis_ends_what_was_heard() -> None:
    """The heartbeats came by the former one."""
    scene = Scene()
    await scene.hear(3, "one:1", "two:1")
    scene.lease.server = "elsewhere"
    await passed(0.5)
    assert not scene.peers.is_trusted
