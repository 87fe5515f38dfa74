"""What the bus counts, for metrics. Plain numbers since the start, written in one event loop."""

from dataclasses import dataclass


@dataclass(slots=True)
class BusCounters:
    """`too_large`: envelopes over the limit, not sent or not delivered. `failed_calls`: the owner's callbacks that raised.
    `unsigned`: without a seal that may be believed, and dropped.
    """

    received: int = 0
    connections: int = 0
    deaf: int = 0
    too_large: int = 0
    failed_calls: int = 0
    foreign_echoes: int = 0
    unsigned: int = 0


@dataclass(slots=True)
class PipelineCounters:
    """`dropped_full`: the queue was full. `dropped_away`: Redis failed or was away. `refused`: answered with an error."""

    sent: int = 0
    round_trips: int = 0
    refused: int = 0
    dropped_full: int = 0
    dropped_away: int = 0
