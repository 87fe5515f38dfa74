"""The messages of all conversations, as the node asks the store for them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.domain.ids import ConversationId, Seq
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Committed, Draft, Message, Settlement


class MessageStore(Protocol):
    """Messages: appended once, never changed.

    What every method promises and raises: see `Store`.
    """

    async def append(
        self,
        conversation_id: ConversationId,
        first_seq: Seq,
        drafts: Sequence[Draft],
        sent_at_ms: int,
        mark: StoredMark | None = None,
    ) -> None:
        """Atomically create the messages `first_seq … first_seq + len(drafts) - 1` and their `sends` records.

        The same commit writes `mark`, where one is given: it exists exactly if the messages do.

        The same commit requires that message `first_seq - 1` exists (for `first_seq` 1: the conversation), so a conversation
        never has a gap. One attempt, no retry inside. The caller passes distinct keys and at most 200 drafts.

        Raises:
            PredecessorMissing: what the first message has to follow does not exist; nothing was written.
            StoreConflict: one of those seqs or keys exists; nothing was written.
            StoreRejected: the content was refused; nothing was written.
            StoreUnavailable: it may have been written, now or a little later.
        """
        ...

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """The tail, and what is stored under each of `keys`, with the tail read no earlier than the keys."""
        ...

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """The true tail of each conversation; `known` is a seq that its tail is believed not to be below (0 if nothing is known).

        Cheap where `known` is right (one read per conversation, many in one call); correct where it is not: a tail
        below `known` (the store was restored) is found as well.
        """
        ...

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """Up to `limit` (≤ 500) messages between exclusive bounds, ascending.

        With `after_seq` the first ones after it; otherwise the last ones (before `before_seq`, where given).
        """
        ...

    async def active_since(self, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """The tails of the conversations whose last message was committed at or after `since_ms` by the store's own clock.

        In the order of `known`.

        `known` is as for `heads`: it saves reads, it decides nothing.
        """
        ...

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        """The last `limit` (≤ 500) messages (before `before_seq`), as far as they were committed at or after `since_ms`.

        By the store's own clock; ascending. As many as `limit` means that there may be earlier ones.
        """
        ...
