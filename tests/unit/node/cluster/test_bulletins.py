"""The slow path: what is written when, what is read when, and what it says."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from holdfast.domain.bulletins import LOST, Bulletin
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, RunId, UserId
from holdfast.errors import StoreTimeout
from holdfast.node.cluster.above import Above
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.losses import Losses
from holdfast.node.cluster.own_bulletin import BEAT_SECONDS, OwnBulletin
from holdfast.node.cluster.peers import Peers
from holdfast.node.cluster.redis_trust import RedisTrust
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.cluster.window import WINDOW_SECONDS
from support.fake_cluster import FakeBus
from support.fake_rosters import FakeRosters
from support.fakes import FakeStore
from support.identities import identity_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed

C = ConversationId("c1")


class _RedisTrust(RedisTrust):
    """Judges as always; its mode is the test's to set."""

    mode = "ok"

    def __init__(self, lease: SimpleNamespace, clock: LoopClock) -> None:
        losses, peers = Losses(FakeRosters()), Peers(RunId("one:7"))
        super().__init__(FakeBus(), SimpleNamespace(is_connected=True), cast("Lease", lease), losses, peers, clock)


class Scene:
    """The bulletins of instance `one`."""

    def __init__(self) -> None:
        self.store, self.read = FakeStore(), list[list[str]]()
        self.left: dict[UserId, int] = {}
        self.clock = LoopClock()
        self.identity = identity_of("one", "7")
        self.lease = SimpleNamespace(identity=self.identity, server="mine", is_cut=False)
        self.redis_trust = _RedisTrust(self.lease, self.clock)
        self.bulletins = Bulletins(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.clock,
            self.lease,  # type: ignore[arg-type]  # the part it uses
            self.redis_trust,
            OwnBulletin(self.store, self.clock, StoreClock(self.clock), self.identity),
            cast("Above", self),
        )

    def users_within_grace(self) -> dict[UserId, int]:
        """None, unless a test has some."""
        return self.left

    async def take_bulletins(self, bulletins: list[Bulletin]) -> None:
        if bulletins:
            self.read.append([bulletin.instance_id for bulletin in bulletins if bulletin.instance_id != "one"])

    def note_head(self, seq: int) -> None:
        """The conversation has reached `seq` here."""
        self.bulletins.window.note_head(C, seq, self.clock.monotonic())

    async def run(self, seconds: float = 0.3) -> None:
        """From here on it runs."""
        self.running = supervised(self.bulletins.loops)
        await passed(seconds)

    @property
    def own(self) -> Bulletin:
        """What the others read."""
        return self.store.bulletins["one:7"]


@in_virtual_time
async def test_it_beats_every_three_seconds() -> None:
    """Others take an instance for dead whose beat stands still."""
    scene = Scene()
    await scene.run()
    first = scene.own.beat
    await passed(10 * BEAT_SECONDS)
    assert 8 <= scene.own.beat - first <= 10


@in_virtual_time
async def test_a_new_name_and_another_redis_are_told_at_once() -> None:
    """An instance that dies within the beat has its connections under that name; an instance left behind at the old Redis has to
    find out."""
    scene = Scene()
    await scene.run()
    scene.identity.yield_name()
    await passed(0.3)
    assert (scene.own.instance_id, scene.own.run, scene.own.server) == ("one.7", "one:7", "mine")
    scene.lease.server = "theirs"
    await passed(0.3)
    assert scene.own.server == "theirs"


@in_virtual_time
async def test_last_bulletin_says_that_the_run_has_ended() -> None:
    """Other instances take its users offline after their grace, and wait for no silence."""
    scene = Scene()
    await scene.run()
    assert not scene.own.is_ended
    await scene.bulletins.write_last()
    assert scene.own.is_ended


@in_virtual_time
async def test_all_are_read_every_second_while_a_peer_is_not_heard() -> None:
    """What it did may have been published where this instance does not hear it."""
    scene = Scene()
    await scene.run()
    before = scene.store.calls["read_bulletins"]
    scene.redis_trust.peers.is_trusted = False
    await passed(10)
    assert scene.store.calls["read_bulletins"] - before >= 9


