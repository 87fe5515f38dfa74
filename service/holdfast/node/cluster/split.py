"""Do other instances use another Redis than this one?

After a failover some instances may stay with the old primary. Then each half publishes where the other does not listen, although
every echo comes back. Bulletins name the Redis in which their instance holds its lease. An instance that names another one, for
longer than it takes all to follow one failover, is out of our reach, as we are out of its reach. Both use the same store, so the
slow path works.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import RunId
from holdfast.node.cluster.sightings import Sightings
from holdfast.ports import Clock

_FOLLOWS_SECONDS: Final = 5.0  # of one failover, one instance hears seconds later than another
_SILENCE_SECONDS: Final = 8.0  # two beats, and the looks at them: an instance silent for so long is dead, or cut from the store
_BLIND_SECONDS: Final = 4.0  # longer between two looks: that time does not count as silence
_BEATS: Final = 2  # one may have been under way when it stood still, or came over

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stray:
    server: str
    beat: int
    since: float
    beat_at: float
    beats: int = 0


class Split:
    """Lives in the loop. Judged at each look, by beats that change, on our own monotonic clock.

    Attributes:
        is_suspected: an instance may be out of our reach; it is not yet known whether it is alive and will follow.
        sightings: whether others see Redis at all, while this instance starts.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_suspected = False
        self.sightings = Sightings(clock)
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._strays: dict[RunId, _Stray] = {}
        self._apart: set[RunId] = set()

    @property
    def is_split(self) -> bool:
        """A live instance is out of our reach."""
        return bool(self._apart)

    def note(self, bulletins: Sequence[Bulletin], server: str, *, is_complete: bool) -> bool:
        """The bulletins of the others; whether an instance died that was out of our reach. (An instance that follows announces
        its own commits.)

        Args:
            bulletins: some of them, or all (`is_complete`).
            server: where our own lease is; while that is not known, nothing is judged.
        """
        if is_complete:
            self.sightings.note(bulletins)
        now = self._clock.monotonic()
        passed, self._looked_at = now - self._looked_at, now
        if passed > _BLIND_SECONDS or not server:
            for stray in self._strays.values():
                stray.beat_at += passed
        if not server:
            return False
        for bulletin in bulletins:
            self._take(bulletin, server, now)
        gone = self._strays.keys() - {bulletin.run for bulletin in bulletins} if is_complete else set()
        self._strays = {i: stray for i, stray in self._strays.items() if i not in gone}
        alive = {i: stray for i, stray in self._strays.items() if now - stray.beat_at < _SILENCE_SECONDS}
        died = self._apart & (gone | (self._strays.keys() - alive.keys()))
        self.is_suspected = bool(alive)
        self._enter({i for i, stray in alive.items() if stray.beats >= _BEATS and now - stray.since >= _FOLLOWS_SECONDS})
        return bool(died)

    def _take(self, bulletin: Bulletin, server: str, now: float) -> None:
        known = self._strays.get(bulletin.run)
        if bulletin.is_cut or bulletin.server in ("", server):  # a cut instance says so in its mode
            self._strays.pop(bulletin.run, None)
        elif known is None or known.server != bulletin.server:
            self._strays[bulletin.run] = _Stray(bulletin.server, bulletin.beat, now, now)
        elif known.beat != bulletin.beat:
            if now - known.beat_at >= _SILENCE_SECONDS:
                known.since, known.beats = now, -1  # it stood still: in that time it could not have come over
            known.beat, known.beat_at, known.beats = bulletin.beat, now, known.beats + 1

    def _enter(self, apart: set[RunId]) -> None:
        if bool(apart) != self.is_split:
            fields = {"apart": sorted(apart)}
            _log.warning("some instances use another Redis" if apart else "all instances use one Redis", extra={"fields": fields})
        self._apart = apart
