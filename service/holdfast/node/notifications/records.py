"""The records of notifications: which message makes which record, and which of them this instance has written lately."""

from collections.abc import Iterable
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Message
from holdfast.domain.notifications import MAX_RECORD_MEMBERS, Notification, notification_id

_MAX_KNOWN: Final = 20_000
_PREVIEW_CHARACTERS: Final = 200


class Recently:
    """Keys for some seconds, bounded."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = BoundedDict[str, float](_MAX_KNOWN)

    def add(self, key: str, now: float) -> None:
        self._until[key] = now + self._seconds

    def holds(self, key: str, now: float) -> bool:
        return self._until.get(key, 0.0) > now

    def forget(self, key: str) -> None:
        self._until.pop(key, None)


def large_id(conversation_id: ConversationId, user_id: UserId) -> str:
    """The id of a user's one record in a large conversation."""
    return notification_id(conversation_id, user_id, 0, MAX_RECORD_MEMBERS + 1)


def record_of(message: Message, user_id: UserId, member_count: int) -> Notification:
    """The record that notifies `user_id` of a message, in a conversation of that many members."""
    return Notification(
        notification_id=notification_id(message.conversation_id, user_id, message.seq, member_count),
        user_id=user_id,
        conversation_id=message.conversation_id,
        seq=message.seq,
        sender=message.sender,
        preview=message.body[:_PREVIEW_CHARACTERS],
        created_at_ms=message.sent_at_ms,
    )


def records_of(messages: Iterable[Message], user_id: UserId, member_count: int) -> list[Notification]:
    """The records that notify `user_id` of messages of others; of a large conversation the last one."""
    records: dict[str, Notification] = {}
    for message in messages:
        if message.sender != user_id:
            record = record_of(message, user_id, member_count)
            records[record.notification_id] = record
    return list(records.values())
