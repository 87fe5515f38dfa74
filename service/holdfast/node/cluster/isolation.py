"""Is Redis gone, or only this instance's way to it? Decides whether an instance without Redis stays out of the Service.

A wrong address or a blocked way concerns one instance, a lost Redis concerns all: if that made instances unready, all would leave
at once. The answer comes from the bulletins in the store. An instance stays out while at least half of all see Redis and serve;
those remain, however many leave in the same moment. Open sockets stay open. Without a readable store no instance leaves.

At its start each instance asks: a rollout stops at the one that does not reach Redis. Later one asks only if it may leave, and
after it has been without Redis for some seconds. Instances that take no connections themselves do not count: those that start,
drain, or stay out since their start.
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
_NOTED_SECONDS: Final = 60.0  # a comparison with the store may keep the bulletins from being read for half a minute
_SEES_REDIS: Final = frozenset(("ok", "recovering"))


@dataclass(frozen=True, slots=True)
class _Other:
    beat: int
    sees_redis: bool
    rose_at: float | None = None  # None: seen once, so nothing says yet that it lives


class Isolation:
    """Lives in the loop: `note` is told of all bulletins, `look` is called once a second.

    Attributes:
        is_settled: this instance has reached Redis, or no other did while it did not: its start is over.
        may_leave: this instance asks after its start, too.
        reason: why this instance stays out of the Service; None where no other instance is known to see Redis.
        decided: set from the first decision on, whichever it is.
        is_shared: other instances serve, and none of them sees Redis either; as of when the start was over.
        is_draining: this instance is about to stop.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_settled = self.may_leave = False
        self.reason: str | None = None
        self.decided = asyncio.Event()
        self.is_shared = False
        self.is_draining = False
        self._clock = clock
        self._others: dict[RunId, _Other] = {}
        self._store_reached_at: float | None = None
        self._saw_redis_at = self._denied_at = self._noted_at = float("-inf")

    @property
    def is_out(self) -> bool:
        """Whether this instance starts or drains: its bulletin says so, and others do not count on it."""
        return self.is_draining or not self.is_settled

    def note(self, bulletins: Sequence[Bulletin]) -> None:
        """The bulletins of all other instances, as just read."""
        now, before = self._clock.monotonic(), self._others
        self._noted_at = now
        serving = [each for each in bulletins if not (each.is_out or each.is_dead or each.is_ended)]
        self._others = {each.run: _seen(each, before.get(each.run), now) for each in serving}

    def look(self, *, has_store: bool, sees_redis: bool) -> None:
        """Decide as of now. `has_store`: the store was reached since the start."""
        now = self._clock.monotonic()
        if has_store and self._store_reached_at is None:
            self._store_reached_at = now
        if sees_redis:
            self._saw_redis_at = now
        is_asking = now - self._saw_redis_at >= _CALM_SECONDS if self.is_settled and self.may_leave else not self.is_settled
        # One that is out stays out while the others are not read. None leaves for an old answer: the store may be gone, too.
        as_of = self._noted_at if self.reason is not None and now - self._noted_at < _NOTED_SECONDS else now
        living = [each for each in self._others.values() if each.rose_at is not None and as_of - each.rose_at < _LIVING_SECONDS]
        seeing = sum(each.sees_redis for each in living)
        if sees_redis:
            self._settle()
        elif is_asking and seeing and 2 * seeing >= len(living) + 1:
            self._denied_at = now
            self.decided.set()
            how = "has lost it" if self.is_settled else "has not reached it since its start"
            self.reason = f"{seeing} of {len(living)} other instances see Redis, this one {how}"
        elif (self.is_settled or self._has_looked(now)) and now - self._denied_at >= _CALM_SECONDS:
            self.is_shared = self.is_shared if self.is_settled else bool(living) and not seeing
            self._settle()

    def _has_looked(self, now: float) -> bool:
        return self._store_reached_at is not None and now - self._store_reached_at >= _LOOKS_SECONDS

    def _settle(self) -> None:
        self.is_settled, self.reason = True, None
        self.decided.set()


def _seen(bulletin: Bulletin, before: _Other | None, now: float) -> _Other:
    beat, sees_redis = bulletin.beat, bulletin.mode in _SEES_REDIS and not bulletin.is_cut
    if before is None:
        return _Other(beat, sees_redis)
    return _Other(beat, sees_redis, now if beat != before.beat else before.rose_at)
