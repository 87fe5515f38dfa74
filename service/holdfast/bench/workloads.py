"""The workloads, and the figures that each of them gives. Pure."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Pace(Enum):
    """What a sender, or a new connection, waits for."""

    DELIVERIES = auto()
    """A number of messages is in flight, until all members have them."""
    CLOCK = auto()
    """Messages are due at fixed times."""
    ACKS = auto()
    """Each sender has one message in flight, until it is acknowledged."""
    CONNECTIONS = auto()
    """No message: a number of connections is about to be opened."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: its key in the JSON, its unit, and whether more is better."""

    key: str
    unit: str
    is_more_better: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """`members` are spread evenly over `rooms`; the first `senders` send.

    `window`: messages in flight; `rate`: messages a second.
    """

    name: str
    title: str
    pace: Pace
    members: int
    rooms: int = 1
    senders: int = 10
    window: int = 0
    rate: int = 0

    @property
    def copies(self) -> int:
        """The members of one room: the deliveries of one message."""
        return self.members // self.rooms

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The rows that it fills."""
        return _FIGURES[self.pace]


_FIGURES: Final = {
    Pace.DELIVERIES: (Figure("deliveries_per_second", "deliveries/s", is_more_better=True),),
    Pace.CLOCK: (Figure("p50_ms", "ms, p50", is_more_better=False), Figure("p99_ms", "ms, p99", is_more_better=False)),
    Pace.ACKS: (Figure("acks_per_second", "acks/s", is_more_better=True), Figure("p99_ms", "ms, p99", is_more_better=False)),
    Pace.CONNECTIONS: (
        Figure("server_cpu_us", "µs of CPU each", is_more_better=False),
        Figure("accepts_per_second", "accepts/s", is_more_better=True),
    ),
}

WORKLOADS: Final = (
    Workload("fan-out-10", "fan-out to 10 members", Pace.DELIVERIES, 10, window=256),
    Workload("fan-out-100", "fan-out to 100 members", Pace.DELIVERIES, 100, window=128),
    Workload("fan-out-1000", "fan-out to 1,000 members", Pace.DELIVERIES, 1_000, window=32),
    Workload("rate-5000", "5,000 deliveries a second, 100 members", Pace.CLOCK, 100, rate=50),
    Workload("accepts", "connecting with a token check", Pace.CONNECTIONS, 2_000, senders=0),
    Workload("acks-1", "one sender", Pace.ACKS, 1, senders=1),
    Workload("acks-64", "64 senders in one conversation", Pace.ACKS, 64, senders=64),
    Workload("acks-100-conversations", "100 senders in as many conversations", Pace.ACKS, 100, rooms=100, senders=100),
)
