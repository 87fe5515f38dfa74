"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.notifications.parts import NotificationParts
from holdfast.node.recovery.above import Above
from holdfast.node.recovery.finishing import Finishing
from holdfast.node.recovery.opening import StoreContact
from holdfast.node.recovery.presence_reconciler import PresenceReconciler
from holdfast.node.recovery.reaper import Reaper
from holdfast.node.recovery.resync import Resync
from holdfast.node.recovery.stored_marks import StoredMarks
from holdfast.node.recovery.unfinished_commits import UnfinishedCommits
from holdfast.node.sending.parts import SendingParts
from holdfast.node.users.parts import UserParts


class RecoveryParts:
    """Of one instance; the node runs the loops of `reaper`, `unfinished_commits`, `stored_marks` and `presence_reconciler`."""

    def __init__(
        self,
        on: Foundation,
        cluster: ClusterParts,
        sending: SendingParts,
        conversations: ConversationParts,
        users: UserParts,
        notifications: NotificationParts,
        above: Above,
    ) -> None:
        delivery, membership = conversations.delivery, conversations.membership
        self.store_contact = StoreContact(on.store, cluster.own_bulletin, delivery, users.revocations)
        self.presence_reconciler = PresenceReconciler(on.store, users.presence, on.clock, cluster.store_clock, on.identity)
        self.resync = Resync(on.store, conversations.local, membership, users.receipt_fan_out, cluster.redis_trust, on.tasks)
        self.reaper = Reaper(on, cluster, users.presence, above)
        finishing = Finishing(on.store, conversations, notifications.decision, cluster.store_clock)
        self.unfinished_commits = UnfinishedCommits(on, sending.own_marks, cluster.peers, membership, finishing)
        self.stored_marks = StoredMarks(
            on.store,
            sending.own_marks,
            cluster.bulletins,
            delivery,
            finishing,
            on.process,
        )
