"""The circuit breaker: after a failure no call waits for Redis until one probe has succeeded.

Pure: time is an argument.
"""

import random

_FIRST_PAUSE_SECONDS = 0.25  # a restarted Redis accepts connections after about 100 ms
_LONGEST_PAUSE_SECONDS = 2.0  # back in use within 5 s of recovery, subscriptions included
_PROBE_SECONDS = 3.0  # a probe whose caller never said how it ended does not block the circuit for ever


class Circuit:
    """Closed (calls pass) or open (calls fail at once, but for one probe when the pause is over)."""

    def __init__(self) -> None:
        """Starts closed."""
        self._failures = 0
        self._closed_to = 0.0
        self._is_probing = False

    def is_open(self, now: float) -> bool:
        """Whether a call at `now` (seconds, monotonic) would fail at once. Admits nothing."""
        return now < self._closed_to

    def admit(self, now: float) -> bool:
        """Whether a call may begin. While open, the one that is let through is the probe; others wait for its outcome."""
        if now < self._closed_to:
            return False
        if self._failures:
            self._closed_to = now + _PROBE_SECONDS
            self._is_probing = True
        return True

    def succeeded(self) -> None:
        """A call was answered: close."""
        self._failures = 0
        self._closed_to = 0.0
        self._is_probing = False

    def failed(self, now: float) -> None:
        """A call was reset, or not answered in time: open, for longer each time, with jitter so that instances spread."""
        if now < self._closed_to and not self._is_probing:
            return  # one of those that were under way when it opened: the same failure, not another one
        self._is_probing = False
        self._failures += 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 8))
        self._closed_to = now + pause * random.uniform(0.75, 1.0)
