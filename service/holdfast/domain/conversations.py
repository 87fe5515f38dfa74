"""Conversations and their members."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import CommandError

_DIRECT: Final = re.compile(r"direct-[0-9a-f]{40}")


def direct_id(one: UserId, other: UserId) -> ConversationId:
    """The id of the conversation of these two users and no others: the same from both sides."""
    pair = "|".join(sorted((one, other)))  # ids have no such character
    return ConversationId(f"direct-{hashlib.sha256(pair.encode()).hexdigest()[:40]}")


def may_be_of(conversation_id: ConversationId, members: Iterable[UserId]) -> bool:
    """Whether a conversation with this id may have these members. The id of a direct conversation admits only its two users."""
    if _DIRECT.fullmatch(conversation_id) is None:
        return True
    pair = tuple(dict.fromkeys(members))
    return len(pair) == 2 and direct_id(*pair) == conversation_id


def may_join(conversation: "Conversation", user_id: UserId) -> bool:
    """Whether the user may become a member: of a direct conversation only its two users may."""
    return user_id == conversation.created_by or may_be_of(conversation.conversation_id, (conversation.created_by, user_id))


def fingerprint(created_by: UserId, members: Iterable[UserId]) -> str:
    """What `NewConversation.digest` is; a repeated creation is compared by it, whichever member repeats it."""
    return hashlib.sha256("|".join((created_by, *sorted(set(members)))).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class NewConversation:
    """The content of a conversation to be created.

    Attributes:
        members: distinct, the creator included, in the order given; the order is kept.
        digest: `fingerprint` of the creator and the members given at creation, which makes a repeated creation the same one.
        metadata_json: JSON object as text, or None.
    """

    conversation_id: ConversationId
    members: tuple[UserId, ...]
    created_by: UserId
    created_at_ms: int
    title: str | None
    metadata_json: str | None
    digest: str


def list_refused() -> CommandError:
    """A user cannot be added, because their list is full or they block the caller: the caller does not learn which of the two."""
    return CommandError("limit_reached", "a member cannot be added to one more conversation", field="members")


@dataclass(frozen=True, slots=True)
class Room:
    """In how many conversations a user may be: `own` that the user created, and `added`, which others created.

    They are apart, so that nothing others do takes the room for a user's own. Of `added` the same creator accounts for at most
    `by_one`, so that one account does not take the room for everyone else's.
    """

    own: int
    added: int
    by_one: int = 5_000

    def refusal(self, *, is_own: bool) -> CommandError:
        """What a change is refused with that needs more."""
        if is_own:
            return CommandError("limit_reached", f"at most {self.own} conversations of one's own", field="conversations_per_user")
        return list_refused()


@dataclass(frozen=True, slots=True)
class MemberChange:
    """A user is to be added (`is_member`), or to be removed.

    Attributes:
        joined_seq: where the membership of an added user begins, see `Conversation.joined_seq`.
    """

    user_id: UserId
    is_member: bool
    joined_seq: Seq = 0


def with_changes(
    members: Iterable[UserId], changes: Iterable[MemberChange], max_members: int
) -> tuple[list[UserId], list[MemberChange]]:
    """(the members after the changes, one after the other; those changes that were not so already).

    Raises:
        CommandError: `limit_reached` when there would be more than `max_members`.
    """
    after, made = dict.fromkeys(members), []
    for change in changes:
        if (change.user_id in after) == change.is_member:
            continue
        if change.is_member and len(after) >= max_members:
            raise CommandError("limit_reached", f"at most {max_members} members", field="members")
        if change.is_member:
            after[change.user_id] = None
        else:
            del after[change.user_id]
        made.append(change)
    return list(after), made


@dataclass(frozen=True, slots=True)
class LastMessage:
    """Preview for lists; a hint that lags by up to a second."""

    seq: Seq
    sender: UserId
    body: str
    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as stored.

    Attributes:
        members_version: rises with each change of members, in the same write.
        revision: rises with each change of members, title or metadata.
        last_seq: a hint, never above the tail.
        last_active_at_ms: of the last message (a hint), or of the creation.
        joined: where the memberships of those begin who were added later, see `joined_seq`.
    """

    conversation_id: ConversationId
    members: tuple[UserId, ...]
    members_version: int
    revision: int
    title: str | None
    metadata_json: str | None
    created_by: UserId
    created_at_ms: int
    digest: str
    last_seq: Seq
    last_message: LastMessage | None
    last_active_at_ms: int
    joined: Mapping[UserId, Seq] = field(default_factory=dict)

    def joined_seq(self, user_id: UserId) -> Seq:
        """The position at which the user's membership begins: every later message is delivered to the user's connections.

        It is the tail as it was read before the user was added; 0 for members since the creation.
        """
        return self.joined.get(user_id, 0)


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """What a change of members made.

    Attributes:
        conversation: as it is afterwards.
        revisions: of each user for whom this changed something, the revision that it made; in the order of the changes.
    """

    conversation: Conversation
    revisions: Mapping[UserId, int]


@dataclass(frozen=True, slots=True)
class Membership:
    """A conversation as one of its members' list of conversations holds it: without the `members` array.

    Attributes:
        joined_seq: see `Conversation.joined_seq`.
    """

    conversation_id: ConversationId
    members_version: int
    revision: int
    last_seq: Seq
    last_active_at_ms: int
    member_count: int
    joined_seq: Seq = 0


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One conversation in a user's roster: what Redis remembers of it for a few minutes.

    Attributes:
        membership: its `last_seq` is the tail as published, its `revision` the latest published; the rest may be older.
        last_read_seq: the user's read cursor; None while it is being written.
    """

    membership: Membership
    last_read_seq: Seq | None


@dataclass(frozen=True, slots=True)
class RosterLook:
    """The conversation list of a user, as Redis has it.

    Attributes:
        rows: None when Redis has no list.
        proof: the token that the rows depend on; empty without rows.
        fill_permit: the permit to write the rows, where there are none.
    """

    rows: list[RosterRow] | None
    proof: str = ""
    fill_permit: str = ""


@dataclass(frozen=True, slots=True)
class PageKey:
    """Where a page of conversations ended: strictly older activity follows, ids break ties (descending)."""

    last_active_at_ms: int
    conversation_id: ConversationId
