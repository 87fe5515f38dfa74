"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.notifications.parts import NotificationParts
from holdfast.node.requests.commands import Commands
from holdfast.node.requests.conversation_service import ConversationService
from holdfast.node.sending.parts import SendingParts
from holdfast.node.users.parts import UserParts


class RequestParts:
    """Of one instance."""

    def __init__(
        self,
        on: Foundation,
        cluster: ClusterParts,
        sending: SendingParts,
        conversations: ConversationParts,
        users: UserParts,
        notifications: NotificationParts,
    ) -> None:
        cache, delivery, limits = conversations.cache, conversations.delivery, on.settings.limits
        self.commands = Commands(sending.committer, users.receipts, cache, delivery, on.hub, on.bus, limits)
        self.conversation_service = ConversationService(
            on.store,
            cache,
            conversations.membership,
            delivery,
            cluster.bulletins,
            cluster.redis_trust,
            on.marks,
            cluster.store_clock,
            on.tasks,
            notifications.decision,
            limits,
            on.identity,
        )
