"""How fast sends go out: a little slower than the service allows, and not at all while it asks for a pause."""

from typing import Final

from holdfast.protocol.frames import Limits

_SHARE: Final = 0.9  # of the announced rate: the two clocks differ
_BURST_SECONDS: Final = 1.0  # so much of the rate goes out at once; the service's own burst is not announced


class Pace:
    """A token bucket, kept as the time at which it would be full. Pure: time comes in."""

    def __init__(self) -> None:
        """Full."""
        self._full_at = 0.0

    @property
    def next_at(self) -> float:
        """When the next send may go out; it may lie in the past."""
        return self._full_at - _BURST_SECONDS

    def sent(self, now: float, limits: Limits) -> None:
        """One went out under these limits; a rate of 0 limits nothing."""
        rate = min((each for each in (limits.sends_per_second, limits.frames_per_second) if each), default=0)
        self._full_at = max(self._full_at, now) + (1 / (_SHARE * rate) if rate else 0.0)

    def pause(self, until: float) -> None:
        """Nothing goes out until then, and no burst after it: the service's bucket is empty as well."""
        self._full_at = max(self._full_at, until + _BURST_SECONDS)
