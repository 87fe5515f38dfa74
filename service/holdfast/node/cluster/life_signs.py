"""Whether another instance may have declared this one dead and removed its users from presence in the store.

An instance is reaped when its lease is gone and its heartbeat counter has not risen for 6 s (`reaper`). While heartbeats follow
each other more closely than that, losing Redis, or what Redis held, costs neither a new epoch nor one write per user.
"""

from typing import Final

from holdfast.ports import Clock

_LONGEST_GAP_SECONDS: Final = 5.0  # a heartbeat is written every 3 s; an instance is reaped after 6 s without one


class LifeSigns:
    """Lives in the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat_sent_at = float("-inf")
        self._had_gap = False

    @property
    def are_unbroken(self) -> bool:
        """No other instance can have reaped this one since it last held its lease."""
        return not self._had_gap and self._clock.monotonic() - self._beat_sent_at < _LONGEST_GAP_SECONDS

    def note_beat(self, sent_at: float) -> None:
        """The store has just acknowledged a heartbeat sent then (monotonic seconds); until now it may have held an older."""
        self._had_gap |= self._clock.monotonic() - self._beat_sent_at >= _LONGEST_GAP_SECONDS
        self._beat_sent_at = sent_at

    def note_lease(self) -> None:
        """The lease is held, and was not lost since it was last held: while it is there no other instance reaps this one."""
        self._had_gap = False

    def note_successor(self) -> None:
        """Another process has the name, and takes out of the store what stands there under it."""
        self._had_gap = True
