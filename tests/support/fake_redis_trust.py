"""`RedisTrust` of an instance whose Redis works, until a test says otherwise."""

from types import SimpleNamespace

from holdfast.domain.ids import RunId
from holdfast.node.cluster.losses import Losses
from holdfast.node.cluster.peers import Peers
from holdfast.node.cluster.redis_trust import Link, RedisTrust
from holdfast.ports import Bus, Clock, RosterCache
from support.fake_rosters import FakeRosters


class FakeRedisTrust(RedisTrust):
    """`has_fleet_well`: what the other instances' bulletins say. `mode`, `is_heard` and all else are the real ones."""

    def __init__(self, bus: Bus, clock: Clock, cache: RosterCache | None = None, link: Link | None = None) -> None:
        lease = SimpleNamespace(server="here", is_cut=False)
        losses, peers = Losses(cache or FakeRosters()), Peers(RunId("one:1"))
        super().__init__(bus, link or SimpleNamespace(is_connected=True), lease, losses, peers, clock)  # type: ignore[arg-type]  # the part it uses
        self.has_fleet_well = True

    @property
    def is_fleet_well(self) -> bool:
        """See the class."""
        return self.has_fleet_well
