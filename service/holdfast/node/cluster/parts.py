"""The parts of this room, put together."""

from holdfast.node.cluster.above import Above
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.split import Split
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.foundation import Foundation


class ClusterParts:
    """Of one instance; the node runs their loops."""

    def __init__(self, on: Foundation, above: Above) -> None:
        self.store_clock = StoreClock(on.clock)
        self.split = Split(on.clock)
        self.lease = Lease(on.registry, on.bus, on.hub, on.clock, on.tasks, on.identity, above)
        self.bulletins = Bulletins(on.store, on.clock, self.lease, self.split, self.store_clock, above)
