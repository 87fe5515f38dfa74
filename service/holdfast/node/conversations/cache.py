"""The cache of conversations, and how long each entry is valid.

A conversation that was read while its channel was subscribed is valid for as long as that subscription is in force and the bus
reaches every instance: each change is received. Any other entry is valid for a second (two while the bus is away). A hint of a
newer revision ends the validity at once. A refusal rests on a read that began after the question. Misses are never cached.

One read of a conversation is under way at most, and one more waits for it: callers that arrive during a read share the next one,
because the running read may have missed the change that they know of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.node.cluster.redis_trust import RedisTrust
from holdfast.ports import Bus, Clock, ConversationStore
from holdfast.waiting import Joined

MAX_CACHED: Final = 10_000
_READS_FOR_A_HINT: Final = 3
# How long a membership is believed of whose changes no envelope would tell: a removal is effective within 1 s, 3 s without Redis.
UNPROVEN_SECONDS: Final = 1.0
UNPROVEN_WITHOUT_BUS_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """`read_at`: when the read began. `subscription`: the one in force then, see `Bus.subscription`."""

    conversation: Conversation
    read_at: float
    subscription: int


class Conversations:
    """A bounded cache in front of the store. Lives in the loop."""

    def __init__(self, store: ConversationStore, bus: Bus, clock: Clock, redis_trust: RedisTrust) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._redis_trust = redis_trust
        self._entries = BoundedDict[ConversationId, _Entry](MAX_CACHED)
        self._hinted = BoundedDict[ConversationId, int](MAX_CACHED)
        self._reads: dict[ConversationId, Joined[None, Conversation | None]] = {}  # of which one is under way

    def cached(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation if it may be believed now, without a read."""
        entry = self._entries.get(conversation_id)
        if entry is None or entry.conversation.revision < self._hinted.get(conversation_id, 0):
            return None
        age = self._clock.monotonic() - entry.read_at
        if not self._redis_trust.is_heard:
            return entry.conversation if age <= UNPROVEN_WITHOUT_BUS_SECONDS else None
        return entry.conversation if self._is_heard(conversation_id, entry) or age <= UNPROVEN_SECONDS else None

    async def get(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation, read when the cache may not be believed.

        Raises:
            StoreUnavailable: it has to be read and cannot.
        """
        return self.cached(conversation_id) or await self.read(conversation_id)

    async def as_of(self, conversation_id: ConversationId, since: float) -> Conversation | None:
        """The conversation with the changes that were acknowledged before `since` (monotonic seconds), as far as they were heard.

        Where changes are not heard, only what was read since then is believed.

        Raises:
            StoreUnavailable: it has to be read and cannot.
        """
        return self.cached_as_of(conversation_id, since) or await self.read(conversation_id)

    def cached_as_of(self, conversation_id: ConversationId, since: float) -> Conversation | None:
        """The same, as far as no read is needed for it; else None."""
        entry = self._entries.get(conversation_id)
        if entry is None or not (entry.read_at >= since or self._is_heard(conversation_id, entry)):
            return None
        return self.cached(conversation_id)

    async def read(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation as the store has it now.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        for _ in range(_READS_FOR_A_HINT):  # a read that began before the hinted change may not have seen it
            hinted = self._hinted.get(conversation_id, 0)
            conversation = await self._shared_read(conversation_id)
            if conversation is None or conversation.revision >= self._hinted.get(conversation_id, 0):
                return conversation
        if self._hinted.get(conversation_id) == hinted:  # one that came during the last read is newer than that
            del self._hinted[conversation_id]  # that revision was never written
        return conversation

    async def for_members(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> Conversation | None:
        """The conversation; read now unless all of these are its members, so that no refusal rests on an old reading.

        Raises:
            StoreUnavailable: it has to be read and cannot.
        """
        conversation = self.cached(conversation_id)
        if conversation is None or not set(user_ids).issubset(conversation.members):
            conversation = await self.read(conversation_id)
        return conversation

    def keep(self, conversation: Conversation) -> None:
        """Remember what was written just now."""
        self._keep(_Entry(conversation, self._clock.monotonic(), 0))

    def peek(self, conversation_id: ConversationId) -> Conversation | None:
        """The cached entry, valid or not."""
        entry = self._entries.get(conversation_id)
        return entry.conversation if entry is not None else None

    def latest(self, conversation: Conversation | None) -> Conversation | None:
        """`conversation`, or a later read of it."""
        entry = self._entries.get(conversation.conversation_id) if conversation is not None else None
        if entry is None or conversation is None or entry.conversation.revision <= conversation.revision:
            return conversation
        return entry.conversation

    def hint(self, conversation_id: ConversationId, revision: int) -> None:
        """The conversation is reported to have reached `revision`: older entries are not valid any more."""
        self._hinted[conversation_id] = max(self._hinted.get(conversation_id, 0), revision)

    def unread_hint(self, conversation_id: ConversationId, revision: int) -> int:
        """The reported revision, where it is beyond `revision` and beyond the cached entry; else 0."""
        hinted, known = self._hinted.get(conversation_id, 0), self.peek(conversation_id)
        return hinted if hinted > max(revision, 0 if known is None else known.revision) else 0

    def invalidate(self) -> None:
        """Envelopes may have been missed: read everything again before it is believed."""
        self._entries.clear()

    async def non_members(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> set[UserId] | None:
        """Which of these are not its members; None when there is no such conversation. Read now, unless all are members.

        Raises:
            StoreUnavailable: it has to be read and cannot.
        """
        asked = set(user_ids)
        conversation = await self.for_members(conversation_id, asked)
        return None if conversation is None else asked.difference(conversation.members)

    def _is_heard(self, conversation_id: ConversationId, entry: _Entry) -> bool:
        """Whether each change since that read would have been heard."""
        is_subscribed = entry.subscription and entry.subscription == self._subscription(conversation_id)
        return bool(is_subscribed) and self._redis_trust.is_heard

    def _subscription(self, conversation_id: ConversationId) -> int:
        return self._bus.subscription(f"conversation:{conversation_id}")

    def _keep(self, entry: _Entry) -> None:
        conversation_id = entry.conversation.conversation_id
        known = self._entries.get(conversation_id)
        if known is None or known.conversation.revision <= entry.conversation.revision:
            self._entries[conversation_id] = entry

    async def _shared_read(self, conversation_id: ConversationId) -> Conversation | None:
        reads = self._reads.get(conversation_id)
        if reads is None:
            reads = self._reads[conversation_id] = Joined(partial(self._read, conversation_id), 1)
        return await reads.of()

    async def _read(self, conversation_id: ConversationId, _: list[None]) -> Conversation | None:
        try:
            began, subscription = self._clock.monotonic(), self._subscription(conversation_id)
            conversation = await self._store.read_conversation(conversation_id)
        finally:
            if not self._reads[conversation_id].is_asked_again:
                del self._reads[conversation_id]
        if conversation is None:
            self._entries.pop(conversation_id, None)
        else:
            self._keep(_Entry(conversation, began, subscription))
        return conversation
