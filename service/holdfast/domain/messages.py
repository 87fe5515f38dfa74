"""A message before and after it has its place."""

import hashlib
from dataclasses import dataclass, field

from holdfast.domain.ids import ConversationId, Seq, UserId


def send_key(sender: UserId, client_message_id: str) -> str:
    """The identity of a send within a conversation: document id of its `sends` record (sha256, hex)."""
    return hashlib.sha256(f"{sender}|{client_message_id}".encode()).hexdigest()


def content_digest(body: str, canonical_metadata: bytes | None) -> str:
    """Fingerprint of what was said (sha256, hex): equal keys with other digests are a conflict."""
    digest = hashlib.sha256(body.encode())
    digest.update(b"\0" if canonical_metadata is None else b"\1" + canonical_metadata)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that has no place yet.

    Attributes:
        key: see `send_key`.
        digest: see `content_digest`.
        metadata_json: the client's object as JSON text, verbatim, or None.
    """

    sender: UserId
    client_message_id: str
    body: str
    metadata_json: str | None
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; order is by `seq`.

    Attributes:
        sent_at_ms: wall clock of the committing instance, Unix milliseconds.
        committed_at_ms: the store's own clock, where the message was read from the store; 0 where that is not known.
    """

    conversation_id: ConversationId
    seq: Seq
    sender: UserId
    client_message_id: str
    body: str
    metadata_json: str | None
    sent_at_ms: int
    committed_at_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Committed:
    """A message, and when it was committed by the store's own clock (Unix milliseconds)."""

    message: Message
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredSend:
    """What the store holds under a send's key: the message and the digest that the key stands for."""

    message: Message
    digest: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an uncertain append turned out to be.

    Attributes:
        tail: seq of the last message, 0 when there is none.
        sends: those of the asked keys that are in the store.
    """

    tail: Seq
    sends: dict[str, StoredSend]
