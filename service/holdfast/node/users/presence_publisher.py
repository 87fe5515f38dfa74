"""Announces changes of presence that this instance wrote: to its own connections, and to the instances of each conversation.

The store is asked first for the users from whom the change is hidden, and for the conversations of a user who is not here. So one
worker does it, in the order of the changes and a few at a time. Neither a user who connects nor the next write waits for it, and
the store has room for other calls. A change is not announced where a newer one of the same user waits behind it: all would be
told of an absence that is over.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Protocol

from holdfast.domain.conversations import Membership
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.presence import PresenceChange
from holdfast.node.conversations.delivery import Delivery, conversation_channel
from holdfast.node.tasks import Tasks
from holdfast.node.users.hidden import HIDDEN_FROM_ALL, Hidden, hidden_from
from holdfast.node.users.presence_fan_out import MAX_TOLD_CONVERSATIONS, PresenceFanOut
from holdfast.ports import BlockStore, Bus, ConversationStore
from holdfast.protocol import envelopes
from holdfast.protocol.jsontext import rfc3339

_MAX_WAITING: Final = 20_000
_AT_ONCE: Final = 8  # changes; each costs up to three reads


class PublishedStore(ConversationStore, BlockStore, Protocol):
    """Where a user is seen, and by whom not."""


@dataclass(slots=True, eq=False)
class _Announcement:
    """`conversations`: where the change is told; None until the store has said in which the user is."""

    change: PresenceChange
    conversations: tuple[ConversationId, ...] | None
    hidden: Hidden | None = None


class PresencePublisher:
    """Lives in the loop."""

    def __init__(
        self,
        store: PublishedStore,
        bus: Bus,
        delivery: Delivery,
        fan_out: PresenceFanOut,
        tasks: Tasks,
        indicator_members: int,
    ) -> None:
        """`indicator_members`: in larger conversations presence is not told."""
        self._store = store
        self._bus = bus
        self._delivery = delivery
        self._fan_out = fan_out
        self._tasks = tasks
        self._indicator_members = indicator_members
        self._waiting: deque[_Announcement] = deque()
        self._newest: dict[UserId, int] = {}  # of the users in `_waiting`, the newest version there
        self._is_working = False

    def tell(self, change: PresenceChange, conversations: tuple[ConversationId, ...] | None) -> None:
        """Tell it soon; where 20,000 wait, never: presence is best effort.

        Args:
            conversations: the user's, as `told_in` gives them; None: the store is asked.
        """
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(_Announcement(change, conversations))
            self._newest[change.user_id] = max(change.version, self._newest.get(change.user_id, 0))
        if not self._is_working:
            self._is_working = True
            self._tasks.start(self._work())

    def told_in(self, memberships: Iterable[Membership]) -> tuple[ConversationId, ...]:
        """Where a user's presence is told: in the most recently active conversations that are small enough."""
        small = (row.conversation_id for row in memberships if row.member_count <= self._indicator_members)
        return tuple(islice(small, MAX_TOLD_CONVERSATIONS))

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = list(islice(self._waiting, _AT_ONCE))
                await asyncio.gather(
                    *(self._tasks.until_store_answers(partial(self._look, each), name="presence") for each in batch)
                )
                for each in batch:
                    self._waiting.popleft()
                    if each.change.version < self._newest.get(each.change.user_id, 0):
                        continue
                    self._newest.pop(each.change.user_id, None)
                    try:
                        self._publish(each.change, each.conversations or (), each.hidden or HIDDEN_FROM_ALL)
                    except Exception as error:  # noqa: BLE001 - later changes must not wait for ever behind one mistake
                        self._tasks.note_failure("presence", error)
        finally:
            self._is_working = False

    async def _look(self, announcement: _Announcement) -> None:
        """The store's answers; answers from before a failure are not asked for again.

        A user in no conversation is shown to no other user, so it is not asked for blocks.
        """
        if announcement.conversations is None:
            announcement.conversations = self.told_in(await self._store.memberships_of(announcement.change.user_id))
        if announcement.conversations and announcement.hidden is None:
            announcement.hidden = await hidden_from(self._store, announcement.change.user_id)

    def _publish(self, change: PresenceChange, told_in: tuple[ConversationId, ...], hidden: Hidden) -> None:
        """Our own connections at once, other instances through each conversation's channel."""
        conversations = () if hidden.is_all else told_in
        envelope = envelopes.PresenceEnvelope(
            v=envelopes.VERSION,
            kind="presence",
            generation=self._delivery.generation,
            user=change.user_id,
            online=change.online,
            version=change.version,
            last_seen_at=None if not change.last_seen_at_ms else rfc3339(change.last_seen_at_ms),
            conversations=list(conversations),
            hidden=sorted(hidden.users),
        )
        self._fan_out.receive(envelope)
        payload = envelopes.encode(envelope)
        for conversation_id in conversations:
            self._bus.publish(conversation_channel(conversation_id), payload)
