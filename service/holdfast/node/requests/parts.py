"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.notifications.parts import NotificationParts
from holdfast.node.requests.changing import MemberChanges
from holdfast.node.requests.commands import Commands
from holdfast.node.requests.conversation_service import ConversationService
from holdfast.node.requests.marked_changes import MarkedChanges
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
        limits = on.settings.limits
        self.commands = Commands(sending.committer, users.receipts, conversations.local, on.bus, limits)
        marked = MarkedChanges(on.store, conversations.cache, conversations.membership, cluster, sending.own_marks, on.tasks)
        members = MemberChanges(on.store, marked, notifications.decision, on.tasks, max_members=limits.members)
        self.conversation_service = ConversationService(
            on.store, conversations.local, marked, members, cluster.store_clock, limits
        )
