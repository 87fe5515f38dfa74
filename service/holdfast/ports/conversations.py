"""The conversations and their members, as the node asks the store for them."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.domain.conversations import (
    Conversation,
    LastMessage,
    MemberChange,
    MembersChanged,
    Membership,
    NewConversation,
    PageKey,
    Room,
)
from holdfast.domain.ids import ConversationId, UserId


class ConversationStore(Protocol):
    """Conversations, their members, and what their lists show.

    What every method promises and raises: see `Store`.
    """

    async def create_conversation(self, new: NewConversation, room: Room | None = None) -> tuple[Conversation, bool]:
        """Create it unless its id exists; (what is stored, whether this call created it). Idempotent.

        Raises:
            CommandError: `limit_reached` when a member's list has no `room` for one more; see `change_members`.
        """
        ...

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation, or None."""
        ...

    async def update_conversation(
        self,
        conversation_id: ConversationId,
        *,
        title: str | None,
        metadata_json: str | None,
        keeps: frozenset[str] = frozenset(),
    ) -> Conversation | None:
        """Replace title and metadata and raise `revision`, atomically; None when there is no such conversation.

        `keeps`: of "title" and "metadata" those that stay as they are stored at that moment; values given for them are ignored.
        """
        ...

    async def change_members(
        self,
        conversation_id: ConversationId,
        changes: Sequence[MemberChange],
        *,
        max_members: int,
        room: Room | None = None,
    ) -> MembersChanged | None:
        """Add and remove members, one after the other (≤ 100, of distinct users), in one write. Idempotent.

        `membersVersion` and `revision` rise by one for each change that is not so already. None: there is no such conversation.

        Args:
            room: what the list of an added user may hold. A store that counts in the transaction of the write never exceeds it.
                One that cannot exceeds it at most by the number of calls under way at other instances.

        Raises:
            CommandError: `limit_reached` when it would grow beyond `max_members`, or there is no `room` for one of the users;
                nothing was written.
            StoreConflict: others changed it each time before this could; nothing was written.
        """
        ...

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """Every conversation of a user (at most a few thousand), most recently active first."""
        ...

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """A user's conversations, newest activity first (then id, descending), strictly after `after`."""
        ...

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """Hint `lastSeq`, `lastMessage` and `lastMessageAt`; older hints never replace newer ones. Creates no conversation."""
        ...
