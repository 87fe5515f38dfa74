"""Do other instances meet at another Redis than this one?

After a failover that left some with the old primary each half publishes where the other does not listen, though every echo comes
back. Bulletins name the Redis in which their instance holds its lease: whoever beats with another name, for longer than it takes
all to follow one failover, is out of our reach, as we are out of theirs. The store is common to both: the slow path serves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import InstanceId
from holdfast.ports import Clock

_FOLLOWS_SECONDS: Final = 5.0  # of one failover, one instance hears seconds later than another
_SILENCE_SECONDS: Final = 8.0  # two beats, and the looks at them: who is silent so long is dead, or cut from the store


@dataclass(slots=True)
class _Stray:
    server: str
    beat: int
    since: float
    beat_at: float


class Split:
    """Lives in the loop. Judged by beats that change, on our own monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._strays: dict[InstanceId, _Stray] = {}

    def note(self, bulletins: Iterable[Bulletin], server: str) -> None:
        """What the others say, some or all of them; `server`: where our own lease is, empty while that is not known."""
        now = self._clock.monotonic()
        for bulletin in bulletins:
            known = self._strays.get(bulletin.instance_id)
            if not server or bulletin.server in ("", server):
                self._strays.pop(bulletin.instance_id, None)
            elif known is None or known.server != bulletin.server:
                self._strays[bulletin.instance_id] = _Stray(bulletin.server, bulletin.beat, now, now)
            elif known.beat != bulletin.beat:
                known.beat, known.beat_at = bulletin.beat, now
        self._strays = {i: stray for i, stray in self._strays.items() if now - stray.beat_at < _SILENCE_SECONDS}

    @property
    def is_suspected(self) -> bool:
        """Somebody's bulletin names another Redis; whether they are alive, and come over, is to be seen."""
        return bool(self._strays)

    @property
    def is_split(self) -> bool:
        """Somebody alive is out of our reach."""
        now = self._clock.monotonic()
        return any(
            stray.beat_at - stray.since >= _FOLLOWS_SECONDS and now - stray.beat_at < _SILENCE_SECONDS
            for stray in self._strays.values()
        )
