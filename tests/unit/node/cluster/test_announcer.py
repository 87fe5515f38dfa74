"""Each change is announced in the window and on the bus, also one that another instance made."""

import contextlib
import json

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.marks import change_mark
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.cluster.window import Contents, Window
from holdfast.ports import PublishedCommit
from holdfast.protocol.envelopes import ConversationEnvelope, ReceiptEnvelope
from support.fake_cluster import FakeBus
from support.fakes import conversation
from support.node_scene import NodeScene
from support.virtual_time import LoopClock, in_virtual_time, passed

C, ANN, BOB = ConversationId("c1"), UserId("ann"), UserId("bob")


class Scene:
    """The announcer of one instance."""

    def __init__(self) -> None:
        self.bus, self._window = FakeBus(), Window()
        self.announcer = Announcer(self.bus, self._window, LoopClock())

    @property
    def window(self) -> Contents:
        """The fields of the bulletin."""
        return self._window.contents(LoopClock().monotonic())

    @property
    def published(self) -> list[tuple[str, str]]:
        """Channel and kind of each envelope."""
        return [(channel, json.loads(envelope)["kind"]) for channel, envelope in self.bus.published]


def changed(event: str, version: int) -> ConversationEnvelope:
    """A change of a conversation of two members."""
    return ConversationEnvelope(
        v=1, kind="conversation", c=C, generation="g1", event=event, by=ANN, user=None, members_version=version, revision=version
    )  # type: ignore[arg-type]  # the events are texts


@in_virtual_time
async def test_head_is_noted_and_each_run_of_its_messages_is_published() -> None:
    """An instance that misses an envelope learns from the bulletin how far the conversation is."""
    scene = Scene()
    runs = [PublishedCommit(C, 1, [b"one"], b"{}", "g1"), PublishedCommit(C, 5, [b"five"], b"{}", "g1")]
    scene.announcer.head(C, 5, runs)
    assert scene.window["heads"] == {C: 5}
    assert [first for first, *_ in scene.bus.commits] == [1, 5]


@in_virtual_time
async def test_head_that_cannot_be_published_yet_is_noted() -> None:
    """Before the generation of the store is known every envelope would be dropped: the bulletin is the only way."""
    scene = Scene()
    scene.announcer.head(C, 5, [])
    assert (scene.window["heads"], scene.bus.commits) == ({C: 5}, [])


@in_virtual_time
async def test_change_of_members_is_noted_with_the_affected_users_and_published_to_them() -> None:
    """A newcomer's instance may not follow the conversation yet, so its users are named, too."""
    scene = Scene()
    scene.announcer.members(changed("member_added", 3), 2, [BOB])
    assert (scene.window["members"], scene.window["users"]) == ({C: 3}, (BOB,))
    assert scene.published == [(f"conversation:{C}", "conversation"), ("user:bob", "conversation")]


@in_virtual_time
async def test_change_of_a_title_is_only_published() -> None:
    """It changes neither the members nor any list, and these are all that the bulletin tells."""
    scene = Scene()
    scene.announcer.members(changed("updated", 4), 2, [])
    assert (scene.window["members"], scene.published) == ({}, [(f"conversation:{C}", "conversation")])


@in_virtual_time
async def test_receipt_is_noted_and_published() -> None:
    """Receipts have no sequencer: an instance that misses one shows it only if the bulletin names it."""
    scene = Scene()
    read = ReceiptEnvelope(v=1, kind="receipt", c=C, seq=7, generation="g1", user=BOB, read_at="")
    scene.announcer.receipt(read, f"conversation:{C}")
    assert (scene.window["receipts"], scene.published) == ({"c1|bob": 7}, [(f"conversation:{C}", "receipt")])


@in_virtual_time
async def test_acceptance_without_a_read_message_is_only_published() -> None:
    """Position 0 is no receipt. The store has the acceptance."""
    scene = Scene()
    accepted = ReceiptEnvelope(v=1, kind="receipt", c=C, seq=0, generation="g1", user=BOB, read_at="", is_first=True)
    scene.announcer.receipt(accepted, f"conversation:{C}")
    assert (scene.window["receipts"], scene.published) == ({}, [(f"conversation:{C}", "receipt")])


@in_virtual_time
async def test_changes_of_a_dead_instance_that_are_published_again_are_in_the_bulletin() -> None:
    """Its own bulletin does not have them: an instance that misses the second publication, too, would show them much later."""
    scene = NodeScene()
    scene.store.conversations[C] = conversation(C, "ann", "bob", version=4, revision=4)
    scene.store.put(C, "body 1", "body 2")
    scene.bus.marks += [f"{C}|two|0001|1", change_mark(BOB, "two|0001", 1, C, 3)]
    await scene.start()
    await passed(8)
    told = scene.store.bulletins[scene.node.identity.run]
    assert (told.heads, told.members, told.users) == ({C: 2}, {C: 4}, ("bob",))
    with contextlib.suppress(TimeoutError):
        await scene.close()
