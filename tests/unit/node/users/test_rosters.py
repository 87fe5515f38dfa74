"""When a user's conversation list is served without asking the store, and every race in which it must not be."""

from types import SimpleNamespace

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.users.rosters import Rosters
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fake_rosters import FakeRosters
from support.fakes import FakeStore, conversation
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

ANN = UserId("ann")
C, D = ConversationId("c1"), ConversationId("c2")
Told = tuple[dict[ConversationId, Seq], dict[ConversationId, int]]


class Scene:
    """One instance, whose store has two conversations of ann's, 7 messages in the first, of which she read 3."""

    def __init__(self) -> None:
        self.store, self.cache, self.bus = FakeStore(), FakeRosters(), FakeBus()
        self.redis_trust = FakeRedisTrust(self.bus, LoopClock(), self.cache)
        for c in (C, D):
            self.store.conversations[c] = conversation(c, "ann", "ben")
        self.store.put(C, *(f"body {number}" for number in range(7)))
        self.store.cursors[C, ANN] = 3
        self.rosters = Rosters(
            self.cache,
            self.store,  # type: ignore[arg-type]  # the part it uses
            Telemetry("test"),
            SimpleNamespace(generation="store-1"),  # type: ignore[arg-type]  # the part it uses
            self.redis_trust,
            LoopClock(),
        )

    async def connect(self) -> Told:
        """What ann is told, read as connecting reads it."""
        roster = await self.rosters.of(ANN)
        known = {row.conversation_id: row.last_seq for row in roster.memberships}
        tails = await self.rosters.tails(known, roster.proof)
        heads = tails or await self.store.heads(known)
        return await self.rosters.finish(ANN, roster, heads)

    def reads(self) -> int:
        """How often the store was asked."""
        return sum(self.store.calls[call] for call in ("memberships_of", "heads", "cursors_of"))

    async def reads_of(self) -> int:
        """How often it is asked when ann connects now."""
        before = self.reads()
        await self.connect()
        return self.reads() - before


@in_virtual_time
async def test_who_comes_back_costs_no_read() -> None:
    """10,000 clients with 50 conversations each, after a rolling restart."""
    scene = Scene()
    first = await scene.connect()
    assert first == ({C: 3, D: 0}, {C: 1, D: 1})
    before = scene.reads()
    assert await scene.connect() == first
    assert scene.reads() == before


@in_virtual_time
async def test_tails_are_what_was_published_since() -> None:
    """And a proof that holds no more gives none: the store is asked."""
    scene = Scene()
    await scene.connect()
    roster = await scene.rosters.of(ANN)
    known = {row.conversation_id: row.last_seq for row in roster.memberships}
    scene.cache.published[C] = 9
    assert await scene.rosters.tails(known, roster.proof) == {C: 9, D: 0}
    await scene.cache.new_era()
    assert await scene.rosters.tails(known, roster.proof) == {}
    assert await scene.rosters.tails(known, "") == {}


@in_virtual_time
async def test_a_list_read_before_a_change_is_not_remembered_after_it() -> None:
    """The store was read, then another instance changed the members and announced it, then the list would be written."""
    scene = Scene()
    roster = await scene.rosters.of(ANN)
    del scene.store.conversations[D]
    scene.cache.forget(ANN)
    await scene.rosters.finish(ANN, roster, {C: 7, D: 0})
    assert ANN not in scene.cache.rows
    assert await scene.connect() == ({C: 3}, {C: 1})


@in_virtual_time
async def test_a_change_while_connecting_is_read_again() -> None:
    """Its list was believed, and is gone by the time that the client is told."""
    scene = Scene()
    await scene.connect()
    roster = await scene.rosters.of(ANN)
    scene.store.conversations[C] = conversation(C, "ann", "ben", "cyd", version=2, revision=2)
    scene.cache.forget(ANN)
    assert await scene.rosters.finish(ANN, roster, {C: 7, D: 0}) == ({C: 3, D: 0}, {C: 2, D: 1})


