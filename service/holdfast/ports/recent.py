"""The latest messages of each conversation, as Redis keeps them."""

from typing import Final, Protocol

from holdfast.domain.ids import ConversationId, Seq

RECENT_MESSAGES: Final = 64
"""How many of each conversation Redis keeps, for two minutes."""


class RecentMessages(Protocol):
    """Messages that `Bus.publish_commit` published lately: they save reads of the store. Nothing here raises because of Redis."""

    async def recent(self, conversation_id: ConversationId, after_seq: Seq, generation: str) -> list[tuple[Seq, bytes]]:
        """Encoded messages of this `generation` after `after_seq` that Redis still has (of the last `RECENT_MESSAGES`),
        ascending; holes and nothing at all are possible.
        """
        ...
