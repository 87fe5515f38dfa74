"""The machine's clocks: the only place of an instance that asks the operating system for the time."""

import time


class SystemClock:
    """Implements `ports.Clock`."""

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return time.monotonic()

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return time.time_ns() // 1_000_000
