"""Which users receive a conversation: memberships are proven, a user who leaves gets nothing after, a user who joins is told
once."""

import asyncio
from collections.abc import Mapping

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import StoreTimeout
from holdfast.node.connections.connection import Connection
from holdfast.protocol import envelopes
from support.delivery_scene import C, Scene, seqs, shown
from support.fakes import FakeTransport, connection
from support.virtual_time import LoopClock, in_virtual_time, passed, settled


@in_virtual_time
async def test_a_membership_that_may_not_be_believed_is_read_before_anything_is_shown() -> None:
    """The bus is deaf, bob was removed meanwhile: he hears of that, and not what was said after."""
    scene = Scene()
    alice, bob = await scene.join("alice", "bob")
    scene.receive(1)
    await settled()
    scene.bus.is_live = False
    await passed(2.5)
    scene.change_members("alice", version=2)
    reading = scene.store.hold("read_conversation")
    scene.receive(2)
    scene.receive(3)
    await settled()
    assert (seqs(alice), seqs(bob)) == ([1], [1])
    reading.set()
    await settled()
    assert (seqs(alice), seqs(bob)) == ([1, 2, 3], [1])
    assert shown(bob)[-1]["event"] == "member_removed"


@in_virtual_time
async def test_while_the_store_is_away_a_stale_membership_holds_everything_back() -> None:
    """It is never guessed."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.bus.is_live = False
    await passed(2.5)
    scene.store.fail("read_conversation", *[StoreTimeout("away")] * 6)
    scene.receive(1)
    await passed(2)
    assert seqs(alice) == []
    await passed(2)
    assert seqs(alice) == [1]


@in_virtual_time
async def test_more_than_may_be_held_back_ends_the_connections() -> None:
    """Their clients resume by cursor; no client is shown a stream with a gap."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.hold("read_conversation")
    scene.store.fail("read_conversation", StoreTimeout("away"))
    for seq in range(1, 1_100):
        scene.receive(seq)
    scene.store._gates["read_conversation"].set()
    await passed(1)
    assert isinstance(alice.transport, FakeTransport)
    assert (seqs(alice), alice.transport.closed) == ([], (1013, "overloaded"))


@in_virtual_time
async def test_what_this_instance_knows_of_a_removal_counts_before_the_nextdelivered() -> None:
    """The removal is committed here, its announcement still reads the store, and a member sends a message."""
    scene = Scene()
    alice, bob = await scene.join("alice", "bob")
    scene.receive(1)
    await settled()
    scene.change_members("alice", version=2)
    scene.conversations.keep(scene.store.conversations[C])
    scene.receive(2)
    await settled()
    assert (seqs(alice), seqs(bob)) == ([1, 2], [1])
    assert [frame["event"] for frame in shown(bob) if frame["type"] == "conversation"] == ["member_removed"]


@in_virtual_time
async def test_a_newcomer_is_told_where_live_starts_and_hears_exactly_what_follows() -> None:
    """Also while earlier messages are held back for a proof."""
    scene = Scene()
    await scene.join("alice")
    scene.receive(1)
    await settled()
    scene.bus.is_live = False
    await passed(2.5)
    reading = scene.store.hold("read_conversation")
    scene.receive(2)
    scene.change_members("alice", "bob", "carol", version=2, joined={"carol": 1})
    carol = connection("carol")
    carol.conversations = {}
    scene.hub.add(carol)
    await settled()
    reading.set()
    await settled()
    (notice,) = [frame for frame in shown(carol) if frame["type"] == "conversation"]
    assert seqs(carol) == [notice["conversation"]["last_seq"] + 1] == [2]


@in_virtual_time
async def test_an_event_that_comes_on_several_channels_is_told_once() -> None:
    """The conversation's and every affected user's channel carry the same hint."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.change_members("alice", "bob", "carol", version=2)
    hint = envelopes.ConversationEnvelope(
        v=1, kind="conversation", c=C, event="member_added", by="alice", user="carol", members_version=2, revision=2
    )
    for _ in range(3):
        scene.membership.take(hint)
        await settled()
    events = [(f["event"], f["user_id"], f["by"]) for f in shown(alice) if f["type"] == "conversation"]
    assert events == [("member_added", "carol", "alice")]


@in_virtual_time
async def test_who_is_let_in_by_a_proof_hears_of_it_once() -> None:
    """A message comes while the hint of its joining is being looked into: the membership is read for both."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.receive(1)
    await settled()
    carol = connection("carol")
    carol.conversations = {}
    scene.hub.add(carol)
    scene.change_members("alice", "bob", "carol", version=2)
    counting = scene.store.hold("read_cursors")
    hint = envelopes.ConversationEnvelope(
        v=1, kind="conversation", c=C, event="member_added", by="bob", user="carol", members_version=2, revision=2
    )
    scene.membership.take(hint)
    await asyncio.sleep(0)
    scene.receive(2)
    await settled()
    counting.set()
    await settled()
    for each in (alice, carol):
        events = [(f["event"], f["user_id"], f["by"]) for f in shown(each) if f["type"] == "conversation"]
        assert events == [("member_added", "carol", "bob")]
    assert seqs(alice) == [1, 2]


