"""The parts of this room, put together."""

from collections.abc import Mapping
from typing import Protocol

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.activity import Activity
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.conversations.entering import Entering
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.membership import Membership
from holdfast.node.conversations.replay import Replay
from holdfast.node.foundation import Foundation
from holdfast.node.sending.parts import SendingParts


class Above(Protocol):
    """The questions of this room to the rooms above it, and its news for them."""

    def on_membership(self, user_id: UserId, conversation: Conversation, is_member: bool) -> None:
        """A user with a connection here got into a conversation, or out of it."""

    async def published_tails(self, known: Mapping[ConversationId, Seq], proof: str) -> dict[ConversationId, Seq]:
        """The tails of conversations, given lower bounds and a roster's proof, as far as Redis can prove them."""


class ConversationParts:
    """Of one instance; the node ticks `delivery` and `activity`."""

    def __init__(self, on: Foundation, cluster: ClusterParts, sending: SendingParts, above: Above) -> None:
        limits = on.settings.limits
        self.cache = Conversations(on.store, on.bus, on.clock, cluster.redis_trust)
        self.delivery = Delivery(
            on.store,
            on.bus,
            on.recent_messages,
            on.hub,
            self.cache,
            sending.appender,
            cluster.announcer,
            cluster.store_clock,
            on.process,
            max_conversations=limits.subscriptions,
        )
        self.local = LocalSide(on.hub, self.cache, self.delivery)
        self.replay = Replay(on.store, self.delivery, on.telemetry)
        self.entering = Entering(self.local, self.replay, on.tasks, limits, above.on_membership)
        self.membership = Membership(
            on.store,
            cluster.announcer,
            self.local,
            self.entering,
            on.process,
            indicator_members=limits.indicator_members,
        )
        self.delivery.on_stale_membership = self.membership.refresh
        self.delivery.on_newer_members = self.membership.enforce
        self.delivery.published_tails = above.published_tails
        self.activity = Activity(on.store, on.tasks)
