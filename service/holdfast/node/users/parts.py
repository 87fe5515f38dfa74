"""The parts of this room, put together."""

from typing import Protocol

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.users.presence import Presence
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.node.users.receipts import Receipts
from holdfast.node.users.revocations import Revocations
from holdfast.node.users.rosters import Rosters


class Above(Protocol):
    """The news of this room for the rooms above it."""

    def on_offline(self, user_ids: list[UserId]) -> None:
        """This instance took these users offline."""

    def on_read(self, conversation_id: ConversationId, user_id: UserId, seq: Seq) -> None:
        """A user has read up to `seq`."""


class UserParts:
    """Of one instance; the node ticks `presence` and runs the loops of `rosters` and `revocations`."""

    def __init__(self, on: Foundation, cluster: ClusterParts, conversations: ConversationParts, above: Above) -> None:
        settings, store_clock = on.settings, cluster.store_clock
        cache, delivery = conversations.cache, conversations.delivery
        self.revocations = Revocations(on.store, on.bus, on.hub, delivery, store_clock, settings.auth.leeway_seconds)
        self.presence_fan_out = PresenceFanOut(on.store, on.bus, cache, delivery, on.tasks)
        self.presence = Presence(
            on.store,
            on.bus,
            on.hub,
            delivery,
            self.presence_fan_out,
            on.clock,
            store_clock,
            on.tasks,
            on.identity,
            grace_seconds=settings.presence.grace_seconds,
            indicator_members=settings.limits.indicator_members,
            on_offline=above.on_offline,
        )
        self.rosters = Rosters(
            on.roster_cache,
            on.store,
            on.telemetry,
            delivery,
            cluster.redis_trust,
            is_trusted=settings.bus.secret is None,  # lists in Redis are not signed
        )
        self.receipts = Receipts(
            on.store,
            on.bus,
            on.hub,
            cache,
            delivery,
            on.roster_cache,
            self.presence_fan_out,
            store_clock,
            indicator_members=settings.limits.indicator_members,
            on_moved=above.on_read,
        )
