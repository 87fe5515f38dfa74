"""Finishes commits of an instance that may have died before it could: announces their messages, and decides whom to notify.

Both are harmless where they were done: an instance that has the messages drops them, and existing records stay as they are.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.domain.ids import ConversationId, Seq
from holdfast.domain.marks import MAX_MESSAGES
from holdfast.domain.messages import Committed
from holdfast.errors import StoreUnavailable
from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.notifications.decision import Notifications
from holdfast.node.sending.append import Commit
from holdfast.ports import MessageStore

_LAST: Final = 200  # messages, where the first is not known: as many as one append has
_LAST_MS: Final = 86_400_000  # and of a day: records of older ones may have expired
_MAX_PAGES: Final = 20


class Finishing:
    """Lives in the event loop."""

    def __init__(
        self, store: MessageStore, conversations: ConversationParts, notifications: Notifications, store_clock: StoreClock
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._notifications = notifications
        self._store_clock = store_clock

    async def finish(self, conversation_id: ConversationId, first: Seq, last: Seq | None = None) -> Seq:
        """The messages `first … last`, as far as they are in the store; the last seq that was looked at.

        Args:
            first: 0: where that is not known, the latest messages.
            last: None: up to the end of the conversation.

        Raises:
            StoreError: they cannot be read, or not all is written.
        """
        if not first:
            found = await self._latest(conversation_id)
            await self._finish(conversation_id, found)
            return found[-1].message.seq if found else 0
        if last is None:
            last = (await self._store.heads({conversation_id: first - 1}))[conversation_id]
        end = first - 1
        # Oldest first: the commit of the mark is at the beginning. What came so much later has marks of its own.
        for start in range(first, last + 1, MAX_MESSAGES)[:_MAX_PAGES]:
            end = min(start + MAX_MESSAGES - 1, last)
            found = await self._store.messages_since(conversation_id, 0, end - start + 1, end + 1)
            await self._finish(conversation_id, [each for each in found if each.message.seq >= start])
        return end

    async def _finish(self, conversation_id: ConversationId, found: Sequence[Committed]) -> None:
        if not found:  # nothing was stored; or a restored store, or a forged mark
            return
        messages = [each.message for each in found]
        self._conversations.delivery.publish_again(conversation_id, messages)
        self._conversations.activity.note(Commit(conversation_id, messages, self._store_clock.monotonic(), None))
        await self._notifications.decide_again(conversation_id, found)

    async def _latest(self, conversation_id: ConversationId) -> list[Committed]:
        if (now_ms := self._store_clock.now()) == UNKNOWN:
            raise StoreUnavailable("the store's time is not known yet")
        return await self._store.messages_since(conversation_id, now_ms - _LAST_MS, _LAST)
