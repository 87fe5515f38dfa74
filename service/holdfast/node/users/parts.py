"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.notifications.parts import NotificationParts
from holdfast.node.users.presence import Presence
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.node.users.receipt_fan_out import ReceiptFanOut
from holdfast.node.users.receipts import Receipts
from holdfast.node.users.revocations import Revocations
from holdfast.node.users.rosters import Rosters


class UserParts:
    """Of one instance; the node ticks `presence` and runs the loops of `rosters` and `revocations`."""

    def __init__(
        self, on: Foundation, cluster: ClusterParts, conversations: ConversationParts, notifications: NotificationParts
    ) -> None:
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
            on_offline=notifications.offline_backfill.look_soon,
        )
        self.rosters = Rosters(
            on.roster_cache,
            on.store,
            on.telemetry,
            delivery,
            cluster.redis_trust,
            store_clock,
        )
        self.receipt_fan_out = ReceiptFanOut(
            on.store,
            on.hub,
            cache,
            delivery,
            self.presence_fan_out,
            store_clock,
            on.tasks,
            indicator_members=settings.limits.indicator_members,
        )
        self.receipts = Receipts(
            on.store,
            cluster.announcer,
            self.receipt_fan_out,
            cache,
            delivery,
            on.roster_cache,
            self.presence_fan_out,
            notifications.decision,
            store_clock,
            indicator_members=settings.limits.indicator_members,
        )
