"""A message as the application gets it."""

import json
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from holdfast.protocol.frames import MessageFrame


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; `seq` is its place, from 1 and without gaps. `sent_at`: RFC 3339, UTC.

    `metadata` is the sender's object, or None.
    """

    conversation_id: str
    seq: int
    message_id: str
    sender: str
    body: str
    metadata: dict[str, Any] | None
    client_message_id: str
    sent_at: str

    @classmethod
    def of(cls, frame: MessageFrame) -> "Message":
        """From the wire."""
        return cls(
            conversation_id=frame.conversation_id,
            seq=frame.seq,
            message_id=frame.message_id,
            sender=frame.sender,
            body=frame.body,
            metadata=None if frame.metadata is UNSET else json.loads(bytes(frame.metadata)),
            client_message_id=frame.client_message_id,
            sent_at=frame.sent_at,
        )
