"""A conversation that has members connected here."""

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId
from holdfast.domain.sequencer import Sequencer
from holdfast.node.connection import Connection
from holdfast.node.outgoing import Outgoing


class LocalConversation:
    """Its stream, its local connections, and what this tick will write to them. Owned by `delivery`.

    Attributes:
        announced: revisions whose event local connections have heard, the latest few.
        pending: encoded frames of this tick, in order.
        is_filling: a fetch for its hole is under way.
        idle_since: when its last local connection left, on the monotonic clock; None while there is one.
    """

    __slots__ = (
        "announced",
        "connections",
        "conversation_id",
        "idle_since",
        "is_filling",
        "last_active_at_ms",
        "pending",
        "sequencer",
    )

    def __init__(self, conversation_id: ConversationId) -> None:
        self.conversation_id = conversation_id
        self.sequencer: Sequencer[Outgoing] = Sequencer()
        self.connections: set[Connection] = set()
        self.pending: list[bytes] = []
        self.announced: list[int] = []
        self.is_filling = False
        self.idle_since: float | None = None
        self.last_active_at_ms = 0

    def announce_once(self, revision: int) -> bool:
        """Whether the event of `revision` is new here; remembers it. Every event reaches an instance on several channels."""
        if revision in self.announced:
            return False
        self.announced = [*self.announced[-15:], revision]
        return True


def is_member(conversation: Conversation | None, user_id: str) -> bool:
    """Whether the user belongs to it."""
    return conversation is not None and user_id in conversation.members
