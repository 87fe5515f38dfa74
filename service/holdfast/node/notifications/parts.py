"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.notifications.decision import Notifications
from holdfast.node.notifications.offline_backfill import OfflineBackfill
from holdfast.node.notifications.pushing import Pushing
from holdfast.node.sending.parts import SendingParts


class NotificationParts:
    """Of one instance; the node ticks `decision` and runs the loops of `offline_backfill` and `pushing`."""

    def __init__(self, on: Foundation, cluster: ClusterParts, sending: SendingParts, conversations: ConversationParts) -> None:
        grace_seconds = on.settings.presence.grace_seconds
        self.pushing = Pushing(on.store, on.notifier, cluster.store_clock, on.tasks, on.telemetry)
        self.decision = Notifications(
            on.store,
            sending.own_marks,
            on.registry,
            on.hub,
            conversations.cache,
            on.clock,
            cluster.store_clock,
            on.telemetry,
            on.tasks,
            self.pushing,
            grace_seconds,
        )
        self.offline_backfill = OfflineBackfill(on.store, self.decision, on.registry, on.clock, grace_seconds)
