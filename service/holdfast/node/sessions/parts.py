"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.sessions.connecting import Connecting
from holdfast.node.sessions.registration import Registration
from holdfast.node.sessions.resuming import Resuming
from holdfast.node.users.parts import UserParts


def connecting_of(on: Foundation, cluster: ClusterParts, conversations: ConversationParts, users: UserParts) -> Connecting:
    """How connections of this instance come and go."""
    limits = on.settings.limits
    registration = Registration(cluster.lease, on.bus, limits.connections_per_user)
    resuming = Resuming(on.store, conversations, users.rosters, on.process, limits)
    return Connecting(registration, resuming, conversations.local, users, on.process)
