"""The owners of marks in the store: which of them may have died, by what the bulletins say. Pure: time comes in.

A beat that did not rise for 4 s is late. So is a run whose instance has begun another one. A run that is late for no good reason
loses nothing: what it has marked is finished twice, which is harmless.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import InstanceId
from holdfast.domain.marks import is_owner

LATE_SECONDS: Final = 4.0  # a beat comes every 3 s
_LOOKED_FOR_SECONDS: Final = 20.0  # a slow commit lands within 15 s
_RISES_SECONDS: Final = 20.0  # all bulletins are read at least every 15 s
_LOOK_SECONDS: Final = 2.0
_MAX_OWNERS: Final = 1_000


@dataclass(slots=True)
class _Run:
    instance_id: InstanceId
    beat: int
    rose_at: float
    late_at: float | None = None
    looked_at: float | None = None


class MarkOwners:
    """The other runs, as this instance has seen them."""

    def __init__(self) -> None:
        self._runs = BoundedDict[str, _Run](_MAX_OWNERS)

    def note(self, bulletins: Iterable[Bulletin], now: float) -> None:
        """Bulletins of other instances were read, all of them or some."""
        for bulletin in bulletins:
            run = self._runs.get(bulletin.run)
            if run is None or run.beat != bulletin.beat:
                if run is None:
                    self._end_others(bulletin.instance_id, now)
                self._runs[bulletin.run] = _Run(bulletin.instance_id, bulletin.beat, now)
            elif run.late_at is None and now - run.rose_at >= LATE_SECONDS:
                run.late_at = now

    def keep(self, bulletins: Iterable[Bulletin]) -> None:
        """These are all that there are: runs without a bulletin are forgotten, but for those that became late."""
        present = {bulletin.run for bulletin in bulletins}
        for owner in [each for each, run in self._runs.items() if run.late_at is None and each not in present]:
            del self._runs[owner]

    def is_living(self, owner: str) -> bool:
        """As far as is known: whether its beat rose when it was looked at last."""
        run = self._runs.get(owner)
        return run is not None and run.late_at is None

    def living(self, now: float) -> list[str]:
        """The other runs that live, as far as is known: a run that ended in order was never late, but it rises no more."""
        return [owner for owner, run in self._runs.items() if run.late_at is None and now - run.rose_at < _RISES_SECONDS]

    def due(self, now: float) -> list[str]:
        """The owners whose marks are to be looked for now: those that became late a short time ago, every 2 s."""
        due = []
        for owner, run in self._runs.items():
            if run.late_at is None or now - run.late_at > _LOOKED_FOR_SECONDS or not is_owner(owner):
                continue
            if run.looked_at is None or now - run.looked_at >= _LOOK_SECONDS:
                run.looked_at = now
                due.append(owner)
        return due

    def _end_others(self, instance_id: InstanceId, now: float) -> None:
        for run in self._runs.values():
            if run.instance_id == instance_id and run.late_at is None:
                run.late_at = now
