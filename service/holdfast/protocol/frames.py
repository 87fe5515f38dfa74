"""Frames: the messages between a client and an instance over one socket.

The same types validate incoming frames, encode outgoing ones, and make the AsyncAPI document. Optional fields are UNSET, and
then absent on the wire. Clients' unknown fields are ignored; unknown types are `unknown_type`.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

PROTOCOL: Final = "holdfast.v1"
ID_PATTERN: Final = "^[A-Za-z0-9_-]{1,128}$"
MAX_SEQ: Final = 999_999_999_999
METADATA_LEVELS: Final = 8  # of objects and arrays inside each other
CLIENT_CHARACTERS: Final = 64  # of `hello.client`
GENERATION_CHARACTERS: Final = 128  # of `hello.generation`; the service's own have 16

Ref = Annotated[str, Meta(max_length=128, description="Echoed in the one answer to this command.")]
ID_SCHEMA: Final = {"type": "string", "pattern": ID_PATTERN, "not": {"pattern": "^__.*__$"}}
"""For the documents only: ids are checked by `domain.ids`, whose refusals name the field alike on the socket and in REST."""
MESSAGE_ID_SCHEMA: Final = {"type": "string", "pattern": "^[0-9]{12}$", "not": {"const": "0" * 12}}
GivenId = Annotated[str, Meta(extra_json_schema=ID_SCHEMA)]
GivenMessageId = Annotated[str, Meta(extra_json_schema=MESSAGE_ID_SCHEMA)]
GivenBody = Annotated[str, Meta(extra_json_schema={"minLength": 1}, examples=["hello"])]
SeqNumber = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
At = Annotated[str, Meta(description="RFC 3339, UTC, milliseconds, Z", examples=["2026-01-31T12:00:00.000Z"])]
TraceParent = Annotated[Raw, Meta(extra_json_schema={"type": "string"}, description="W3C trace context; ignored if malformed.")]
JsonObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"}, description="Echoed verbatim, never interpreted.")]
ObjectOrNull = Annotated[Raw, Meta(extra_json_schema={"type": ["object", "null"]}, description="Echoed verbatim. null: none.")]
"""Not `JsonObject | None`: of such a type msgspec decodes null alone, and a client would take the frame for an unknown one. Size
and depth of what clients send are checked with all else that is refused by name."""


class ClientFrame(Struct, tag_field="type", frozen=True, kw_only=True, omit_defaults=True):
    """Frames that clients send."""

    ref: Ref | UnsetType = UNSET


class Hello(ClientFrame, tag="hello", frozen=True, kw_only=True):
    """The first frame, within 10 s. `cursors`: conversation -> last seq seen; omitted: no replay, live from the heads.

    A conversation that is missing in `cursors` is replayed from its `joined_seq` on. `generation`: of the store that the cursors
    are of, as the last `welcome` before a `synced` said it; each cursor of another generation is answered with `reset`.
    """

    cursors: dict[str, SeqNumber] | UnsetType = UNSET
    generation: Annotated[str, Meta(max_length=GENERATION_CHARACTERS)] | UnsetType = UNSET
    client: Annotated[str, Meta(max_length=CLIENT_CHARACTERS)] | UnsetType = UNSET


class Send(ClientFrame, tag="send", frozen=True, kw_only=True):
    """A message. The same `client_message_id` gives the same message, on any instance, for 7 days.

    `read_seq`: how far the user had read the conversation when writing it. `traceparent`: W3C trace context; of whatever
    type and content, what is malformed is ignored.
    """

    conversation_id: GivenId
    client_message_id: GivenId
    body: GivenBody
    metadata: ObjectOrNull | UnsetType = UNSET
    read_seq: SeqNumber | UnsetType = UNSET
    traceparent: TraceParent | UnsetType = UNSET


class Read(ClientFrame, tag="read", frozen=True, kw_only=True):
    """Everything up to `message_id` is read."""

    conversation_id: GivenId
    message_id: GivenMessageId


class Typing(ClientFrame, tag="typing", frozen=True, kw_only=True):
    """Repeated every 3 s while typing; expires after 6."""

    conversation_id: GivenId
    active: bool


class Refresh(ClientFrame, tag="refresh", frozen=True, kw_only=True):
    """A new token for this connection: same subject, later expiry."""

    token: Annotated[str, Meta(max_length=8192)]


class Ping(ClientFrame, tag="ping", frozen=True, kw_only=True):
    """Answered by `pong`, for clients that cannot see protocol pings."""


Command = Hello | Send | Read | Typing | Refresh
"""Frames that an instance carries out: `web.socket` has a case for each, and mypy refuses it without one."""
AnyClientFrame = Command | Ping
CLIENT_TYPES: Final[tuple[str, ...]] = tuple(kind.__struct_config__.tag for kind in AnyClientFrame.__args__)
"""The `type` of each frame that clients send."""


class ServerFrame(Struct, tag_field="type", frozen=True, kw_only=True, omit_defaults=True):
    """Frames that instances send."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one client may do."""

    body_bytes: int
    metadata_bytes: int
    frame_bytes: int
    cursors: int
    replay_messages: int
    page_size: int
    members: int
    conversations_per_user: int
    indicator_members: int
    sends_per_second: int
    inflight_sends: int
    frames_per_second: int
    connections_per_user: int


class Welcome(ServerFrame, tag="welcome", frozen=True, kw_only=True):
    """At once after the handshake. `generation`: of the store; absent until the store has answered for the first time."""

    protocol: Literal["holdfast.v1"]
    user_id: str
    connection_id: str
    instance_id: str
    server_version: str
    server_time: At
    expires_at: At
    keepalive_ms: int
    degraded: tuple[str, ...]
    limits: Limits
    generation: str | UnsetType = UNSET


