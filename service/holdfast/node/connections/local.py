"""A conversation that has members connected here."""

import asyncio
from typing import Final

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.sequencer import Sequencer
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.encoded import Encoded

_MAX_ANNOUNCED: Final = 500  # five batches of changes

EventKey = tuple[int, str, str | None]
"""Revision, event, and the user whom it is about: one write may change several members."""


class LocalConversation:
    """Its stream, its local connections, and what this tick will write to them. Owned by `delivery`.

    Attributes:
        accepted: the users that have accepted it (`acceptance`); None: unknown.
        accepted_under: the subscription under which these were read.
        active_at: when a message last came, by any way, on the monotonic clock.
        connections: those that receive it, in the order in which they joined; the values are not used.
        announced: events that local connections have received, the latest ones.
        members_version: the latest members that its connections were compared with.
        pending: encoded frames of this tick, in order.
        held: messages that wait until the membership is proven.
        is_filling: a fetch for its hole is under way.
        is_unproven: its head was read before its subscription was confirmed: messages in between did not arrive here.
        proving: the task that reads the membership for the held messages; None without any.
        suspected: the first message that was passed by the stream and committed all the same, while the store is asked about it.
        starting: the task that subscribes and finds the head; None once the stream runs.
        idle_since: when its last local connection left, on the monotonic clock; None while there is one.
    """

    __slots__ = (
        "accepted",
        "accepted_under",
        "active_at",
        "announced",
        "connections",
        "conversation_id",
        "held",
        "idle_since",
        "is_filling",
        "is_unproven",
        "members_version",
        "pending",
        "proving",
        "sequencer",
        "starting",
        "suspected",
    )

    def __init__(self, conversation_id: ConversationId, now: float) -> None:
        self.conversation_id = conversation_id
        self.sequencer: Sequencer[Encoded] = Sequencer()
        self.connections: dict[Connection, None] = {}
        self.pending: list[bytes] = []
        self.announced: dict[EventKey, None] = {}
        self.held: list[Encoded] = []
        self.accepted: set[UserId] | None = None
        self.accepted_under = 0
        self.active_at = now
        self.is_filling = False
        self.is_unproven = False
        self.members_version = 0
        self.proving: asyncio.Task[None] | None = None
        self.starting: asyncio.Task[None] | None = None
        self.suspected: Seq | None = None
        self.idle_since: float | None = now

    @property
    def shown(self) -> Seq:
        """The last seq that its connections have been shown: a connection that joins now gets the messages after it."""
        return self.held[0].seq - 1 if self.held else self.sequencer.head or 0

    def announce_once(self, event: EventKey) -> bool:
        """Whether the event is new here; remembers it. Every event reaches an instance on several channels."""
        if event in self.announced:
            return False
        self.announced[event] = None
        if len(self.announced) > _MAX_ANNOUNCED:
            del self.announced[next(iter(self.announced))]
        return True
