"""Offline notifications: who is told, outside the chat, that there is something to read; and how often telling them is tried."""

from dataclasses import dataclass
from typing import Final

from holdfast.domain.ids import ConversationId, Seq, UserId, message_id

MAX_RECORD_MEMBERS: Final = 100
"""Up to so many members each message makes a record per user; above, one per conversation and user until they read."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One record: a user who was offline has something to read.

    Attributes:
        notification_id: see `notification_id`; what makes it one record, however many ask for it.
        seq: of the message that caused it.
        preview: the message's body, cut.
        created_at_ms: Unix milliseconds, for people.
        attempts: how often a push was tried.
    """

    notification_id: str
    user_id: UserId
    conversation_id: ConversationId
    seq: Seq
    sender: UserId
    preview: str
    created_at_ms: int
    attempts: int = 0


def notification_id(conversation_id: ConversationId, user_id: UserId, seq: Seq, member_count: int) -> str:
    """`conversation:message_id:user`, or `conversation:user` in large conversations. No id contains a colon."""
    if member_count > MAX_RECORD_MEMBERS:
        return f"{conversation_id}:{user_id}"
    return f"{conversation_id}:{message_id(seq)}:{user_id}"


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A user went offline, and what came since the last proof of life is still to be looked through.

    Attributes:
        since_ms: that last proof, on the store's clock (Unix milliseconds).
    """

    user_id: UserId
    since_ms: int