class MessageFrame(ServerFrame, tag="message", frozen=True, kw_only=True):
    """A message, to every device of every member, the sender's included."""

    conversation_id: str
    seq: int
    message_id: str
    sender: str
    body: str
    client_message_id: str
    sent_at: At
    metadata: JsonObject | UnsetType = UNSET


class Truncated(ServerFrame, tag="truncated", frozen=True, kw_only=True):
    """Too much to replay: page `from_seq … to_seq` (inclusive) by REST; live goes on after `to_seq`."""

    conversation_id: str
    from_seq: int
    to_seq: int


class Reset(ServerFrame, tag="reset", frozen=True, kw_only=True):
    """The store was restored; the cursor is beyond its end or of another generation: discard. Live goes on after `last_seq`."""

    conversation_id: str
    last_seq: int


class Synced(ServerFrame, tag="synced", frozen=True, kw_only=True):
    """Replay is over; each by conversation. A conversation not in `heads` is not the user's any more."""

    heads: dict[str, int]
    read_seqs: dict[str, int]
    revisions: dict[str, int]


class Ack(ServerFrame, tag="ack", frozen=True, kw_only=True):
    """The message is durable, under this `seq`."""

    ref: Ref | UnsetType = UNSET
    conversation_id: str
    client_message_id: str
    message_id: str
    seq: int
    sent_at: At
    duplicate: bool


class Ok(ServerFrame, tag="ok", frozen=True, kw_only=True):
    """Answer to `read` (with the cursor as committed), `typing`, and `refresh` (with the new expiry)."""

    ref: Ref
    conversation_id: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    read_at: At | UnsetType = UNSET
    expires_at: At | UnsetType = UNSET


class Receipt(ServerFrame, tag="receipt", frozen=True, kw_only=True):
    """`user_id` has read everything up to `message_id`."""

    conversation_id: str
    user_id: str
    message_id: str
    seq: int
    read_at: At


class TypingNotice(ServerFrame, tag="typing", frozen=True, kw_only=True):
    """`user_id` is typing, or stopped; over by itself after `expires_in_ms`."""

    conversation_id: str
    user_id: str
    active: bool
    expires_in_ms: int


class PresenceNotice(ServerFrame, tag="presence", frozen=True, kw_only=True):
    """`user_id` came or went."""

    user_id: str
    online: bool
    last_seen_at: At | None


class LastMessageView(Struct, frozen=True, kw_only=True):
    """Preview; `body` is cut to 200 characters."""

    seq: int
    message_id: str
    sender: str
    body: str
    sent_at: At


class Summary(Struct, frozen=True, kw_only=True):
    """A conversation in lists and events. `unread_count = last_seq - last_read_seq`, may lag a second.

    `joined_seq`: where the user's membership begins; later messages are delivered to the user's devices, earlier ones are
    history.
    """

    conversation_id: str
    title: str | None
    metadata: ObjectOrNull
    created_by: str
    created_at: At
    member_count: int
    members: tuple[str, ...]
    joined_seq: int = 0
    last_seq: int
    last_read_seq: int
    unread_count: int
    last_message: LastMessageView | None
    last_message_at: At | None
    revision: int
    indicators: bool


ConversationEvent = Literal["created", "updated", "member_added", "member_removed"]


class ConversationNotice(ServerFrame, tag="conversation", frozen=True, kw_only=True):
    """Something about a conversation changed. Precedes its first `message`.

    For a device to which the conversation is new, messages start after `conversation.last_seq`: the user's `joined_seq`, or a
    little earlier.
    """

    conversation_id: str
    event: ConversationEvent
    user_id: str | UnsetType = UNSET
    by: str
    revision: int
    conversation: Summary | UnsetType = UNSET


class TokenExpiring(ServerFrame, tag="token_expiring", frozen=True, kw_only=True):
    """60 s before the connection is closed with 4002, unless it is refreshed."""

    expires_at: At


class Degraded(ServerFrame, tag="degraded", frozen=True, kw_only=True):
    """These dependencies do not work; the service does, more slowly."""

    dependencies: tuple[str, ...]


class Restored(ServerFrame, tag="restored", frozen=True, kw_only=True):
    """These dependencies work again."""

    dependencies: tuple[str, ...]


class Draining(ServerFrame, tag="draining", frozen=True, kw_only=True):
    """This instance is about to stop: connect elsewhere after `reconnect_after_ms`; this socket closes in `closes_in_ms`."""

    reconnect_after_ms: int
    closes_in_ms: int


class ErrorFrame(ServerFrame, tag="error", frozen=True, kw_only=True):
    """A command was refused, or the socket is about to be closed."""

    code: str
    detail: str
    retryable: bool
    ref: str | UnsetType = UNSET
    conversation_id: str | UnsetType = UNSET
    client_message_id: str | UnsetType = UNSET
    outcome: Literal["refused", "unknown"] | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    field: str | UnsetType = UNSET


class Pong(ServerFrame, tag="pong", frozen=True, kw_only=True):
    """Answer to `ping`."""

    ref: Ref | UnsetType = UNSET


AnyServerFrame = (
    Welcome
    | MessageFrame
    | Truncated
    | Reset
    | Synced
    | Ack
    | Ok
    | Receipt
    | TypingNotice
    | PresenceNotice
    | ConversationNotice
    | TokenExpiring
    | Degraded
    | Restored
    | Draining
    | ErrorFrame
    | Pong
)

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame with its WebSocket header (RFC 6455 §5.2): encoded once for all recipients."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return bytes((0x81, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x81, 127)) + size.to_bytes(8, "big") + payload


def frame(value: ServerFrame) -> bytes:
    """`value` as bytes for a socket."""
    return text_frame(encode(value))
