"""Bodies of REST: the same types validate what comes in, encode what goes out, and make the OpenAPI document."""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from holdfast.protocol.frames import (
    At,
    GivenBody,
    GivenId,
    LastMessageView,
    MessageFrame,
    ObjectOrNull,
    SeqNumber,
    Summary,
)

JTI: Final = r"[A-Za-z0-9_~:@+=-][A-Za-z0-9._~:@+=-]{0,255}"
"""The `jti` of a token, where it stands in a path: what issuers make of random bytes, UUIDs and URNs; no `.` nor `..`."""
Title = Annotated[str, Meta(max_length=200)]


class CreateConversation(Struct, frozen=True, kw_only=True):
    """The caller is a member without being named. A given `conversation_id` makes the call idempotent."""

    members: Annotated[list[GivenId], Meta(max_length=1000, examples=[["user456"]])]
    title: Title | None = None
    metadata: ObjectOrNull | UnsetType = UNSET
    conversation_id: GivenId | None = None


class UpdateConversation(Struct, frozen=True, kw_only=True):
    """An absent field stays as it is; null removes it."""

    title: Title | UnsetType | None = UNSET
    metadata: ObjectOrNull | UnsetType = UNSET


class SendMessage(Struct, frozen=True, kw_only=True):
    """`sender`: for administrators only; others' is ignored. `read_seq`: how far the user had read when writing it."""

    client_message_id: Annotated[GivenId, Meta(examples=["0b7e6a52"])]
    body: GivenBody
    metadata: ObjectOrNull | UnsetType = UNSET
    sender: GivenId | None = None
    read_seq: SeqNumber = 0


class SetTyping(Struct, frozen=True, kw_only=True):
    """Typing, or not any more."""

    active: bool = True


class Acknowledged(Struct, frozen=True, kw_only=True):
    """The message is durable, under this `seq`."""

    conversation_id: str
    client_message_id: str
    message_id: str
    seq: int
    sent_at: At
    duplicate: bool


class ReadReceipt(Struct, frozen=True, kw_only=True):
    """The cursor as committed."""

    conversation_id: str
    message_id: str
    seq: int
    read_at: At


class TypingSet(Struct, frozen=True, kw_only=True):
    """What the others were told."""

    conversation_id: str
    active: bool
    expires_in_ms: int


class ConversationPage(Struct, frozen=True, kw_only=True):
    """Newest activity first."""

    conversations: list[Summary]
    next_cursor: str | None


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member; what only small conversations tell is absent in large ones."""

    user_id: str
    last_read_seq: int | UnsetType = UNSET
    online: bool | UnsetType = UNSET
    last_seen_at: At | UnsetType | None = UNSET


class ConversationDetail(Struct, frozen=True, kw_only=True):
    """A summary, with every member."""

    conversation_id: str
    title: str | None
    metadata: ObjectOrNull
    created_by: str
    created_at: At
    member_count: int
    members: list[Member]
    joined_seq: int = 0
    last_seq: int
    last_read_seq: int
    unread_count: int
    last_message: LastMessageView | None
    last_message_at: At | None
    revision: int
    indicators: bool


class StoredMessage(MessageFrame, tag="message", frozen=True, kw_only=True):
    """A message as in the frame. `read_by`: who of the others has read it; absent in large conversations."""

    read_by: list[str] | UnsetType = UNSET


class MessagePage(Struct, frozen=True, kw_only=True):
    """Always ascending. `has_more`: in the direction that was asked."""

    messages: list[StoredMessage]
    has_more: bool
    last_seq: int


class PresenceView(Struct, frozen=True, kw_only=True):
    """Whether a user is online."""

    user_id: str
    online: bool
    last_seen_at: At | None


class BlockList(Struct, frozen=True, kw_only=True):
    """The users that the caller blocks, by id."""

    blocks: list[str]


class ConnectionStats(Struct, frozen=True, kw_only=True):
    """Counts of one instance."""

    instance_id: str
    connections: int
    users: int
    conversations: int


class OwnConnection(Struct, frozen=True, kw_only=True):
    """One of the caller's connections."""

    connection_id: str
    instance_id: str
    connected_at: At


class ConnectionInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counts of one instance; with a token, the caller's own connections everywhere."""

    instance_id: str
    connections_here: int
    users_here: int
    user_id: str | UnsetType = UNSET
    connections: list[OwnConnection] | UnsetType = UNSET


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `retryable`: the same call, unchanged, may succeed later."""

    type: Annotated[str, Meta(examples=["urn:holdfast:problem:conversation_not_found"])]
    title: str
    status: int
    code: str
    detail: str
    retryable: bool
    outcome: Literal["refused", "unknown"] | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    field: str | UnsetType = UNSET
