"""Connections that begin at instances over one store and one Redis, and what their sockets are given."""

import json
from types import SimpleNamespace
from typing import Any

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.connections.connection import Connection
from holdfast.node.sessions.connecting import Connecting
from holdfast.node.sessions.registration import Registration
from holdfast.node.sessions.resuming import Resuming
from holdfast.node.users.rosters import Rosters
from holdfast.settings import LimitSettings
from support.delivery_scene import C
from support.delivery_scene import Scene as DeliveryScene
from support.fake_redis_trust import FakeRedisTrust
from support.fake_registered import FakeRegistered
from support.fake_rosters import FakeRosters
from support.fakes import FakeStore, FakeTransport, connection, conversation
from support.virtual_time import passed

D = ConversationId("c2")
READS = ("memberships_of", "heads", "cursors_of", "read_messages", "read_conversation", "read_cursors")


class Instance(DeliveryScene):
    """One instance, on a store and a Redis that it shares with others."""

    def __init__(self, store: FakeStore, cache: FakeRosters) -> None:
        super().__init__(10_000, store)
        rosters = Rosters(
            cache,
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.telemetry,
            self.delivery,
            FakeRedisTrust(self.bus, self.clock, cache),
            self.clock,
        )
        self.delivery.published_tails = rosters.tails
        conversations: Any = SimpleNamespace(
            local=self.local, cache=self.conversations, delivery=self.delivery, membership=self.membership, replay=self.replay
        )
        resuming = Resuming(
            self.store,  # type: ignore[arg-type]  # the part it uses
            conversations,
            rosters,
            self.process,
            LimitSettings(),
        )
        registration = Registration(FakeRegistered(), self.bus, LimitSettings().connections_per_user)  # type: ignore[arg-type]  # the part it uses
        self.presence = FakeRegistered()
        users: Any = SimpleNamespace(presence=self.presence, rosters=rosters)
        self.connecting = Connecting(registration, resuming, self.local, users, self.process)

    async def connect(self, user_id: str, cursors: dict[str, Seq] | None = None, generation: str = "") -> Connection:
        """A user's socket, answered."""
        made = connection(user_id)
        self.connecting.open(made)
        self.connecting.resume(made, cursors, generation)
        await passed(0.5)
        return made

    def told(self, event: str, version: int, user: str) -> None:
        """Another instance publishes a change of `c1`."""
        envelope = self.membership.publish(
            self.store.conversations[C],
            event,  # type: ignore[arg-type]  # one of its words
            UserId("bob"),
            [UserId(user)],
        )
        assert envelope.revision == version
        self.conversations.hint(C, version)
        self.membership.take(envelope)


class Scene:
    """A store with alice and bob in `c1` and `c2`, and what Redis remembers."""

    def __init__(self) -> None:
        self.store, self.cache = FakeStore(), FakeRosters()
        self.store.conversations[C] = conversation(C, "alice", "bob")
        self.store.conversations[D] = conversation(D, "alice", "bob")

    def instance(self) -> Instance:
        """A start of an instance: all caches are empty."""
        return Instance(self.store, self.cache)

    def reads(self) -> int:
        """How often the store was asked so far."""
        return sum(self.store.calls[call] for call in READS)


def frames(to: Connection) -> list[dict[str, Any]]:
    """What a socket was given, decoded."""
    assert isinstance(to.transport, FakeTransport)
    decoder = json.JSONDecoder()
    text, found = b"".join(to.transport.written).decode("utf-8", "ignore"), []
    while (start := text.find("{")) >= 0:
        frame, end = decoder.raw_decode(text, start)
        found.append(frame)
        text = text[end:]
    return found


def synced(to: Connection) -> dict[str, Any]:
    """The one `synced` that it was given."""
    (frame,) = [frame for frame in frames(to) if frame["type"] == "synced"]
    return frame