@in_virtual_time
async def test_bulletin_that_is_urgent_is_written_within_a_quarter_of_a_second() -> None:
    """A peer that does not hear this instance waits for it."""
    scene = Scene()
    await scene.run()
    before = scene.own.beat
    scene.bulletins.write_soon()
    await passed(0.3)
    assert scene.own.beat == before + 1


@in_virtual_time
async def test_a_beat_does_not_wait_for_a_slow_reading() -> None:
    """A read may take as long as the store likes."""
    scene = Scene()
    scene.redis_trust.mode = "redis"
    await scene.run()
    scene.store.hold("read_bulletins")
    first = scene.own.beat
    await passed(5 * BEAT_SECONDS)
    assert scene.own.beat - first >= 4


@in_virtual_time
async def test_a_change_of_mode_is_known_within_a_quarter_of_a_second_and_commits_within_one() -> None:
    """While the fast path is gone, this is how others hear of a message."""
    scene = Scene()
    await scene.run()
    scene.redis_trust.mode = "redis"
    await passed(0.3)
    assert scene.own.mode == "redis"
    scene.note_head(5)
    await passed(1.3)
    assert scene.own.heads == {C: 5}


@in_virtual_time
async def test_a_write_that_failed_is_made_up_for() -> None:
    """The store was away at the moment of the change."""
    scene = Scene()
    await scene.run()
    scene.redis_trust.mode = "redis"
    scene.store.fail("write_bulletin", *[StoreTimeout("away")] * 3)
    scene.note_head(5)
    await passed(3)
    assert (scene.own.mode, scene.own.heads) == ("redis", {C: 5})


@in_virtual_time
async def test_it_carries_the_window() -> None:
    """What changed here is told to an instance that missed the publication, for a minute."""
    scene = Scene()
    scene.note_head(6)
    scene.bulletins.window.note_members(C, 3, (UserId("bob"),), scene.clock.monotonic())
    scene.bulletins.window.note_receipt(C, UserId("bob"), 5, scene.clock.monotonic())
    await scene.run()
    own = scene.own
    assert (own.heads, own.members, own.users, own.receipts) == ({C: 6}, {C: 3}, ("bob",), {"c1|bob": 5})
    await passed(WINDOW_SECONDS + BEAT_SECONDS + 1)
    own = scene.own
    assert (own.heads, own.members, own.users, own.receipts) == ({}, {}, (), {})


@in_virtual_time
async def test_bulletins_of_others_are_read_more_often_while_redis_does_not_work_here() -> None:
    """Every 15 s when all is well, every second without Redis and ten seconds longer."""
    scene = Scene()
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("1"), 1, "ok")
    await scene.run(60)
    assert 3 <= len(scene.read) <= 4
    assert scene.read[0] == ["two"]
    scene.redis_trust.mode, before = "bus", len(scene.read)
    await passed(10)
    assert 7 <= len(scene.read) - before <= 11
    scene.redis_trust.mode, before = "ok", len(scene.read)
    await passed(10)
    assert len(scene.read) - before >= 7
    before = scene.store.calls["read_bulletins"]
    await passed(29)
    assert len(scene.read) - before <= 3


@in_virtual_time
async def test_who_is_cut_from_redis_is_looked_for_by_all_others() -> None:
    """It cannot tell us of its commits in any other way; healthy instances cost nothing meanwhile."""
    scene = Scene()
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("1"), 1, "ok")
    scene.store.bulletins["three"] = Bulletin(InstanceId("three"), Epoch("1"), 1, "redis")
    await scene.run(10)
    assert scene.read == [["three"]] * 5


@in_virtual_time
async def test_what_was_committed_just_before_the_recovery_is_looked_for_after_it() -> None:
    """Nothing was published then, and the others look only for instances that are not well."""
    scene = Scene()
    await scene.run()
    scene.redis_trust.mode = "redis"
    await passed(2)
    scene.note_head(5)
    scene.redis_trust.mode = "ok"
    await passed(1.5)
    assert (scene.own.mode, scene.own.heads) == ("recovering", {C: 5})
    await passed(15)
    assert scene.own.mode == "ok"


