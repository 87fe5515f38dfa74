"""The read cursors, as the node asks the store for them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.domain.ids import ConversationId, Seq, UserId


class CursorStore(Protocol):
    """How far each user has read each conversation.

    What every method promises and raises: see `Store`.
    """

    async def advance_cursors(
        self,
        conversation_id: ConversationId,
        cursors: Mapping[UserId, Seq],
        read_by: Mapping[Seq, Sequence[UserId]],
    ) -> dict[UserId, Seq]:
        """Move read cursors forward and add users to `readBy` of the messages named; idempotent, commutative.

        Returns the cursors as committed: never below what was asked, possibly above. A cursor beyond the end of the conversation
        is left out: its message is gone, the store was restored. Firestore notices that where `read_by` names such a message.
        When it raises, some may be written: Firestore takes more than 200 in several commits.
        """
        ...

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """The read cursors of this conversation, by user; members without one are left out."""
        ...

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """One user's read cursors; conversations without one are absent."""
        ...
