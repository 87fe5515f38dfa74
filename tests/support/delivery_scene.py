"""Delivery and membership of one instance over fakes, and what its sockets were given."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.cluster.window import Window
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.encoded import encoded
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.conversations.entering import Entering
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.membership import Membership
from holdfast.node.conversations.replay import Replay
from holdfast.node.foundation import Process
from holdfast.node.sending.append import Appender
from holdfast.node.tasks import Tasks
from holdfast.protocol import envelopes
from holdfast.settings import LimitSettings
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fakes import FakeStore, FakeTransport, connection, conversation
from support.identities import identity_of
from support.virtual_time import LoopClock, passed

C = ConversationId("c1")


class Scene:
    """Delivery and membership of one instance; alice and bob are in `c1`."""

    def __init__(self, max_conversations: int = 3, store: FakeStore | None = None, telemetry: Telemetry | None = None) -> None:
        """`store`: one that others have, too, with whatever is in it."""
        self.store, self.bus, self.clock = store or FakeStore(), FakeBus(), LoopClock()
        self.telemetry, self.hub, self.tasks = telemetry or Telemetry("test"), Hub(Telemetry("test")), Tasks()
        self.store_clock = StoreClock(self.clock)
        self.conversations = Conversations(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.bus,
            self.clock,
            FakeRedisTrust(self.bus, self.clock),
        )
        self.identity = identity_of()
        self.window = Window()
        self.announcer = Announcer(self.bus, self.window, self.clock)
        self.process = Process(self.identity, self.clock, self.tasks, self.telemetry)
        appender = Appender(self.identity, self.store, self.clock, self.telemetry, lambda _: None)  # type: ignore[arg-type]  # the part it uses
        self.delivery = Delivery(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.bus,
            self.bus,
            self.hub,
            self.conversations,
            appender,
            self.announcer,
            self.store_clock,
            self.process,
            max_conversations=max_conversations,
        )
        self.replay = Replay(self.store, self.delivery, self.telemetry)  # type: ignore[arg-type]  # the part it uses
        self.local = LocalSide(self.hub, self.conversations, self.delivery)
        self.entering = Entering(self.local, self.replay, self.tasks, LimitSettings(), lambda *_: None)
        self.membership = Membership(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.announcer,
            self.local,
            self.entering,
            self.process,
            indicator_members=100,
        )
        self.delivery.on_stale_membership = self.membership.refresh
        self.delivery.on_newer_members = self.membership.enforce
        self.delivery.generation = "store-1"
        if store is None:
            self.store.conversations[C] = conversation(C, "alice", "bob")

    async def join(self, *users: str) -> list[Connection]:
        """These users' sockets hear the conversation."""
        await self.delivery.activate({C: 0})
        joined = [connection(user) for user in users]
        for each in joined:
            self.hub.add(each)
            each.conversations = {}
            self.hub.join(self.delivery.locals[C], each)
        return joined

    def receive(self, *seqs: Seq, accepted_ms: Sequence[int] = (), traceparents: dict[int, str] | None = None) -> None:
        """An envelope of another instance; without `accepted_ms`: one of an earlier version."""
        texts = [encoded(delivered(seq), "bus", 0.0).text for seq in seqs]
        self.delivery.receive(
            envelopes.MessagesEnvelope(
                v=1,
                kind="messages",
                c=C,
                seq=seqs[-1],
                instance="two",
                age_ms=0,
                messages=[envelopes.Raw(t) for t in texts],
                accepted_ms=list(accepted_ms),
                traceparents=traceparents or UNSET,
            )
        )

    def change_members(self, *members: str, version: int, joined: Mapping[str, Seq] | None = None) -> None:
        """The store holds another membership, without an announcement. `joined`: where memberships begin."""
        self.store.conversations[C] = conversation(C, *members, version=version, revision=version, joined=joined)

    async def ticks(self, seconds: float) -> None:
        """Time passes, and holes are looked for."""
        for _ in range(int(seconds / 0.05)):
            await passed(0.05)
            self.delivery.tick()


def delivered(seq: Seq, body: str | None = None) -> Message:
    return Message(C, seq, UserId("bob"), f"key-{seq}", body or f"body {seq}", None, 5)


def shown(to: Connection) -> list[dict[str, Any]]:
    """The frames that a connection was given."""
    assert isinstance(to.transport, FakeTransport)
    data, frames = b"".join(to.transport.written), []
    while data:
        size, head = data[1], 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[2:10], "big"), 10
        frames.append(json.loads(data[head : head + size]))
        data = data[head + size :]
    return frames


def seqs(to: Connection) -> list[int]:
    """The messages among them."""
    return [frame["seq"] for frame in shown(to) if frame["type"] == "message"]
