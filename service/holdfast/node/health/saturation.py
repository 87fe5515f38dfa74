"""Is this instance close to its limit of connections or of memory?

From the high-water mark on it asks to be left out of the Service, until it is below the low mark. At the limit of connections,
and from the memory's mark on, new sockets are refused. A refusal costs one client a second; running out of memory costs all
clients their connection.
"""

from typing import Final

from holdfast.node.connections.hub import Hub
from holdfast.ports import Memory
from holdfast.telemetry import Telemetry

_CONNECTIONS_MARKS: Final = (0.85, 0.95)
_MEMORY_MARKS: Final = (0.80, 0.85)
"""Connections that come in between two looks must fit above the mark: a second of the fastest accepting (4,000 sockets of 10 KB)
is 8 % of 512 MB. The marks are close together, because Python gives little memory back to the machine."""


class Saturation:
    """Lives in the loop; `evaluate` once a second."""

    def __init__(self, hub: Hub, memory: Memory, telemetry: Telemetry, *, max_connections: int) -> None:
        self._hub = hub
        self._memory = memory
        telemetry.connections_limit.set(max_connections)
        self._resident = telemetry.memory_resident
        self._limit = telemetry.memory_limit
        self._max_connections = max_connections
        self._has_many_connections = False
        self._has_little_memory = False
        self.reason = ""

    @property
    def is_saturated(self) -> bool:
        """Between the marks: whichever was passed last counts."""
        return self._has_many_connections or self._has_little_memory

    @property
    def has_room(self) -> bool:
        """Whether another socket may be accepted."""
        return not self._has_little_memory and len(self._hub.connections) < self._max_connections

    def evaluate(self) -> None:
        """Look at both once; `reason` says in words what is full."""
        use = self._memory.read()
        self._resident.set(use.resident_bytes)
        self._limit.set(use.limit_bytes or 0)
        connections, memory = len(self._hub.connections), use.resident_bytes / use.limit_bytes if use.limit_bytes else 0.0
        self._has_many_connections = _is_over(connections / self._max_connections, _CONNECTIONS_MARKS, self._has_many_connections)
        self._has_little_memory = _is_over(memory, _MEMORY_MARKS, self._has_little_memory)
        reasons = []
        if self._has_many_connections:
            reasons.append(f"{connections} of {self._max_connections} connections")
        if self._has_little_memory:
            reasons.append(f"{use.resident_bytes >> 20} of {(use.limit_bytes or 0) >> 20} MiB of memory")
        self.reason = ", ".join(reasons)


def _is_over(fill: float, marks: tuple[float, float], is_over: bool) -> bool:
    low, high = marks
    return fill >= (low if is_over else high)
