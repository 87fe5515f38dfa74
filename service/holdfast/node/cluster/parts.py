"""The parts of this room, put together."""

from holdfast.node.cluster.above import Above
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.cluster.heartbeats import Heartbeats
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.losses import Losses
from holdfast.node.cluster.own_bulletin import OwnBulletin
from holdfast.node.cluster.peers import Peers
from holdfast.node.cluster.redis_trust import Link, RedisTrust
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.foundation import Foundation


class ClusterParts:
    """Of one instance; the node runs their loops."""

    def __init__(self, on: Foundation, redis: Link, above: Above) -> None:
        self.store_clock = StoreClock(on.clock)
        losses = Losses(on.roster_cache)
        self.lease = Lease(on.registry, on.bus, on.hub, on.process, losses, above)
        self.peers = Peers(on.identity.run)
        self.redis_trust = RedisTrust(on.bus, redis, self.lease, losses, self.peers, on.clock)
        self.own_bulletin = OwnBulletin(on.store, on.clock, self.store_clock, on.identity)
        self.bulletins = Bulletins(on.store, on.clock, self.lease, self.redis_trust, self.own_bulletin, above)
        self.announcer = Announcer(on.bus, self.bulletins.window, on.clock)
        self.heartbeats = Heartbeats(on, self.peers, self.lease, self.bulletins, above)
