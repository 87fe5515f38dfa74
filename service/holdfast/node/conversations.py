"""What this instance knows about conversations, and for how long it may believe it.

A cached conversation is believed while its channel is subscribed and the bus is live and everybody's, or for 2 s; a hint of a
newer revision ends that at once. Misses are never cached. One read of a conversation is under way at most.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.node.split import Split
from holdfast.ports import Clock, ClusterBus, MessageStore

MAX_CACHED: Final = 10_000
_READS_FOR_A_HINT: Final = 3
UNPROVEN_SECONDS: Final = 2.0  # how long a membership is believed when nobody would tell us that it changed


@dataclass(slots=True)
class _Entry:
    conversation: Conversation
    read_at: float


class Conversations:
    """A bounded cache in front of the store. Lives in the loop."""

    def __init__(self, store: MessageStore, bus: ClusterBus, clock: Clock, split: Split) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._split = split
        self._entries: OrderedDict[ConversationId, _Entry] = OrderedDict()
        self._hinted: OrderedDict[ConversationId, int] = OrderedDict()
        self._reads: dict[ConversationId, asyncio.Task[Conversation | None]] = {}

    def cached(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation if it may be believed now, without a read."""
        entry = self._entries.get(conversation_id)
        if entry is None or entry.conversation.revision < self._hinted.get(conversation_id, 0):
            return None
        if self._clock.monotonic() - entry.read_at <= UNPROVEN_SECONDS:
            return entry.conversation
        if self._bus.is_live and not self._split.is_split and f"conversation:{conversation_id}" in self._bus.channels:
            return entry.conversation
        return None

    async def get(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation, read when the cache may not be believed.

        Raises:
            StoreUnavailable: it has to be read and cannot.
        """
        return self.cached(conversation_id) or await self.read(conversation_id)

    async def read(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation as the store has it now.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        for _ in range(_READS_FOR_A_HINT):  # a read that began before the hinted change may not have seen it
            conversation = await self._shared_read(conversation_id)
            if conversation is None or conversation.revision >= self._hinted.get(conversation_id, 0):
                return conversation
        self._hinted.pop(conversation_id, None)  # nobody ever wrote that revision
        return conversation

    def keep(self, conversation: Conversation) -> None:
        """Remember what somebody read or wrote just now."""
        known = self._entries.get(conversation.conversation_id)
        if known is None or known.conversation.revision <= conversation.revision:
            self._entries[conversation.conversation_id] = _Entry(conversation, self._clock.monotonic())
            self._entries.move_to_end(conversation.conversation_id)
        while len(self._entries) > MAX_CACHED:
            self._entries.popitem(last=False)

    def peek(self, conversation_id: ConversationId) -> Conversation | None:
        """What is remembered of it, believable or not."""
        entry = self._entries.get(conversation_id)
        return entry.conversation if entry is not None else None

    def latest(self, conversation: Conversation | None) -> Conversation | None:
        """`conversation`, or what somebody read of it since."""
        entry = self._entries.get(conversation.conversation_id) if conversation is not None else None
        if entry is None or conversation is None or entry.conversation.revision <= conversation.revision:
            return conversation
        return entry.conversation

    def hint(self, conversation_id: ConversationId, revision: int) -> None:
        """Somebody says that the conversation has reached `revision`: what is older is not believed any more."""
        self._hinted[conversation_id] = max(self._hinted.get(conversation_id, 0), revision)
        self._hinted.move_to_end(conversation_id)
        while len(self._hinted) > MAX_CACHED:
            self._hinted.popitem(last=False)

    def doubt(self) -> None:
        """Envelopes may have been missed: read everything again before it is believed."""
        self._entries.clear()

    async def strangers(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> set[UserId] | None:
        """Which of these are not its members, as far as it may be believed now; None when there is no such conversation.

        Raises:
            StoreUnavailable: it has to be read and cannot.
        """
        conversation = await self.get(conversation_id)
        return None if conversation is None else set(user_ids) - set(conversation.members)

    async def _shared_read(self, conversation_id: ConversationId) -> Conversation | None:
        task = self._reads.get(conversation_id)
        if task is None:
            task = asyncio.create_task(self._read(conversation_id))
            self._reads[conversation_id] = task
            task.add_done_callback(lambda done: self._has_read(conversation_id, done))
        return await asyncio.shield(task)

    def _has_read(self, conversation_id: ConversationId, task: "asyncio.Task[Conversation | None]") -> None:
        self._reads.pop(conversation_id, None)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone by now: then nobody hears of a failure, and nothing is wrong

    async def _read(self, conversation_id: ConversationId) -> Conversation | None:
        conversation = await self._store.read_conversation(conversation_id)
        if conversation is None:
            self._entries.pop(conversation_id, None)
        else:
            self.keep(conversation)
        return conversation
