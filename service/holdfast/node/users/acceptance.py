"""Which users have accepted a conversation: they created it, or wrote or read something in it.

Two users are shown each other's presence where both have accepted a conversation that they share: a user who is added to a
conversation by an unknown user stays hidden from that user until the added user reads or writes there. The evidence is the user's
read cursor, which a first read makes, and so does a first message, wherever the cursor stands (`receipts`). An acceptance is
never taken back, so what is known of it may be incomplete, and is never wrong.
"""

from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.chunks import chunks
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery, conversation_channel
from holdfast.ports import Bus, ConversationStore, CursorStore

_MAX_RECENT: Final = 20_000
_PAGE: Final = 100


class AcceptanceStore(ConversationStore, CursorStore, Protocol):
    """Members accept a conversation by reading it."""


class Acceptances:
    """Which users have accepted which conversation. Cached for local conversations, as long as their subscription is in force.

    Lives in the loop.
    """

    def __init__(self, store: AcceptanceStore, bus: Bus, conversations: Conversations, delivery: Delivery) -> None:
        self._store = store
        self._bus = bus
        self._conversations = conversations
        self._delivery = delivery
        self._recent = BoundedDict[tuple[ConversationId, UserId], None](_MAX_RECENT)  # perhaps after the reading under way

    def known(self, conversation_id: ConversationId) -> AbstractSet[UserId] | None:
        """The users that have accepted a local conversation; None when the store has to be asked (`of`)."""
        local = self._delivery.locals.get(conversation_id)
        if local is None or local.accepted is None:
            return None
        subscription = self._bus.subscription(conversation_channel(conversation_id))
        return local.accepted if subscription in (local.accepted_under, 0) else None  # without the bus: nothing newer is heard

    def so_far(self, conversation_id: ConversationId) -> AbstractSet[UserId]:
        """The users that are known to have accepted a local conversation; there may be more."""
        local = self._delivery.locals.get(conversation_id)
        return local.accepted or frozenset() if local is not None else frozenset()

    async def of(self, conversation_id: ConversationId) -> AbstractSet[UserId]:
        """The users that have accepted a conversation; empty when there is no such conversation.

        Raises:
            StoreError: it has to be read and cannot.
        """
        if (known := self.known(conversation_id)) is not None:
            return known
        subscription = self._bus.subscription(conversation_channel(conversation_id))
        conversation = await self._conversations.get(conversation_id)
        if conversation is None:
            return frozenset()
        users = {conversation.created_by, *await self._store.read_cursors(conversation_id)}
        users |= {user_id for user_id in conversation.members if (conversation_id, user_id) in self._recent}
        if (local := self._delivery.locals.get(conversation_id)) is not None:
            local.accepted, local.accepted_under = users, subscription
        return users

    def add(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """The user has accepted the conversation just now, here or at another instance."""
        self._recent[conversation_id, user_id] = None
        local = self._delivery.locals.get(conversation_id)
        if local is not None and local.accepted is not None:
            local.accepted.add(user_id)


def accepted_members(conversation: Conversation, with_cursor: AbstractSet[UserId]) -> set[UserId]:
    """The members that have accepted a conversation, given the users that have a read cursor in it."""
    return {user_id for user_id in conversation.members if user_id in with_cursor or user_id == conversation.created_by}


async def share_accepted(store: AcceptanceStore, one: UserId, other: UserId) -> bool:
    """Whether two users share a conversation that both have accepted, as the store has it now; the latest are read first.

    Raises:
        StoreError: it cannot be read.
    """
    theirs = {row.conversation_id for row in await store.memberships_of(other)}
    shared = [row.conversation_id for row in await store.memberships_of(one) if row.conversation_id in theirs]
    for page in chunks(shared, _PAGE):
        of_one, of_other = await store.cursors_of(one, page), await store.cursors_of(other, page)
        if of_one.keys() & of_other.keys():
            return True
        for c in of_one.keys() ^ of_other.keys():
            conversation = await store.read_conversation(c)
            if conversation is not None and conversation.created_by == (other if c in of_one else one):
                return True
    return False
