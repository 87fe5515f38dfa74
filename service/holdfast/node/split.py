"""Do other instances meet at another Redis than this one?

After a failover that left some with the old primary each half publishes where the other does not listen, though every echo comes
back. Bulletins name the Redis in which their instance holds its lease: whoever beats with another name, for longer than it takes
all to follow one failover, is out of our reach, as we are out of theirs. The store is common to both: the slow path serves.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import InstanceId
from holdfast.ports import Clock

_FOLLOWS_SECONDS: Final = 5.0  # of one failover, one instance hears seconds later than another
_PAUSE_SECONDS: Final = 6.0  # longer between two beats: it stood still, or we looked away, and it starts anew
_SILENCE_SECONDS: Final = 8.0  # two beats, and the looks at them: who is silent so long is dead, or cut from the store
_CUT: Final = ("redis", "bus")  # modes of who has no Redis at all: its last one says nothing

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stray:
    server: str
    beat: int
    since: float
    beat_at: float


class Split:
    """Lives in the loop. Judged at each look, by beats that change, on our own monotonic clock.

    Attributes:
        is_split: somebody alive is out of our reach.
        is_suspected: somebody may be; whether they are alive, and come over, is to be seen.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_split = self.is_suspected = False
        self._clock = clock
        self._strays: dict[InstanceId, _Stray] = {}

    def note(self, bulletins: Sequence[Bulletin], server: str, *, is_complete: bool) -> bool:
        """What the others say; whether that ends a split.

        Args:
            bulletins: some of them, or all (`is_complete`).
            server: where our own lease is; while that is not known, nothing is judged.
        """
        if not server:
            return False
        now, was_split = self._clock.monotonic(), self.is_split
        for bulletin in bulletins:
            self._take(bulletin, server, now)
        if is_complete:
            there = {bulletin.instance_id for bulletin in bulletins}
            self._strays = {i: stray for i, stray in self._strays.items() if i in there}
        alive = [stray for stray in self._strays.values() if now - stray.beat_at < _SILENCE_SECONDS]
        self.is_suspected = bool(alive)
        self.is_split = any(stray.beat_at - stray.since >= _FOLLOWS_SECONDS for stray in alive)
        if self.is_split != was_split:
            apart = sorted(i for i, stray in self._strays.items() if stray in alive) if self.is_split else []
            _log.warning("others meet at another Redis" if apart else "all meet at one Redis", extra={"fields": {"apart": apart}})
        return was_split and not self.is_split

    def _take(self, bulletin: Bulletin, server: str, now: float) -> None:
        known = self._strays.get(bulletin.instance_id)
        if bulletin.server in ("", server):
            self._strays.pop(bulletin.instance_id, None)
        elif known is None or known.server != bulletin.server:
            if bulletin.mode not in _CUT:
                self._strays[bulletin.instance_id] = _Stray(bulletin.server, bulletin.beat, now, now)
        elif known.beat != bulletin.beat:
            if now - known.beat_at > _PAUSE_SECONDS:
                known.since = now
            known.beat, known.beat_at = bulletin.beat, now
