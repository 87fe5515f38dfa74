"""What an instance asks of its own process: time, the way out of a socket, where an adapter tells how it fares."""

from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests own it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for every wait, age and deadline."""
        ...

    def now_ms(self) -> int:
        """Wall clock in Unix milliseconds; for what people read, never for decisions between machines."""
        ...


class MachineClock(Clock, Protocol):
    """A clock of which all processes of one machine say the same, whatever wall clock one of them is given."""

    def since_boot_ms(self) -> int:
        """Milliseconds since the machine was started; they go on while it is suspended."""
        ...

    def booted_at_ms(self) -> int:
        """When it was started, in Unix milliseconds, as the kernel says (in whole seconds). It moves when the clock is set."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory that the process uses, and its limit. `limit_bytes` is None where no limit is set."""

    resident_bytes: int
    limit_bytes: int | None


class Memory(Protocol):
    """The memory of this process."""

    def read(self) -> MemoryUse:
        """As it is now. Does not block, never raises: what cannot be found out is 0, without a limit."""
        ...


class Transport(Protocol):
    """The way out of one socket. Never blocks: what the peer does not take waits in a bounded buffer."""

    def write(self, data: bytes) -> None:
        """Append encoded WebSocket frames. After the end it does nothing."""
        ...

    async def writable(self) -> None:
        """Wait until the buffer has room again, or the end. For replay only: no other code ever waits for a client."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Say why in an `error` frame where the code stands for one, send a close frame, end within a second. Idempotent."""
        ...


class DependencyWatch(Protocol):
    """Where an adapter reports how its outside system behaves; health is made of it. Never blocks, never raises."""

    def succeeded(self, latency_seconds: float) -> None:
        """A call was answered."""
        ...

    def failed(self, reason: str, *, is_timeout: bool) -> None:
        """A call was refused, reset, or not answered in time."""
        ...

    def postponed(self) -> None:
        """A call was not made: too many were under way. This is no sign of a fault on the other side."""
        ...

    def undecodable(self, source: str, count: int = 1) -> None:
        """Values that were read are none of ours, and were skipped. `source`: one of `telemetry.SOURCES`."""
        ...

    def documents(self, *, read: int = 0, written: int = 0) -> None:
        """Documents that the store will bill. To be called in the task that asked, or one that it started."""
        ...


class Unwatched:
    """A `DependencyWatch` for commands and drills, which show no health of their outside systems."""

    def succeeded(self, latency_seconds: float) -> None:
        """See `DependencyWatch`."""

    def failed(self, reason: str, *, is_timeout: bool) -> None:
        """See `DependencyWatch`."""

    def postponed(self) -> None:
        """See `DependencyWatch`."""

    def undecodable(self, source: str, count: int = 1) -> None:
        """See `DependencyWatch`."""

    def documents(self, *, read: int = 0, written: int = 0) -> None:
        """See `DependencyWatch`."""
