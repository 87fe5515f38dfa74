"""Receipts of one instance over fakes, and what its sockets and the other instances were told."""

import json
from types import SimpleNamespace
from typing import Any

from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.cluster.window import Window
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.cache import Conversations
from holdfast.node.tasks import Tasks
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.node.users.receipt_fan_out import ReceiptFanOut
from holdfast.node.users.receipts import ReadDone, Receipts
from holdfast.protocol import envelopes
from holdfast.protocol.jsontext import rfc3339
from holdfast.telemetry import Telemetry
from support.delivery_scene import shown
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fake_rosters import FakeRosters
from support.fakes import FakeDelivery, FakeStore, connection, conversation
from support.virtual_time import LoopClock

C, ALICE, BOB = ConversationId("c1"), UserId("alice"), UserId("bob")


class Scene:
    """Receipts of one instance; `c1` has ten messages, alice and bob."""

    def __init__(self, *members: str) -> None:
        self.store, self.bus, self.hub = FakeStore(), FakeBus(), Hub(Telemetry("test"))
        self.store.conversations[C] = conversation(C, "alice", "bob", *members)
        self.store.put(C, *(f"body {number}" for number in range(10)))
        self.answers: list[tuple[str, object]] = []
        self.moved: list[tuple[str, int]] = []
        self.rosters, self.delivery, self.window = FakeRosters(), FakeDelivery(), Window()
        self.conversations = conversations = Conversations(
            self.store, self.bus, LoopClock(), FakeRedisTrust(self.bus, LoopClock())
        )  # type: ignore[arg-type]  # the part it uses
        parts: Any = (self.store, self.bus, conversations, self.delivery)
        presence_fan_out = PresenceFanOut(*parts, Tasks())
        self.fan_out = ReceiptFanOut(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.hub,
            conversations,
            self.delivery,  # type: ignore[arg-type]  # the part it uses
            presence_fan_out,
            LoopClock(),
            Tasks(),
            indicator_members=100,
        )
        self.receipts = Receipts(
            self.store,  # type: ignore[arg-type]  # the part it uses
            Announcer(self.bus, self.window, LoopClock()),
            self.fan_out,
            conversations,
            self.delivery,  # type: ignore[arg-type]  # the part it uses
            self.rosters,
            presence_fan_out,
            SimpleNamespace(note_read=lambda _, user, seq: self.moved.append((user, seq))),  # type: ignore[arg-type]  # the part it uses
            LoopClock(),
            indicator_members=100,
        )

    def read(self, user_id: str, seq: int) -> None:
        """A read; its answer is noted as seq or code."""

        def note(result: ReadDone | CommandError) -> None:
            self.answers.append((user_id, result.seq if isinstance(result, ReadDone) else result.code))

        self.receipts.read(C, UserId(user_id), seq, note)

    def listener(self, user_id: str = "bob") -> Connection:
        """A connection that begins to hear the conversation now."""
        local = self.delivery.locals.setdefault(C, LocalConversation(C, 0.0))
        listener = connection(user_id)
        self.hub.add(listener)
        self.hub.join(local, listener)
        return listener

    def receive(self, seq: int, age_seconds: float = 0.0, channel: str = f"conversation:{C}") -> None:
        """An envelope of another instance that committed alice's cursor so long ago."""
        read_at = rfc3339(LoopClock().now_ms() - round(age_seconds * 1000))
        self.fan_out.receive(channel, envelopes.ReceiptEnvelope(v=1, kind="receipt", c=C, seq=seq, user=ALICE, read_at=read_at))

    def published(self) -> list[tuple[str, str, int]]:
        """What other instances are told."""
        told = [(channel, json.loads(envelope)) for channel, envelope in self.bus.published]
        return [(channel, envelope["user"], envelope["seq"]) for channel, envelope in told if envelope["seq"]]

    def accepted(self) -> list[str]:
        """The users of whom other instances are told that they accepted the conversation."""
        return [envelope["user"] for _, text in self.bus.published if (envelope := json.loads(text))["is_first"]]


def heard(listener: Connection) -> list[int]:
    """The receipts that a connection was given."""
    return [frame["seq"] for frame in shown(listener) if frame["type"] == "receipt"]
