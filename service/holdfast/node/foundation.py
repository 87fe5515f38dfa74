"""The foundation of every room of an instance: the settings, the ports, and the objects that all rooms share."""

from dataclasses import dataclass, field

from holdfast.domain.ids import InstanceId
from holdfast.loops import Loops
from holdfast.node.connections.hub import Hub
from holdfast.node.identity import Identity, own_epoch
from holdfast.node.tasks import Tasks
from holdfast.ports import Bus, Clock, Marks, Memory, Notifier, RecentMessages, Registry, RosterCache, Store
from holdfast.settings import Settings
from holdfast.telemetry import Telemetry


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """What a part of an instance needs of the process that it runs in: a name and an epoch, the time, tasks, metrics."""

    identity: Identity
    clock: Clock
    tasks: Tasks
    telemetry: Telemetry


@dataclass(kw_only=True, slots=True, eq=False)
class Foundation:
    """Given from outside, above; shared by all rooms, below: the identity, the loops, the background tasks, the connections."""

    settings: Settings
    version: str
    store: Store
    bus: Bus
    marks: Marks
    recent_messages: RecentMessages
    registry: Registry
    roster_cache: RosterCache
    notifier: Notifier
    clock: Clock
    memory: Memory
    telemetry: Telemetry

    identity: Identity = field(init=False)
    loops: Loops = field(init=False)
    tasks: Tasks = field(init=False)
    hub: Hub = field(init=False)
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        """Shared objects are made once."""
        self.identity = Identity(InstanceId(self.settings.instance_id), own_epoch(self.clock))
        self.loops = Loops(self.clock.monotonic, self.telemetry)
        self.tasks = Tasks(self.loops.note_failure)
        self.hub = Hub(self.telemetry)
        self.process = Process(self.identity, self.clock, self.tasks, self.telemetry)
