"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.sessions.connecting import Connecting
from holdfast.node.users.parts import UserParts


def connecting_of(on: Foundation, cluster: ClusterParts, conversations: ConversationParts, users: UserParts) -> Connecting:
    """How connections of this instance come and go."""
    return Connecting(
        on.store,
        on.bus,
        on.hub,
        conversations.cache,
        conversations.delivery,
        conversations.membership,
        conversations.replay,
        users.presence,
        users.rosters,
        cluster.lease,
        on.clock,
        on.tasks,
        on.telemetry,
        on.settings.limits,
    )