@in_virtual_time
async def test_a_roster_that_is_not_whole_is_not_remembered() -> None:
    """One of its conversations was left while the client was being answered."""
    scene = Scene()
    roster = await scene.rosters.of(ANN)
    await scene.rosters.finish(ANN, roster, {C: 7})
    assert ANN not in scene.cache.rows


@in_virtual_time
async def test_who_had_no_conversation_and_is_added_while_connecting_is_not_remembered_without() -> None:
    """Nothing in a list of nothing shows that it is an old one."""
    scene = Scene()
    scene.store.conversations.clear()
    assert await scene.connect() == ({}, {})
    roster = await scene.rosters.of(ANN)
    scene.store.conversations[C] = conversation(C, "ann")
    scene.cache.forget(ANN)
    await scene.rosters.finish(ANN, roster, {})
    assert await scene.connect() == ({C: 3}, {C: 1})


@in_virtual_time
async def test_a_cursor_that_is_being_written_is_asked_of_the_store() -> None:
    """Also when its writer died: a client's own cursor never goes back."""
    scene = Scene()
    await scene.connect()
    name = await scene.cache.begin_reads(C, [ANN])
    scene.store.cursors[C, ANN] = 5
    before = scene.store.calls["cursors_of"]
    assert (await scene.connect())[0] == {C: 5, D: 0}
    assert scene.store.calls["cursors_of"] == before + 1
    scene.cache.end_reads(name, C, {ANN: 5}, "store-1")
    assert (await scene.connect())[0] == {C: 5, D: 0}
    assert scene.store.calls["cursors_of"] == before + 1


@in_virtual_time
async def test_nothing_is_believed_unless_everything_is_well() -> None:
    """Not without a proven bus, nor while another instance cannot tell what it changed, nor without an answer."""
    scene = Scene()
    await scene.connect()
    scene.bus.is_live = False
    assert await scene.reads_of() == 3
    scene.bus.is_live = True
    scene.redis_trust.has_fleet_well = False
    assert await scene.reads_of() == 3
    scene.redis_trust.has_fleet_well = True
    scene.cache.is_away = True
    assert await scene.reads_of() == 3
    scene.cache.is_away = False
    assert await scene.reads_of() == 0


@in_virtual_time
async def test_a_lost_write_ends_what_is_remembered() -> None:
    """It may have been the one that would have: until a new era has begun nothing is believed, and nothing after it of before."""
    scene = Scene()
    await scene.connect()
    running = supervised(scene.rosters.loop)
    scene.cache.losses = 1
    scene.cache.is_away = True
    assert scene.redis_trust.losses.are_untold
    assert await scene.reads_of() == 3
    await passed(1)
    assert scene.redis_trust.losses.are_untold
    scene.cache.is_away = False
    await passed(1)
    assert not scene.redis_trust.losses.are_untold
    assert scene.cache.eras == 1
    assert await scene.reads_of() == 3
    assert await scene.reads_of() == 0
    scene.redis_trust.losses.note_uncertain_write()
    await passed(1)
    assert scene.cache.eras == 2
    running.cancel()
    await settled()


@in_virtual_time
async def test_a_change_without_a_mark_ends_what_is_remembered_when_it_is_over() -> None:
    """No era begins while it is under way: a list of before could be remembered in it."""
    scene = Scene()
    await scene.connect()
    running = supervised(scene.rosters.loop)
    with scene.redis_trust.losses.unmarked():
        await passed(1)
        assert scene.redis_trust.losses.are_untold
        assert await scene.reads_of() == 3
        assert (ANN in scene.cache.rows, scene.cache.eras) == (True, 0)
    await passed(1)
    assert not scene.redis_trust.losses.are_untold
    assert scene.cache.eras == 1
    assert await scene.reads_of() == 3
    assert await scene.reads_of() == 0
    running.cancel()
    await settled()


@in_virtual_time
async def test_nothing_is_remembered_of_what_was_read_before_a_loss() -> None:
    """The change that was lost may have come in between."""
    scene = Scene()
    roster = await scene.rosters.of(ANN)
    scene.cache.losses = 1
    await scene.rosters.finish(ANN, roster, {C: 7, D: 0})
    assert ANN not in scene.cache.rows
