"""A machine's clock that is wrong: for one process, or for all of them because it was set."""

from holdfast.adapters.machine.clock import SystemClock


class WrongClock(SystemClock):
    """`ahead_seconds` off; `is_set`: the kernel's wall clock is, not only what this process is told."""

    def __init__(self, ahead_seconds: float, *, is_set: bool = False) -> None:
        super().__init__()
        self.ahead_ms = round(1000 * ahead_seconds)
        self._is_set = is_set

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return super().now_ms() + self.ahead_ms

    def booted_at_ms(self) -> int:
        """See `ports.MachineClock`."""
        return super().booted_at_ms() + (self.ahead_ms if self._is_set else 0)
