"""The machine's clocks: the only place of an instance that asks the operating system for the time."""

import time
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")


class SystemClock:
    """Implements `ports.MachineClock`. Without `/proc` the start of the machine is reckoned from the process's wall clock."""

    def __init__(self, stat: Path = _STAT) -> None:
        """`stat`: the kernel's file with the line `btime`."""
        self._stat = stat

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return time.monotonic()

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return time.time_ns() // 1_000_000

    def since_boot_ms(self) -> int:
        """See `ports.MachineClock`."""
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime_ns(clock) // 1_000_000

    def booted_at_ms(self) -> int:
        """See `ports.MachineClock`."""
        try:
            for line in self._stat.read_text().splitlines():
                if line.startswith("btime "):
                    return int(line.split()[1]) * 1000
        except (OSError, ValueError):
            pass
        return self.now_ms() - self.since_boot_ms()
