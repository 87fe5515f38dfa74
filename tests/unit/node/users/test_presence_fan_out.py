"""Presence is told between users who have both accepted a conversation, and from the moment at which they have."""

from collections.abc import Sequence
from typing import Any

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.presence import Presence
from holdfast.errors import StoreTimeout
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.cache import Conversations
from holdfast.node.tasks import Tasks
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.protocol import envelopes
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fakes import FakeDelivery, FakeStore, connection, conversation
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C, ALICE, BOB = ConversationId("c1"), UserId("alice"), UserId("bob")


class Scene:
    """Conversation `c1`, created by alice, with bob and carl; all are connected here."""

    def __init__(self) -> None:
        self.store, self.bus, delivery, clock = FakeStore(), FakeBus(), FakeDelivery(), LoopClock()
        self.store.conversations[C] = conversation(C, "alice", "bob", "carl")
        delivery.locals[C] = local = LocalConversation(C, 0.0)
        self.sockets = {user: connection(user) for user in ("alice", "bob", "carl")}
        for user, socket in self.sockets.items():
            local.connections[socket] = None
            self.store.on[user].add("one:1")
        self.bus.wanted.add(f"conversation:{C}")
        parts: Any = (self.store, self.bus, Conversations(self.store, self.bus, clock, FakeRedisTrust(self.bus, clock)), delivery)  # type: ignore[arg-type]  # the parts it uses
        self.fan_out = PresenceFanOut(*parts, Tasks())

    async def change(self, user: str, version: int, *, online: bool) -> None:
        """The user came or went at another instance."""
        fields: Any = {"v": 1, "kind": "presence", "user": user, "online": online, "version": version}
        self.fan_out.receive(envelopes.PresenceEnvelope(**fields, last_seen_at=None, conversations=[C]))
        await settled()

    async def accept(self, user: UserId) -> None:
        """The user read something for the first time."""
        self.store.cursors[C, user] = 1
        self.fan_out.accepted(C, user)
        await passed(0.1)

    def heard(self, user: str) -> list[str]:
        """The users of whom the user was told, a minus before those that went offline."""
        return [_said(part) for part in _written(self.sockets[user]).split('{"type":"presence","user_id":"')[1:]]


def _written(socket: Connection) -> str:
    written: list[bytes] = socket.transport.written  # type: ignore[attr-defined]  # a FakeTransport
    return b"".join(written).decode(errors="replace")  # with the headers of the frames


def _said(part: str) -> str:
    return ("" if '"online":true' in part else "-") + part.partition('"')[0]


@in_virtual_time
async def test_users_who_accepted_nothing_are_not_told_and_not_told_of() -> None:
    """The creator of a conversation does not learn when the users are online whom the creator added to it."""
    scene = Scene()
    await scene.change("bob", 1, online=False)
    await scene.change("alice", 1, online=False)
    assert [scene.heard(user) for user in scene.sockets] == [[], [], []]


@in_virtual_time
async def test_users_who_have_both_accepted_are_told_of_each_other() -> None:
    """The store is asked once for a conversation; later acceptances come by themselves."""
    scene = Scene()
    scene.store.cursors[C, BOB] = 1
    await scene.change("bob", 1, online=False)
    scene.store.fail("read_cursors", *[StoreTimeout("away")] * 100)
    await scene.change("alice", 1, online=False)
    assert [scene.heard(user) for user in scene.sockets] == [["-bob"], ["-alice"], []]


@in_virtual_time
async def test_changes_wait_in_order_for_a_store_that_is_away() -> None:
    """They are late, not lost."""
    scene = Scene()
    scene.store.cursors |= {(C, BOB): 1, (C, UserId("carl")): 1}
    scene.store.fail("read_cursors", *[StoreTimeout("away")] * 3)
    await scene.change("carl", 1, online=True)
    await scene.change("bob", 1, online=False)
    assert scene.heard("alice") == []
    await passed(3)
    assert scene.heard("alice") == ["carl", "-bob"]


@in_virtual_time
async def test_absence_that_was_over_before_the_store_answered_is_not_told() -> None:
    """Late as it is, it would show a user as offline who has been back for long."""
    scene = Scene()
    scene.store.cursors[C, BOB] = 1
    scene.store.fail("read_cursors", *[StoreTimeout("away")] * 3)
    await scene.change("bob", 1, online=False)
    await scene.change("bob", 2, online=True)
    await passed(3)
    assert scene.heard("alice") == ["bob"]


@in_virtual_time
async def test_acceptances_of_one_moment_are_read_together() -> None:
    """Users who come back read many conversations: each of them would cost a read for every member, and two of blocks."""
    scene = Scene()
    read_presence, asked = scene.store.read_presence, []

    async def noted(user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        asked.append(sorted(user_ids))
        return await read_presence(user_ids)

    scene.store.read_presence = noted  # type: ignore[method-assign]  # notes the users that are asked for
    scene.fan_out.accepted(C, BOB)
    await passed(0.1)
    asked.clear()
    scene.store.calls.clear()
    for user in (BOB, UserId("carl"), BOB):
        scene.store.cursors[C, user] = 1
        scene.fan_out.accepted(C, user)
    await passed(0.1)
    assert asked == [["alice", "bob", "carl"]]
    assert scene.store.calls["blocks_of"] == scene.store.calls["blockers_of"] == 2


@in_virtual_time
async def test_first_acceptance_tells_both_sides_who_is_online() -> None:
    """No presence changes at that moment, and without this each would count the other as offline."""
    scene = Scene()
    await scene.accept(BOB)
    assert [scene.heard(user) for user in scene.sockets] == [["bob"], ["alice"], []]
    scene.store.on["bob"].clear()
    await scene.accept(UserId("carl"))
    assert [scene.heard(user) for user in scene.sockets] == [["bob", "carl"], ["alice", "carl"], ["alice"]]


@in_virtual_time
async def test_first_acceptance_shows_nothing_to_blocked_users() -> None:
    """Reading a message does not lift a block."""
    scene = Scene()
    scene.store.blocks = {("bob", "alice")}
    await scene.accept(BOB)
    assert [scene.heard(user) for user in scene.sockets] == [[], [], []]


@in_virtual_time
async def test_after_a_new_subscription_the_store_is_asked_again() -> None:
    """Acceptances elsewhere while the bus was away are not missing for ever."""
    scene = Scene()
    await scene.change("alice", 1, online=False)
    scene.store.cursors[C, BOB] = 1
    await scene.change("alice", 2, online=True)
    assert scene.heard("bob") == []
    scene.bus.confirmations += 1
    await scene.change("alice", 3, online=False)
    assert scene.heard("bob") == ["-alice"]
