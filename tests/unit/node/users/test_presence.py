"""Online and offline: the grace, the order of changes, and users who are gone before we wrote that they came."""

import asyncio
from typing import Any

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import StoreTimeout
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.cache import Conversations
from holdfast.node.tasks import Tasks
from holdfast.node.users.presence import Presence
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.protocol import envelopes
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fakes import FakeDelivery, FakeStore, connection, conversation
from support.identities import identity_of
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

ALICE, GRACE = UserId("alice"), 15.0
_STORE_MS = 1_700_000_000_000


class Scene:
    """Presence of one instance; bob's socket shares `c1` with alice."""

    def __init__(self) -> None:
        self.store, self.bus, self.hub, self.delivery = FakeStore(), FakeBus(), Hub(Telemetry("test")), FakeDelivery()
        self.identity = identity_of()
        self.clock = LoopClock()
        self.store_clock = StoreClock(self.clock)
        self.store_clock.note(_STORE_MS, self.clock.monotonic())
        self.began = self.clock.monotonic()
        self.told_offline = 0
        self.fan_out = PresenceFanOut(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.bus,
            Conversations(self.store, self.bus, self.clock, FakeRedisTrust(self.bus, self.clock)),  # type: ignore[arg-type]  # the part it uses
            self.delivery,  # type: ignore[arg-type]  # the part it uses
            Tasks(),
        )
        self.presence = Presence(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.bus,
            self.hub,
            self.delivery,  # type: ignore[arg-type]  # the part it uses
            self.fan_out,
            self.clock,
            self.store_clock,
            Tasks(),
            self.identity,
            grace_seconds=GRACE,
            indicator_members=100,
            on_offline=self._on_offline,
        )
        self.bob = connection("bob")
        local = LocalConversation("c1", 0.0)  # type: ignore[arg-type]  # an id
        local.connections[self.bob] = None
        self.delivery.locals["c1"] = local
        self.store.conversations["c1"] = conversation("c1", "alice", "bob")
        self.store.cursors["c1", "bob"] = 1

    async def come(self, *, is_live: bool = True) -> Any:
        """Alice connects; her `hello` is answered, or not yet."""
        made = connection("alice", f"alice-{len(self.hub.connections)}")
        self.hub.add(made)
        self.presence.expect(ALICE)
        self.presence.note_conversations(ALICE, await self.store.memberships_of(ALICE))
        await self.presence.arrived(ALICE, self.clock.monotonic())
        made.has_been_live = is_live
        return made

    def _on_offline(self, user_ids: list[UserId]) -> None:
        self.told_offline += len(user_ids)

    def go(self, made: Any, heard_at: float | None = None) -> None:
        """Her connection ends; the last frame came at that time, or now."""
        if made.has_been_live:
            self.presence.heard(ALICE, self.clock.monotonic() if heard_at is None else heard_at)
        if self.hub.remove(made):
            self.presence.left(ALICE)

    def seen_after(self) -> float:
        """How many seconds after the beginning alice was last seen, as the store has it."""
        return round((self.store.seen_ms[ALICE] - _STORE_MS) / 1000, 1)

    async def ticks(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(int(seconds)):
            await passed(1)
            self.presence.tick()
        await settled()

    def heard(self) -> list[bool]:
        """What bob was told."""
        written = b"".join(self.bob.transport.written)  # type: ignore[attr-defined]  # a FakeTransport
        return [part.startswith(b"true") for part in written.split(b'"online":')[1:]]


@in_virtual_time
async def test_the_last_connections_end_counts_after_the_grace() -> None:
    """Not the first's, and not before."""
    scene = Scene()
    phone, laptop = await scene.come(), await scene.come()
    assert scene.store.on[ALICE] == {"one:1"}
    scene.go(phone)
    await scene.ticks(20)
    assert scene.store.on[ALICE]
    scene.go(laptop)
    await scene.ticks(14)
    assert scene.store.on[ALICE]
    await scene.ticks(3)
    assert not scene.store.on[ALICE]
    assert scene.heard() == [True, False]


@in_virtual_time
async def test_who_comes_back_within_the_grace_never_was_away() -> None:
    """Also when opening takes longer than what was left of it."""
    scene = Scene()
    scene.go(await scene.come())
    await scene.ticks(14)
    back = connection("alice", "back")
    scene.hub.add(back)
    scene.presence.expect(ALICE)  # the handshake; Redis and the store take their time from here
    await scene.ticks(5)
    await scene.presence.arrived(ALICE, scene.clock.monotonic())
    await scene.ticks(20)
    assert scene.store.on[ALICE] == {"one:1"}
    assert scene.heard() == [True]


@in_virtual_time
async def test_who_comes_while_its_going_is_written_is_online_in_the_end() -> None:
    """And the arrival is not answered by the write that took it away."""
    scene = Scene()
    scene.go(await scene.come())
    removing = scene.store.hold("remove_presence")
    await scene.ticks(17)
    arriving = asyncio.create_task(scene.come())
    await settled()
    adding = scene.store.hold("add_presence")
    removing.set()
    await settled()
    assert not arriving.done()
    adding.set()
    await arriving
    await settled()
    assert scene.store.on[ALICE] == {"one:1"}
    assert scene.heard() == [True, False, True]


@in_virtual_time
async def test_connection_that_was_never_live_is_no_proof_that_its_user_saw_anything() -> None:
    """A device that connects in the grace and is gone before `synced`: what came since the user left is still to be told."""
    scene = Scene()
    scene.go(await scene.come())
    await scene.ticks(10)
    scene.go(await scene.come(is_live=False))
    await scene.ticks(GRACE + 2)
    assert not scene.store.on[ALICE]
    assert scene.seen_after() == 0


@in_virtual_time
async def test_the_latest_proof_of_several_connections_counts() -> None:
    """A laptop showed everything while the phone was silent: the end of the phone is noticed later, and proves less."""
    scene = Scene()
    phone, laptop = await scene.come(), await scene.come()
    await scene.ticks(10)
    scene.go(laptop)
    await scene.ticks(12)
    scene.go(phone, heard_at=scene.began)
    await scene.ticks(GRACE + 2)
    assert not scene.store.on[ALICE]
    assert scene.seen_after() == 10


@in_virtual_time
async def test_user_is_leaving_until_the_store_says_so() -> None:
    """If this instance dies before, the others look through what came since the user left, not since it died."""
    scene = Scene()
    scene.go(await scene.come())
    assert scene.presence.leaving() == {ALICE: _STORE_MS - 1}
    removing = scene.store.hold("remove_presence")
    await scene.ticks(GRACE + 2)
    assert scene.presence.leaving() == {ALICE: _STORE_MS - 1}
    removing.set()
    await settled()
    assert scene.presence.leaving() == {}


@in_virtual_time
async def test_user_who_left_before_the_store_was_told_is_looked_after_like_one_who_came() -> None:
    """While the connection was there, messages made no notifications. Where the user is connected or known, nothing is done."""
    scene = Scene()
    opened_at = scene.clock.monotonic()
    await scene.ticks(3)
    closing = connection("alice", "closing")
    scene.hub.add(closing)
    closing.end()  # by us: its client has a second for the answer
    scene.presence.missed(ALICE, opened_at)
    await scene.ticks(1)
    closing.has_been_live = False
    scene.go(closing)
    assert scene.store.on[ALICE] == {"one:1"}
    await scene.ticks(GRACE + 2)
    assert not scene.store.on[ALICE]
    assert (scene.seen_after(), scene.told_offline) == (0, 1)
    made = await scene.come()
    calls = scene.store.calls["add_presence"]
    scene.presence.missed(ALICE, opened_at)
    scene.go(made)
    scene.presence.missed(ALICE, opened_at)
    await scene.ticks(1)
    assert scene.store.calls["add_presence"] == calls


@in_virtual_time
async def test_coming_is_told_although_the_going_of_others_cannot_be_written() -> None:
    """Both are in one group; when the group is repeated, the user is there already."""
    scene = Scene()
    carol = UserId("carol")
    scene.presence.missed(carol, 0.0)
    await scene.ticks(GRACE - 2)
    adding = scene.store.hold("add_presence")
    other = asyncio.create_task(scene.presence.arrived(UserId("dave"), 0.0))
    await scene.ticks(4)  # carol's grace ends
    coming = asyncio.create_task(scene.come())
    await settled()
    scene.store.fail("remove_presence", StoreTimeout("away"))
    adding.set()
    await asyncio.gather(coming, other)
    await passed(1)
    assert scene.heard() == [True]


@in_virtual_time
async def test_users_of_a_dead_run_are_told_as_offline_although_the_answer_was_lost() -> None:
    """Users that were taken out are not found any more: only the repetition of the same call returns these changes."""
    scene = Scene()
    scene.store.on["alice"] = {"dead:9"}
    scene.store.fail("remove_presence", StoreTimeout("late"), after=True)
    with pytest.raises(StoreTimeout):
        await scene.presence.reap("dead:9", 900, {})
    assert scene.store.on["alice"] == set()
    await scene.presence.reap("dead:9", 900, {})
    await settled()
    assert (scene.heard(), scene.told_offline) == ([False], 1)


@in_virtual_time
async def test_user_who_comes_does_not_wait_until_the_others_are_told() -> None:
    """From whom a presence is hidden takes reads of the store: hundreds who come at once would wait for those of all."""
    scene = Scene()
    asked = scene.store.hold("blocks_of")
    await scene.come()
    assert scene.store.on[ALICE] == {"one:1"}
    assert scene.heard() == []
    asked.set()
    await settled()
    assert scene.heard() == [True]


@in_virtual_time
async def test_user_in_no_conversation_costs_no_read_of_blocks() -> None:
    """Its presence is told to no other user, so it is of no interest from whom it is hidden."""
    scene = Scene()
    for name in ("lonely", "alice"):
        scene.hub.add(connection(name))
    scene.presence.note_conversations(UserId("lonely"), [])
    await scene.presence.arrived(UserId("lonely"), scene.clock.monotonic())
    await passed(0.1)
    assert scene.store.calls["blocks_of"] == scene.store.calls["blockers_of"] == 0
    await scene.presence.arrived(ALICE, scene.clock.monotonic())
    await passed(0.1)
    assert scene.store.calls["blocks_of"] == scene.store.calls["blockers_of"] == 1


@in_virtual_time
async def test_a_store_that_is_away_is_asked_again() -> None:
    """The change is late, not lost."""
    scene = Scene()
    scene.store.fail("add_presence", *[StoreTimeout("away")] * 5)
    await scene.come()
    assert scene.store.on[ALICE] == {"one:1"}


@in_virtual_time
async def test_of_two_changes_the_later_version_is_the_truth_in_whatever_order_they_come() -> None:
    """Envelopes cross and repeat; no client is told a state twice."""
    scene = Scene()
    for version, online in ((2, False), (1, True), (2, False), (4, False), (3, True), (5, True)):
        scene.fan_out.receive(
            envelopes.PresenceEnvelope(
                v=1, kind="presence", user="alice", online=online, version=version, last_seen_at=None, conversations=["c1"]
            )
        )
        await settled()
    assert scene.heard() == [False, False, True]


@in_virtual_time
async def test_absence_that_was_over_before_the_store_answered_is_not_announced() -> None:
    """From whom a presence is hidden is read before each announcement: no instance is told of what is out of date by then."""
    scene = Scene()
    made = await scene.come()
    await settled()
    scene.store.fail("blocks_of", *[StoreTimeout("away")] * 6)
    scene.go(made)
    await scene.ticks(GRACE + 1)
    await scene.come()
    await scene.ticks(4)
    assert scene.heard() == [True, True]
    assert [envelopes.decode(text).online for _, text in scene.bus.published] == [True, True]  # type: ignore[union-attr]  # all are of presence


@in_virtual_time
async def test_presence_is_hidden_between_users_of_whom_one_blocks_the_other() -> None:
    """Either direction; other instances are told from whom it is hidden, and obey."""
    for block in (("alice", "bob"), ("bob", "alice")):
        scene = Scene()
        scene.store.blocks = {block}
        made = await scene.come()
        scene.go(made)
        await scene.ticks(GRACE + 2)
        assert scene.heard() == []
        assert len(scene.bus.published) == 2
        assert all(envelopes.decode(text).hidden == ["bob"] for _, text in scene.bus.published)  # type: ignore[union-attr]  # all are of presence
    scene = Scene()
    for version, hidden in ((1, ["bob"]), (2, ["carl"])):
        scene.fan_out.receive(
            envelopes.PresenceEnvelope(
                v=1,
                kind="presence",
                user="alice",
                online=version == 1,
                version=version,
                last_seen_at=None,
                conversations=["c1"],
                hidden=hidden,
            )
        )
    await settled()
    assert scene.heard() == [False]


@in_virtual_time
async def test_a_dead_run_takes_only_its_own_entries() -> None:
    """A user who has reconnected elsewhere stays online; the others are announced as offline."""
    scene = Scene()
    scene.store.on["alice"] = {"dead:9"}
    scene.store.on["carol"] = {"dead:9", "two:1"}
    await scene.presence.reap("dead:9", 900, {})
    assert (scene.store.on["alice"], scene.store.on["carol"]) == (set(), {"two:1"})
    await settled()
    assert scene.heard() == [False]
    assert [channel for channel, _ in scene.bus.published] == ["conversation:c1"]


@in_virtual_time
async def test_no_user_is_written_before_the_bulletin_of_the_run() -> None:
    """An instance that is killed is found by its bulletin: users whom no bulletin stands for would be online for ever."""
    scene = Scene()
    scene.identity.is_written.clear()
    coming = asyncio.create_task(scene.come())
    await passed(5)
    assert scene.store.calls["add_presence"] == 0
    scene.identity.is_written.set()
    await coming
    assert scene.store.on[ALICE] == {"one:1"}


@in_virtual_time
async def test_run_that_was_declared_dead_adds_no_user() -> None:
    """No instance would look for such an entry: the user would be online for ever. Users who have left are still taken out."""
    scene = Scene()
    scene.go(await scene.come())
    await scene.ticks(10)
    scene.store.fail("add_presence", *[StoreTimeout("away")] * 5)
    for user in ("carol", "dave"):
        coming = asyncio.create_task(scene.presence.arrived(UserId(user), scene.clock.monotonic()))
        await passed(1)
        scene.identity.declared_dead.set()
        await passed(10)
        assert not scene.store.on[user]
        assert not coming.done()
        coming.cancel()
    await scene.ticks(2)
    assert not scene.store.on[ALICE]
