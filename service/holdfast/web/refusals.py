"""Why tokens and requests are refused, in the log: each reason once a minute with how often it came, however many clients try."""

import logging
from dataclasses import dataclass
from typing import Final

from holdfast.ports import Clock

_PERIOD_SECONDS: Final = 60.0
_MAX_REASONS: Final = 64  # there are about twenty; none contains what a client sent

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Told:
    """`at`: when it was told last, monotonic seconds. `more`: how often it came since."""

    at: float
    more: int = 0


class Refusals:
    """Lives in the loop."""

    def __init__(self, clock: Clock, what: str) -> None:
        """`what` is refused: the beginning of each line."""
        self._clock = clock
        self._what = what
        self._told: dict[str, _Told] = {}

    def note(self, reason: str) -> None:
        """It was refused for this reason, a text of ours."""
        now = self._clock.monotonic()
        told = self._told.get(reason)
        if told is None:
            if len(self._told) >= _MAX_REASONS:
                return
            told = self._told[reason] = _Told(now)
        elif now - told.at < _PERIOD_SECONDS:
            told.more += 1
            return
        since = f" ({told.more} more since the last line)" if told.more else ""
        _log.warning("%s was refused: %s%s", self._what, reason, since)
        told.at, told.more = now, 0
