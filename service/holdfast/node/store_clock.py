"""The store's clock, as far as this instance knows it.

No time of another machine is ever compared with ours; what the store stamps is compared with what it stamped. A beat is written
every 3 s and answered with its time: so a moment of ours can be said in the store's.
"""

from holdfast.ports import Clock


class StoreClock:
    """Lives in the loop. Until the first answer it is our own wall clock, which is all there is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stamp: tuple[int, float] | None = None

    def note(self, stamped_ms: int, answered_at: float) -> None:
        """A write was stamped; its answer came at `answered_at` (monotonic seconds)."""
        self._stamp = (stamped_ms, answered_at)

    def at(self, monotonic: float) -> int:
        """A moment of ours in the store's Unix milliseconds; never later than it was, earlier by less than a round trip."""
        if self._stamp is None:
            return self._clock.now_ms() - int((self._clock.monotonic() - monotonic) * 1000)
        stamped_ms, answered_at = self._stamp
        return stamped_ms + int((monotonic - answered_at) * 1000) - 1

    def now(self) -> int:
        """The present, as `at`."""
        return self.at(self._clock.monotonic())
