"""Envelopes: the messages between instances over the cluster bus, as JSON text that an operator reads with `MONITOR`.

The header `v, kind, c, seq, generation` never changes. An instance that does not know a `v` or `kind` still learns from the
header that conversation `c` has reached `seq`. Envelopes of another store's generation are dropped. Recipients come from
membership, never from the envelope.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from holdfast.protocol.frames import ConversationEvent, MessageFrame, SeqNumber

VERSION: Final = 1
MAX_BYTES: Final = 8 * 1024 * 1024
_ACCEPTED: Final = b',"accepted_ms":'
_MAX_MS_DIGITS: Final = 15


Id = Annotated[str, Meta(max_length=128)]
Name = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=0, le=1 << 60)]  # of versions: those of Firestore are microseconds


class Header(Struct, frozen=True, kw_only=True):
    """What every envelope of every version starts with."""

    v: int
    kind: Name
    c: Id = ""
    seq: SeqNumber = 0
    generation: Name = ""


class MessagesEnvelope(Header, frozen=True, kw_only=True):
    """Messages up to `seq`, without a gap.

    Attributes:
        age_ms: from the acceptance of the oldest to the publication, on one clock.
        accepted_ms: when each was accepted, in the store's Unix milliseconds; 0: not known. Older versions leave it out.
        traceparents: W3C trace context by seq, of sampled messages alone; absent where there are none.
    """

    instance: Name
    age_ms: Annotated[int, Meta(ge=0, le=999_999_999_999)]
    messages: list[Raw]
    accepted_ms: list[Count] = []
    traceparents: dict[int, str] | UnsetType = UNSET


class ReceiptEnvelope(Header, frozen=True, kw_only=True):
    """`user` has read up to `seq`. `is_first`: never before has the user read or written there (`seq` is 0 if that is all)."""

    user: Id
    read_at: Name
    is_first: bool = False


class TypingEnvelope(Header, frozen=True, kw_only=True):
    """`user` is typing, or stopped; `origin`: the instance that has told its own clients already."""

    user: Id
    active: bool
    origin: Name


class PresenceEnvelope(Header, frozen=True, kw_only=True):
    """`user` came or went; `conversations`: all that are told, so that each connection hears it once; `hidden`: but not these."""

    user: Id
    online: bool
    version: Count
    last_seen_at: Name | None
    conversations: list[Id]
    hidden: list[Id] = []


class ConversationEnvelope(Header, frozen=True, kw_only=True):
    """A hint that conversation `c` changed: read it again. `user`: the user who was added or removed."""

    event: ConversationEvent
    by: Id
    user: Id | None
    members_version: Count
    revision: Count


class RevokedEnvelope(Header, frozen=True, kw_only=True):
    """Tokens of `user` from before `revoked_at_ms` (the store's Unix milliseconds) are refused from now on.

    `not_before` (Unix seconds) is what older versions understand; theirs comes without `revoked_at_ms`.
    """

    user: Id
    not_before: Count
    revoked_at_ms: Count = 0


class HeartbeatEnvelope(Header, frozen=True, kw_only=True):
    """The run `run` publishes to the Redis `world` (empty: not known). Runs of an older version send and hear none."""

    run: Name
    world: Name


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
_header = msgspec.json.Decoder(Header)
_messages = msgspec.json.Decoder(MessagesEnvelope)
_message = msgspec.json.Decoder(MessageFrame)
_by_kind: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "messages": _messages,
    "receipt": msgspec.json.Decoder(ReceiptEnvelope),
    "typing": msgspec.json.Decoder(TypingEnvelope),
    "presence": msgspec.json.Decoder(PresenceEnvelope),
    "conversation": msgspec.json.Decoder(ConversationEnvelope),
    "revoked": msgspec.json.Decoder(RevokedEnvelope),
    "heartbeat": msgspec.json.Decoder(HeartbeatEnvelope),
}


def decode(payload: bytes) -> Header | None:
    """The envelope in its own type; a bare `Header` when only that is understood; None when it is no envelope at all."""
    if len(payload) > MAX_BYTES:
        return None
    try:
        header = _header.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    decoder = _by_kind.get(header.kind) if header.v == VERSION else None
    if decoder is None:
        return header
    try:
        envelope: Header = decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return envelope


def kept(text: bytes, accepted_ms: int) -> bytes:
    """A `message` frame as `recent` keeps it: with a field of when it was accepted, unless that is 0 (not known).

    The field is the last one, so that `taken` can cut it off unread. Instances of before pass it on to their clients, which
    ignore fields that they do not know.
    """
    return b"%b%b%d}" % (text[:-1], _ACCEPTED, accepted_ms) if accepted_ms else text


def taken(entry: bytes) -> tuple[bytes, int]:
    """The reverse of `kept`: the frame as clients get it, and when it was accepted; 0 where the entry does not say."""
    text, found, number = entry.rpartition(_ACCEPTED)
    digits = number[:-1]
    if not found or not digits.isdigit() or len(digits) > _MAX_MS_DIGITS or not number.endswith(b"}"):
        return entry, 0
    return text + b"}", int(digits)


def decode_message(text: bytes | Raw) -> MessageFrame | None:
    """One encoded `message` frame, strictly checked, or None: what is forwarded to clients is what we would have written."""
    try:
        return _message.decode(bytes(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
