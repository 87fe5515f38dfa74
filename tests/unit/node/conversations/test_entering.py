"""How a live connection enters a conversation: nothing between its membership and its joining is missed, nothing comes twice."""

import asyncio

from holdfast.errors import StoreTimeout
from holdfast.node.connections.connection import Connection
from holdfast.protocol import envelopes
from support.delivery_scene import C, Scene, seqs, shown
from support.fakes import FakeTransport, conversation
from support.fakes import connection as live
from support.virtual_time import in_virtual_time, passed, settled


def device(scene: Scene, user: str) -> Connection:
    """A socket whose `hello` was answered, and which hears nothing yet."""
    made = live(user)
    made.conversations = {}
    scene.hub.add(made)
    return made


def say(scene: Scene, *seqs: int) -> None:
    """Messages are committed and published by another instance."""
    scene.store.put(C, *(f"body {seq}" for seq in seqs))
    scene.receive(*seqs)


def told(event: envelopes.ConversationEvent, revision: int, user: str | None = None) -> envelopes.ConversationEnvelope:
    """What another instance publishes of a change."""
    return envelopes.ConversationEnvelope(
        v=1, kind="conversation", c=C, event=event, by="alice", user=user, members_version=revision, revision=revision
    )


def notices(to: Connection) -> list[tuple[str, int | None]]:
    """The events that a socket was told, with the `last_seq` of each."""
    found = [frame for frame in shown(to) if frame["type"] == "conversation"]
    return [(frame["event"], frame.get("conversation", {}).get("last_seq")) for frame in found]


@in_virtual_time
async def test_the_first_message_of_a_new_conversation_is_shown_however_slowly_the_instance_gets_to_it() -> None:
    """It was committed before the instance looked how far the conversation is."""
    scene = Scene()
    bob = device(scene, "bob")
    looking = scene.store.hold("heads")
    scene.membership.take(told("created", 1))
    await settled()
    scene.store.put(C, "body 1", "body 2")
    looking.set()
    await settled()
    say(scene, 3)
    await settled()
    assert (notices(bob), seqs(bob)) == ([("created", 0)], [1, 2, 3])


@in_virtual_time
async def test_delivery_to_a_new_member_starts_where_the_membership_starts() -> None:
    """The envelope of the change comes late: what was committed since is shown, and no history."""
    scene = Scene()
    await scene.join("alice")
    say(scene, 1, 2)
    await settled()
    carol = device(scene, "carol")
    scene.change_members("alice", "bob", "carol", version=2, joined={"carol": 2})
    say(scene, 3, 4)
    scene.membership.take(told("member_added", 2, "carol"))
    await settled()
    say(scene, 5)
    await settled()
    assert (notices(carol), seqs(carol)) == ([("member_added", 2)], [3, 4, 5])
    (notice,) = [frame for frame in shown(carol) if frame["type"] == "conversation"]
    assert notice["conversation"]["joined_seq"] == 2
    assert notice["conversation"]["unread_count"] == 0


@in_virtual_time
async def test_cursor_of_hello_counts_for_a_conversation_that_the_list_lacked() -> None:
    """The list of the user's conversations was stale when the device connected: what it has seen elsewhere does not come twice.

    A cursor of before the membership, or beyond the end, has no meaning.
    """
    for cursor, expected in ((4, [5, 6]), (1, [3, 4, 5, 6]), (9, [3, 4, 5, 6])):
        scene = Scene()
        await scene.join("alice")
        say(scene, 1, 2, 3, 4, 5)
        await settled()
        carol = device(scene, "carol")
        carol.unlisted_cursors = {C: cursor}
        scene.change_members("alice", "bob", "carol", version=2, joined={"carol": 2})
        scene.membership.take(told("member_added", 2, "carol"))
        await settled()
        say(scene, 6)
        await settled()
        assert seqs(carol) == expected


@in_virtual_time
async def test_cursor_ahead_of_the_instance_is_waited_for_in_a_conversation_that_the_list_lacked() -> None:
    """Another instance has shown the device messages that have not reached this one: they do not come twice.

    A cursor beyond the end of the store has no meaning.
    """
    for cursor, expected in ((4, [5, 6]), (9, [3, 4, 5, 6])):
        scene = Scene()
        (alice,) = await scene.join("alice")
        say(scene, 1, 2)
        await settled()
        scene.store.put(C, "body 3", "body 4", "body 5")
        carol = device(scene, "carol")
        carol.unlisted_cursors = {C: cursor}
        scene.change_members("alice", "bob", "carol", version=2, joined={"carol": 2})
        scene.membership.take(told("member_added", 2, "carol"))
        await settled()
        say(scene, 6)
        await scene.ticks(1.0)
        assert (seqs(carol), seqs(alice)) == (expected, [1, 2, 3, 4, 5, 6])


@in_virtual_time
async def test_member_added_again_while_a_cursor_ahead_is_looked_for_enters_once() -> None:
    """Two entrances of one connection waited for the store: the second one closed the connection with an internal error."""
    scene = Scene()
    await scene.join("alice")
    say(scene, 1, 2)
    await settled()
    carol = device(scene, "carol")
    carol.unlisted_cursors = {C: 9}
    answering = scene.store.hold("heads")
    for version, members in ((2, ("alice", "bob", "carol")), (3, ("alice", "bob")), (4, ("alice", "bob", "carol"))):
        scene.change_members(*members, version=version, joined={"carol": 2})
        scene.membership.take(told("member_added" if "carol" in members else "member_removed", version, "carol"))
        await settled()
    answering.set()
    await settled()
    say(scene, 3)
    await scene.ticks(1.0)
    assert seqs(carol) == [3]


