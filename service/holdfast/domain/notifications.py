"""Offline notifications: which users are told, outside the chat, of unread messages; and how often a push is tried."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, Seq, UserId, message_id

T = TypeVar("T")

_MAX_CLAIMS: Final = 10_000  # far more than one instance pushes at once

IN_FLIGHT_MS: Final = 500
"""A message committed less than this before the last proof of life may not have been shown. It is recorded too."""

MAX_RECORD_MEMBERS: Final = 100
"""Up to so many members each message makes a record per user; above, one per conversation and user until they read."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One record: a user who was offline has something to read.

    Attributes:
        notification_id: see `notification_id`; the same id for the same record, however many instances ask for it.
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


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What became of a claimed record.

    Attributes:
        state: `sent`, `pending` (to be pushed again after `retry_in_seconds`) or `dead`.
    """

    notification_id: str
    state: str
    retry_in_seconds: float = 0.0


def notification_id(conversation_id: ConversationId, user_id: UserId, seq: Seq, member_count: int) -> str:
    """`conversation:message_id:user`, or `conversation:user` in large conversations. No id contains a colon."""
    if member_count > MAX_RECORD_MEMBERS:
        return f"{conversation_id}:{user_id}"
    return f"{conversation_id}:{message_id(seq)}:{user_id}"


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A user went offline, and what came since the last proof of life is still to be looked through.

    Attributes:
        since_ms: that last proof, whichever instance had it, on the store's clock (Unix milliseconds).
    """

    user_id: UserId
    since_ms: int


def flagged_since(stored_ms: int | None, last_seen_at_ms: int) -> int:
    """`CatchUp.since_ms` of a user who goes offline; `stored_ms` is that of a flag which is still set.

    A user who goes offline again has been back, and what the earlier absence missed was shown then: the later absence counts. It
    is never the same as the earlier one: the instance that looks through the earlier absence must not clear the later flag.

    Args:
        last_seen_at_ms: the latest time at which any instance heard the user, on the store's clock (Unix milliseconds).
    """
    return last_seen_at_ms if stored_ms is None else max(stored_ms + 1, last_seen_at_ms)


class Claims(Generic[T]):
    """The records that this process has claimed, each with what proves it to the store. Bounded: a claim that is forgotten here
    comes back after its hold, like that of a process that died.
    """

    def __init__(self) -> None:
        self._proofs = BoundedDict[str, T](_MAX_CLAIMS)

    def hold(self, notification_ids: Iterable[str], proof: T) -> None:
        """They are ours now."""
        for notification_id in notification_ids:
            self._proofs[notification_id] = proof

    def of(self, notification_id: str) -> T | None:
        """The proof, None when it is not ours."""
        return self._proofs.get(notification_id)

    def end(self, notification_id: str, proof: T) -> None:
        """The store knows what became of it; a claim that was made since stays."""
        if self._proofs.get(notification_id) == proof:
            del self._proofs[notification_id]
