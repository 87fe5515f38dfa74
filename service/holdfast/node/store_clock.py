"""The store's clock, as far as this instance knows it.

No time of another machine is ever compared with ours; what the store stamps is compared with what it stamped. A beat is written
every 3 s and answered with its time: so a moment of ours can be said in the store's. Before the first answer it cannot, and our
wall clock is no substitute: a minute too late, it would hide what a user missed in that minute.
"""

from typing import Final

from holdfast.ports import Clock

UNKNOWN: Final = 0


class StoreClock:
    """Lives in the loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stamp: tuple[int, float] | None = None

    def note(self, stamped_ms: int, answered_at: float) -> None:
        """A write was stamped; its answer came at `answered_at` (monotonic seconds)."""
        self._stamp = (stamped_ms, answered_at)

    def at(self, monotonic: float) -> int:
        """A moment of ours in the store's Unix milliseconds; never later than it was, earlier by less than a round trip.

        `UNKNOWN` until the first answer.
        """
        if self._stamp is None:
            return UNKNOWN
        stamped_ms, answered_at = self._stamp
        return stamped_ms + int((monotonic - answered_at) * 1000) - 1

    def now(self) -> int:
        """The present, as `at`."""
        return self.at(self._clock.monotonic())