@in_virtual_time
async def test_who_was_let_in_before_the_hint_came_is_not_told_again() -> None:
    """The others are; and of what changes later everybody is."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    carol = connection("carol")
    carol.conversations = {}
    scene.hub.add(carol)
    scene.change_members("alice", "bob", "carol", version=2)
    await scene.membership.refresh(C)
    scene.membership.take(_hint("member_added", 2, "carol"))
    await settled()
    for number, member in enumerate(("dave", "erin"), start=3):
        scene.change_members("alice", "bob", "carol", member, version=number)
        scene.membership.take(_hint("member_added", number, member))
        await settled()
    assert _added(carol) == _added(alice) == ["carol", "dave", "erin"]
    scene.change_members("alice", "bob", version=5)
    scene.membership.take(_hint("member_removed", 5, "carol"))
    await settled()
    scene.change_members("alice", "bob", "carol", version=6)
    scene.membership.take(_hint("member_added", 6, "carol"))
    await settled()
    assert _added(carol)[3:] == _added(alice)[3:] == ["carol"]


def _hint(event: envelopes.ConversationEvent, revision: int, user: str) -> envelopes.ConversationEnvelope:
    return envelopes.ConversationEnvelope(
        v=1, kind="conversation", c=C, event=event, by="alice", user=user, members_version=revision, revision=revision
    )


def _added(to: Connection) -> list[str]:
    return [f["user_id"] for f in shown(to) if f["type"] == "conversation" and f["event"] == "member_added"]


@in_virtual_time
async def test_a_row_that_is_older_than_a_removal_lets_nobody_in() -> None:
    """Between the read of a user's conversations and its `hello` the user was removed."""
    scene = Scene()
    await scene.join("alice")
    (row,) = await scene.store.memberships_of(UserId("bob"))
    assert not scene.membership.has_left(UserId("bob"), row)
    scene.change_members("alice", version=2)
    await scene.membership.refresh(C)
    assert scene.membership.has_left(UserId("bob"), row)
    assert not scene.membership.has_left(UserId("alice"), row)


@in_virtual_time
async def test_a_conversation_that_nobody_here_hears_is_let_go_after_a_while() -> None:
    """People come back within seconds; after that the subscription would be a leak."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.hub.leave(scene.delivery.locals[C], alice, LoopClock().monotonic())
    await scene.ticks(5)
    assert C in scene.delivery.locals
    await scene.ticks(6)
    assert C not in scene.delivery.locals
    assert f"conversation:{C}" not in scene.bus.wanted


@in_virtual_time
async def test_a_comparison_finds_what_no_envelope_brought() -> None:
    """After a resubscription: the store is asked how far each conversation is."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.put(C, "body 1", "body 2")
    await scene.delivery.gaps.compare("resubscribed")
    await settled()
    assert seqs(alice) == [1, 2]


@in_virtual_time
async def test_a_comparison_of_everything_keeps_its_budget_and_begins_with_what_was_active_last() -> None:
    """10,000 conversations after a rolling restart must not be 10,000 reads at once; active conversations come first."""
    scene = Scene(max_conversations=2_000)
    ids = [ConversationId(f"c{number:04d}") for number in range(1_200)]
    await scene.delivery.activate(dict.fromkeys(ids, 0))
    await passed(60)
    asked: list[tuple[float, list[ConversationId]]] = []
    heads = scene.store.heads

    async def spy(known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        asked.append((asyncio.get_running_loop().time(), list(known)))
        return await heads(known)

    scene.store.heads = spy  # type: ignore[method-assign]  # as it is, but watched
    scene.delivery.locals[ids[777]].active_at = asyncio.get_running_loop().time() + 1
    began = asyncio.get_running_loop().time()
    await scene.delivery.gaps.compare("test")
    assert asked[0][1][0] == ids[777]
    assert sum(len(chunk) for _, chunk in asked) == 1_200
    assert asked[-1][0] - began >= (1_200 - 500) / 300 - 0.1
