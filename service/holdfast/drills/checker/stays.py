"""When each user was there and when the user was away, as far as the service could know."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from holdfast.drills.checker.run import BEAT_S, Line, Run

GRACE_MARGIN_S: Final = 1.0
"""The instance starts the grace period when it hears of the end of a connection, and stops it when it hears of the next one; its
client sees both at other moments."""
SILENCE_S: Final = 25.0
"""A connection that ends without a word was last proven alive up to a keepalive (20 s) and its answer (5 s) before."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A stretch of time in which a user was connected, pauses shorter than the grace period included.

    Attributes:
        begin: everything was replayed; messages committed from then on are shown.
        end: the last connection ended.
        proven_until: when the service last had proof of the client: the end, unless the last connections ended without a close.
    """

    begin: float
    end: float
    proven_until: float


@dataclass(frozen=True, slots=True)
class Away:
    """A stretch of time in which a user had no connection and asked for none.

    Attributes:
        begin: the last connection ended; minus infinity where there was none.
        end: a connection was asked for; infinite where there was none.
        offline_from: from then on the service calls the user offline.
    """

    begin: float
    end: float
    offline_from: float


class Whereabouts:
    """Of one user."""

    def __init__(self, run: Run, user: str) -> None:
        lines = [line for device in run.devices.values() if device.user == user for line in device.lines.values()]
        self.stays = _stays(lines, run.bounds.grace_s - GRACE_MARGIN_S)
        self._begins = [stay.begin for stay in self.stays]
        self.absences = list(_absences(run, user, lines))
        self._left = [absence.begin for absence in self.absences]

    def stay_at(self, t: float) -> Stay | None:
        """The stay that holds `t`."""
        index = bisect_right(self._begins, t) - 1
        return self.stays[index] if index >= 0 and t <= self.stays[index].end else None

    def next_absence(self, t: float) -> float:
        """When the first absence after `t` began; infinite where none did."""
        index = bisect_right(self._left, t)
        return self._left[index] if index < len(self._left) else math.inf

    def absence_at(self, t: float) -> Away | None:
        """The absence that holds `t`."""
        index = bisect_right(self._left, t) - 1
        return self.absences[index] if index >= 0 and t < self.absences[index].end else None


def _stays(lines: list[Line], pause_s: float) -> list[Stay]:
    stays: list[Stay] = []
    for line in sorted((line for line in lines if line.synced_at < math.inf), key=lambda line: line.synced_at):
        silence = BEAT_S if line.is_untold else 0.0 if line.clean or math.isinf(line.closed_at) else SILENCE_S
        proven = line.closed_at - silence
        if stays and line.synced_at <= stays[-1].end + pause_s:
            last = stays.pop()
            stays.append(Stay(last.begin, max(last.end, line.closed_at), max(last.proven_until, proven)))
        else:
            stays.append(Stay(line.synced_at, line.closed_at, proven))
    return stays


def _absences(run: Run, user: str, lines: list[Line]) -> list[Away]:
    silent = sorted(line.closed_at for line in lines if not line.clean and line.closed_at < math.inf)
    maybe = run.maybe_connected.get(user)
    absences = []
    for begin, end in [(-math.inf, math.inf)] if maybe is None else maybe.gaps(-math.inf, math.inf):
        offline_from = begin + run.bounds.grace_s
        index = bisect_right(silent, begin) - 1
        if index >= 0:
            offline_from = max(offline_from, silent[index] + run.bounds.offline_s)
        absences.append(Away(begin, end, offline_from))
    return absences