@in_virtual_time
async def test_a_connection_enters_when_the_store_answers_again() -> None:
    """An outage during the change of members loses neither the notice nor a message."""
    scene = Scene()
    await scene.join("alice")
    carol = device(scene, "carol")
    scene.change_members("alice", "bob", "carol", version=2)
    scene.store.fail("read_conversation", *[StoreTimeout("away")] * 3)
    scene.store.fail("read_messages", *[StoreTimeout("away")] * 3)
    scene.membership.take(told("member_added", 2, "carol"))
    say(scene, 1)
    await passed(10)
    say(scene, 2)
    await settled()
    assert (notices(carol), seqs(carol)) == ([("member_added", 0)], [1, 2])


async def removed_while_entering(scene: Scene) -> tuple[Connection, asyncio.Event]:
    """Carol's device, added and removed while its messages are fetched; set the event, and they come."""
    await scene.join("alice")
    say(scene, 1)
    await settled()
    carol = device(scene, "carol")
    scene.change_members("alice", "bob", "carol", version=2)
    fetching = scene.store.hold("read_messages")
    scene.membership.take(told("member_added", 2, "carol"))
    await settled()
    scene.change_members("alice", "bob", version=3)
    scene.membership.take(told("member_removed", 3, "carol"))
    await settled()
    return carol, fetching


@in_virtual_time
async def test_a_user_who_is_removed_while_entering_hears_nothing() -> None:
    """The removal is heard while what was missed is still being fetched."""
    scene = Scene()
    carol, fetching = await removed_while_entering(scene)
    fetching.set()
    say(scene, 2)
    await settled()
    assert shown(carol) == []


@in_virtual_time
async def test_a_member_added_again_while_entering_is_shown_the_new_membership_alone() -> None:
    """The first attempt ends with the removal; the second one begins at the new position."""
    scene = Scene()
    carol, fetching = await removed_while_entering(scene)
    say(scene, 2)
    scene.change_members("alice", "bob", "carol", version=4, joined={"carol": 2})
    say(scene, 3)
    scene.membership.take(told("member_added", 4, "carol"))
    await settled()
    fetching.set()
    await settled()
    assert (notices(carol), seqs(carol)) == ([("member_added", 2)], [3])


@in_virtual_time
async def test_more_than_is_replayed_is_left_to_pages() -> None:
    """A notice that comes very late: the rest is named by `truncated`, and live goes on after it."""
    scene = Scene()
    await scene.join("alice")
    await scene.conversations.read(C)
    carol = device(scene, "carol")
    scene.change_members("alice", "bob", "carol", version=2)
    for first in range(1, 801, 100):
        say(scene, *range(first, first + 100))
        await settled()
    scene.membership.take(told("member_added", 2, "carol"))
    await settled()
    say(scene, 801)
    await settled()
    shown_seqs = seqs(carol)
    (cut,) = [frame for frame in shown(carol) if frame["type"] == "truncated"]
    assert shown_seqs == [*range(1, cut["from_seq"]), 801]
    assert (cut["from_seq"], cut["to_seq"]) == (501, 800)


@in_virtual_time
async def test_an_instance_that_is_full_sends_the_connection_elsewhere() -> None:
    """It cannot follow one more conversation: the client resumes by cursor where there is room."""
    scene = Scene(max_conversations=1)
    await scene.join("alice")
    bob = device(scene, "bob")
    scene.store.conversations["c2"] = conversation("c2", "alice", "bob")
    await scene.membership.refresh("c2")  # type: ignore[arg-type]  # a NewType
    await settled()
    assert isinstance(bob.transport, FakeTransport)
    assert bob.transport.closed == (1013, "overloaded")


@in_virtual_time
async def test_a_connection_that_ends_while_it_enters_is_forgotten() -> None:
    """With it everything that was fetched for it: what is kept of ended connections adds up."""
    scene = Scene()
    bob = device(scene, "bob")
    looking = scene.store.hold("heads")
    scene.membership.take(told("created", 1))
    await settled()
    assert scene.entering.is_under_way(bob, C)
    bob.end()
    looking.set()
    await passed(1.0)
    assert not scene.entering.is_under_way(bob, C)


@in_virtual_time
async def test_a_removal_that_was_undone_before_it_was_read_does_not_end_the_conversation() -> None:
    """The device stays in: told of a removal, it would forget where it is, and take what follows for a new conversation."""
    scene = Scene()
    alice, bob = await scene.join("alice", "bob")
    say(scene, 1, 2)
    await settled()
    scene.change_members("alice", "bob", version=3, joined={"bob": 2})
    scene.membership.take(told("member_removed", 2, "bob"))
    await settled()
    say(scene, 3)
    await settled()
    scene.membership.take(told("member_added", 3, "bob"))
    await settled()
    say(scene, 4)
    await settled()
    assert (notices(bob), seqs(bob)) == ([("member_added", 3)], [1, 2, 3, 4])
    assert [event for event, _ in notices(alice)] == ["member_removed", "member_added"]
