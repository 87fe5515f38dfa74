"""One conversation as it came to one user in one way: over the socket, or to the application.

Pure. Messages come in steps of one. A message that is jumped over is missing until it comes.
"""

from typing import Final, Literal

MAX_MISSING: Final = 1_000  # a larger jump is a restart of something: its first thousand tell enough

Kind = Literal["lost", "doubled", "disordered", "changed"]


class Stream:
    """Which messages came, by seq."""

    def __init__(self, last: int | None = None) -> None:
        """`last`: the seq before the first message; None where the stream begins with whatever comes first."""
        self._first = self._last = last
        self._missing: dict[int, float] = {}  # seq -> when it was jumped over

    def take(self, seq: int, now: float) -> Kind | None:
        """A message came; returns the fault in that, if any. `now`: of the same clock as for `overdue`."""
        if self._first is None or self._last is None:
            self._first, self._last = seq - 1, seq
            return None
        if seq > self._last:
            self._miss(self._last + 1, seq, now)
            self._last = seq
            return None
        if seq <= self._first or seq in self._missing:
            self._missing.pop(seq, None)
            return "disordered"
        return "doubled"

    def skip_to(self, seq: int) -> None:
        """Earlier messages are not sent this way: they are fetched otherwise."""
        self._missing.clear()
        if self._last is not None:
            self._last = max(self._last, seq)

    def overdue(self, now: float, seconds: float) -> list[int]:
        """The messages that have been missing that long; each is named once."""
        found = [seq for seq, since in self._missing.items() if now - since >= seconds]
        for seq in found:
            del self._missing[seq]
        return found

    def _miss(self, first: int, end: int, now: float) -> None:
        for seq in range(first, min(end, first + MAX_MISSING - len(self._missing))):
            self._missing[seq] = now
