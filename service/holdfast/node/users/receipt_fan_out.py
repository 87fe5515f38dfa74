"""Receipts of other instances, and of this one, on their way to the connections here.

A late receipt is a hint. An instance that began to follow the conversation meanwhile has missed newer receipts, which its clients
got at other instances. So the cursor is read from the store and that position is told.

In a large conversation a receipt is shown to its reader's own devices alone. Whether a conversation is large says the channel of
a prompt receipt, because the instance that sent it knows the members. For a late one the conversation is looked at.
"""

import logging
from collections.abc import Iterable
from typing import Final

from holdfast.domain.ids import ConversationId, Seq, UserId, message_id
from holdfast.errors import StoreError
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery, conversation_channel
from holdfast.node.tasks import Tasks
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.node.users.reading import Positions
from holdfast.ports import Clock, CursorStore
from holdfast.protocol import envelopes, frames
from holdfast.protocol.jsontext import ms_of, rfc3339

_MAX_LATE: Final = 10_000
_LATE_SECONDS: Final = 0.5  # envelopes travel in milliseconds; clocks further apart than this cost reads, nothing else

_log = logging.getLogger(__name__)


class ReceiptFanOut:
    """Lives in the loop.

    Attributes:
        positions: what this instance knows of the cursors.
    """

    def __init__(
        self,
        store: CursorStore,
        hub: Hub,
        conversations: Conversations,
        delivery: Delivery,
        presence_fan_out: PresenceFanOut,
        clock: Clock,
        tasks: Tasks,
        *,
        indicator_members: int,
    ) -> None:
        self.positions = Positions()
        self._store = store
        self._hub = hub
        self._conversations = conversations
        self._delivery = delivery
        self._presence_fan_out = presence_fan_out
        self._clock = clock
        self._tasks = tasks
        self._indicator_members = indicator_members
        self._late: dict[UserId, dict[ConversationId, None]] = {}
        self._is_reading = False

    def receive(self, channel: str, envelope: envelopes.ReceiptEnvelope) -> None:
        """A cursor moved at another instance."""
        conversation_id, user_id = ConversationId(envelope.c), UserId(envelope.user)
        if envelope.is_first:
            self._presence_fan_out.accepted(conversation_id, user_id)
        age_ms = self._clock.now_ms() - (ms_of(envelope.read_at) or 0)
        if abs(age_ms) <= _LATE_SECONDS * 1000:
            is_small = channel == conversation_channel(conversation_id)
            self._tell(conversation_id, user_id, envelope.seq, envelope.read_at, is_small=is_small)
        else:
            self.learn(conversation_id, user_id, envelope.seq)

    def learn(self, conversation_id: ConversationId, user_id: UserId, seq: Seq) -> None:
        """A cursor moved at another instance up to a minute ago, as its bulletin says: the store is asked how far it is now."""
        if conversation_id not in self._delivery.locals or seq <= self.positions.told(conversation_id, user_id):
            return
        if len(self._late) >= _MAX_LATE:
            return
        self._late.setdefault(user_id, {})[conversation_id] = None
        if not self._is_reading:
            self._is_reading = True
            self._tasks.start(self._tell_late())

    def show(self, conversation_id: ConversationId, user_id: UserId, seq: Seq, read_at: str, *, is_small: bool) -> None:
        """Give a receipt to the connections here that may see it: in a large conversation those of the reader."""
        frame = frames.Receipt(
            conversation_id=conversation_id, user_id=user_id, message_id=message_id(seq), seq=seq, read_at=read_at
        )
        local = self._delivery.locals.get(conversation_id)
        if not is_small:
            self._hub.tell_user(user_id, frame)
        elif local is not None:
            self._hub.tell(local, frame)

    async def _tell_late(self) -> None:
        """One read at a time; what the store does not answer is in the next bulletin again."""
        try:
            while self._late:
                user_id = next(iter(self._late))
                try:
                    await self._tell_stored(user_id, self._late.pop(user_id))
                except StoreError as failure:
                    _log.debug("late receipts cannot be read now: %s", failure)
        finally:
            self._is_reading = False

    async def _tell_stored(self, user_id: UserId, conversation_ids: Iterable[ConversationId]) -> None:
        """How far the store says that the user has read, where a connection here may see that."""
        small: dict[ConversationId, bool] = {}
        for conversation_id in conversation_ids:
            conversation = self._conversations.peek(conversation_id) or await self._conversations.get(conversation_id)
            if conversation is not None:
                is_small = len(conversation.members) <= self._indicator_members
                if self._is_shown(conversation_id, user_id, is_small=is_small):
                    small[conversation_id] = is_small
        cursors = await self._store.cursors_of(user_id, list(small)) if small else {}
        for conversation_id, seq in cursors.items():
            self._tell(conversation_id, user_id, seq, rfc3339(self._clock.now_ms()), is_small=small[conversation_id])

    def _is_shown(self, conversation_id: ConversationId, user_id: UserId, *, is_small: bool) -> bool:
        """Whether a connection here may see the receipts of the user."""
        return conversation_id in self._delivery.locals if is_small else self._hub.count_of(user_id) > 0

    def _tell(self, conversation_id: ConversationId, user_id: UserId, seq: Seq, read_at: str, *, is_small: bool) -> None:
        if not self._is_shown(conversation_id, user_id, is_small=is_small):
            return
        position = self.positions.of(conversation_id, user_id)
        position.note(seq)
        if seq <= position.told:
            return  # our own echo, or older than what was told
        position.told = seq
        self.show(conversation_id, user_id, seq, read_at, is_small=is_small)