@in_virtual_time
async def test_a_loss_that_is_told_between_two_looks_at_the_mode_is_told_to_the_others() -> None:
    """Changes that were not published then stand in the bulletin alone, and the others read it at once only while it says so."""
    scene = Scene()
    await scene.run()
    losses = scene.redis_trust.losses
    scene.note_head(5)
    losses.note_uncertain_write()
    await losses.tell()
    assert not losses.are_untold
    await passed(1.5)
    assert (scene.own.mode, scene.own.heads) == ("recovering", {C: 5})
    await passed(15)
    assert scene.own.mode == "ok"


@in_virtual_time
async def test_a_resubscription_is_followed_by_two_looks() -> None:
    """Now, and once more when what was under way has its bulletin."""
    scene = Scene()
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("1"), 1, "ok")
    await scene.run()
    scene.bulletins.look_soon()
    await passed(1)
    assert len(scene.read) == 1
    await passed(4)
    assert len(scene.read) == 2


@in_virtual_time
async def test_whether_everybody_could_tell_redis_what_they_changed() -> None:
    """An instance that lost a write is not well until it has made up for it; an instance that is merely cut from Redis lost
    nothing yet."""
    scene = Scene()
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("1"), 1, "bus")
    assert not scene.redis_trust.is_fleet_well
    await scene.run(0.1)
    assert scene.redis_trust.is_fleet_well
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("1"), 2, LOST)
    await passed(3)
    assert not scene.redis_trust.is_fleet_well
    scene.store.bulletins["two"] = Bulletin(InstanceId("two"), Epoch("1"), 3, "recovering", receipts={"c1|ann": 5})
    await passed(3)
    assert scene.redis_trust.is_fleet_well
    scene.store.fail("read_bulletins", *[StoreTimeout("away")] * 20)
    await passed(10)
    assert not scene.redis_trust.is_fleet_well


@in_virtual_time
async def test_what_only_the_bulletin_can_tell_is_told_first() -> None:
    """A reader of it, when the instance is gone, knows that lists may be wrong; without it there is no change."""
    scene = Scene()
    await scene.run()
    scene.redis_trust.mode = LOST
    await scene.bulletins.write_first(C, (UserId("ann"),))
    assert (scene.own.mode, scene.own.users, scene.own.is_harmless_at("mine")) == (LOST, ("ann",), False)
    scene.store.fail("write_bulletin", StoreTimeout("late"))
    with pytest.raises(StoreTimeout):
        await scene.bulletins.write_first(C, (UserId("ben"),))


@in_virtual_time
async def test_many_who_want_it_written_at_once_share_a_write() -> None:
    """One document takes about one write a second: callers that ask while one is under way wait for the next, together."""
    scene = Scene()
    answering = scene.store.hold("write_bulletin")
    users = [UserId(f"user-{number}") for number in range(50)]
    asking = [asyncio.create_task(scene.bulletins.write_first(C, (user,))) for user in users]
    await passed(0.1)
    answering.set()
    await asyncio.gather(*asking)
    assert scene.store.calls["write_bulletin"] == 2
    assert set(scene.own.users) == set(users)


@in_virtual_time
async def test_of_two_that_are_written_at_once_the_later_one_stays() -> None:
    """The beat is on its way and says that all is well."""
    scene = Scene()
    answering = scene.store.hold("write_bulletin")
    await scene.run()
    scene.redis_trust.mode = "bus"
    first = asyncio.create_task(scene.bulletins.write_first(C, (UserId("ann"),)))
    await passed(0.1)
    assert scene.store.calls["write_bulletin"] == 1
    answering.set()
    await first
    assert (scene.own.mode, scene.own.users) == ("bus", ("ann",))


@in_virtual_time
async def test_users_within_their_grace_take_room_from_the_window() -> None:
    """Firestore refuses a document of more than 1 MiB, each round again: the others would take the instance for dead."""
    scene = Scene()
    for number in range(5_000):
        scene.bulletins.window.note_head(ConversationId(f"c{number:0>127}"), 1, scene.clock.monotonic())
    scene.left = {UserId(f"u{number:0>127}"): 1 for number in range(5_000)}
    await scene.run()
    written = scene.own
    assert len(written.left) == 5_000
    assert 0 < len(written.heads) < 5_000
    assert sum(len(key) + 9 for key in (*written.left, *written.heads)) <= 950_000
    assert written.overflow
