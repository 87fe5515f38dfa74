"""Finishes commits of an instance that may have died before it could: announces their messages, and decides whom to notify.

Both are harmless where they were done: an instance that has the messages drops them, and existing records stay as they are.
"""

from typing import Final

from holdfast.domain.ids import ConversationId, Seq
from holdfast.domain.marks import MAX_MESSAGES
from holdfast.domain.messages import Committed
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.notifications.decision import Notifications
from holdfast.node.sending.append import Commit
from holdfast.ports import Clock, MessageStore

_LAST: Final = 200  # messages, where the first is not known: as many as one append has


class Finishing:
    """Lives in the event loop."""

    def __init__(self, store: MessageStore, conversations: ConversationParts, notifications: Notifications, clock: Clock) -> None:
        self._store = store
        self._conversations = conversations
        self._notifications = notifications
        self._clock = clock

    async def finish(self, conversation_id: ConversationId, first: Seq, last: Seq | None = None) -> None:
        """The messages `first … last`, as far as they are in the store.

        Args:
            first: 0: where that is not known, the latest messages.
            last: None: up to the end of the conversation.

        Raises:
            StoreError: they cannot be read, or not all is written.
        """
        found = await self._read(conversation_id, first, last)
        if not found:  # nothing was stored; or a restored store, or a forged mark
            return
        messages = [each.message for each in found]
        self._conversations.delivery.publish_again(conversation_id, messages)
        self._conversations.activity.note(Commit(conversation_id, messages, self._clock.monotonic(), None))
        await self._notifications.decide_again(conversation_id, found)

    async def _read(self, conversation_id: ConversationId, first: Seq, last: Seq | None) -> list[Committed]:
        if not first:
            return await self._store.messages_since(conversation_id, 0, _LAST)
        if last is None:
            last = (await self._store.heads({conversation_id: first - 1}))[conversation_id]
        if last < first:
            return []
        found = await self._store.messages_since(conversation_id, 0, min(last - first + 1, MAX_MESSAGES), last + 1)
        return [each for each in found if each.message.seq >= first]
