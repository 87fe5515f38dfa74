"""Do other instances reach Redis while this one, since its start, does not?

A wrong address or a blocked way at a start concerns one instance, a lost Redis concerns all. Only in the first case does the
instance stay out of the Service: a rollout then stops while the old instances serve. The answer comes from the bulletins in the
store, so it needs neither Redis nor addresses of other instances. Without a readable store this instance counts as well placed.
Instances that take no connections themselves do not count: those that start, drain, or stay out for the same reason.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import RunId
from holdfast.ports import Clock

_LIVING_SECONDS: Final = 10.0  # three beats: a bulletin that stands still for longer is of an instance that is gone
_CALM_SECONDS: Final = 10.0  # when Redis restarts, one instance reconnects seconds before another
_LOOKS_SECONDS: Final = 8.0  # two looks a beat (3 s) apart, the first one second after the first contact with the store
_SEES_REDIS: Final = frozenset(("ok", "recovering"))


@dataclass(frozen=True, slots=True)
class _Other:
    beat: int
    sees_redis: bool
    rose_at: float | None = None  # None: seen once, so nothing says yet that it lives


class Sightings:
    """Lives in the loop: `note` is told of all bulletins, `look` is called once a second.

    Attributes:
        is_settled: this instance has reached Redis, or no other did while it did not. Then the question is not asked again.
        reason: why this instance stays out of the Service; None where no other instance is known to see Redis.
        decided: set from the first decision on, whichever it is.
        is_shared: other instances serve, and none of them sees Redis either; as of when this was settled.
        is_draining: this instance is about to stop.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_settled = False
        self.reason: str | None = None
        self.decided = asyncio.Event()
        self.is_shared = False
        self.is_draining = False
        self._clock = clock
        self._others: dict[RunId, _Other] = {}
        self._store_reached_at: float | None = None
        self._denied_at = float("-inf")

    @property
    def is_out(self) -> bool:
        """Whether this instance takes no new connections: other instances that start must not rely on it."""
        return self.is_draining or not self.is_settled

    def note(self, bulletins: Sequence[Bulletin]) -> None:
        """The bulletins of all other instances, as just read."""
        if self.is_settled:
            return
        now, before = self._clock.monotonic(), self._others
        serving = [each for each in bulletins if not (each.is_out or each.is_dead)]
        self._others = {each.run: _seen(each, before.get(each.run), now) for each in serving}

    def look(self, *, has_store: bool, sees_redis: bool) -> None:
        """Decide as of now. `has_store`: the store was reached since the start."""
        if self.is_settled:
            return
        now = self._clock.monotonic()
        if has_store and self._store_reached_at is None:
            self._store_reached_at = now
        living = [each for each in self._others.values() if each.rose_at is not None and now - each.rose_at < _LIVING_SECONDS]
        seeing = sum(each.sees_redis for each in living)
        if sees_redis:
            self._settle()
        elif seeing and 2 * seeing >= len(living) + 1:  # at least half of all serve well without this one
            self._denied_at = now
            self.decided.set()
            self.reason = f"{seeing} of {len(living)} other instances see Redis, this one has not reached it since its start"
        elif self._has_looked(now) and now - self._denied_at >= _CALM_SECONDS:
            self.is_shared = bool(living) and not seeing
            self._settle()

    def _has_looked(self, now: float) -> bool:
        return self._store_reached_at is not None and now - self._store_reached_at >= _LOOKS_SECONDS

    def _settle(self) -> None:
        self.is_settled, self.reason = True, None
        self.decided.set()
        self._others.clear()


def _seen(bulletin: Bulletin, before: _Other | None, now: float) -> _Other:
    beat, sees_redis = bulletin.beat, bulletin.mode in _SEES_REDIS and not bulletin.is_cut
    if before is None:
        return _Other(beat, sees_redis)
    return _Other(beat, sees_redis, now if beat != before.beat else before.rose_at)
