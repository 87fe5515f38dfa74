"""Completes the work of runs that were declared dead: their connections leave Redis, their users go offline.

Every instance does it in its turn (`turns`), idempotently; any of them may die at it. The bulletin of the run is removed last, so
that any instance that finds it finishes the work. In between the bulletins are read when the next step is due. Users go offline
without Redis. Connections wait until Redis answers, and the bulletin with them, at most as long as Redis keeps connections.

A run that was declared dead alive may have added users before it noticed. So they are looked for once more before the bulletin is
removed, and a minute later. Those that it adds after that it takes out itself, before it ends (`own_death`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import RunId, UserId
from holdfast.errors import LeaseLost, RedisUnavailable, WorldChanged
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.cluster.store_clock import UNKNOWN
from holdfast.node.foundation import Foundation
from holdfast.node.recovery.deaths import OLD_SECONDS, Leases
from holdfast.node.users.presence import Presence

_AGAIN_SECONDS: Final = 60.0
_MAX_AGAIN: Final = 100
_KEPT_SECONDS: Final = 3_600.0  # Redis keeps connections for an hour without renewal

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """The steps that are done for one run; since when it is known to be dead, when the next step is due (monotonic seconds)."""

    since: float
    due: float
    is_unregistered: bool = False
    is_offline: bool = False


@dataclass(slots=True)
class _Again:
    """Which users are to be looked for once more, and when."""

    at: float
    entries: dict[str, int]
    left: dict[UserId, int]


class DeadRuns:
    """Lives in the event loop."""

    def __init__(self, on: Foundation, cluster: ClusterParts, presence: Presence) -> None:
        self._registry = on.registry
        self._store = on.store
        self._roster_cache = on.roster_cache
        self._clock = on.clock
        self._identity = on.identity
        self._reaped = {trigger: on.telemetry.reaped.labels(trigger) for trigger in ("lease", "kubelet")}
        self._grace_seconds = on.settings.presence.grace_seconds
        self._store_clock = cluster.store_clock
        self._lease = cluster.lease
        self._presence = presence
        self._work: dict[RunId, _Work] = {}
        self._again: dict[RunId, _Again] = {}

    def note(self, dead: Sequence[Bulletin]) -> None:
        """All that stand in the store. Those that are not there any more were completed."""
        self._work = {each.run: self._work_for(each) for each in dead}

    def is_due(self, now: float) -> bool:
        """A step is, for one of them."""
        return any(work.due <= now for work in self._work.values())

    async def complete(self, dead: Bulletin, leases: Leases | None, lived_until_ms: int, turn_seconds: float) -> None:
        """Do what can be done by now. `turn_seconds`: how much later than the first instance this one begins.

        Raises:
            StoreError: it has to be tried again.
        """
        now, now_ms, is_asked, work = self._clock.monotonic(), self._store_clock.now(), False, self._work_for(dead)
        self._work[dead.run] = work
        work.due = now  # also where a step fails
        if now_ms == UNKNOWN:
            return
        turn_in = work.since + turn_seconds - now
        if leases is not None and not work.is_unregistered and dead.epoch not in leases.living and turn_in <= 0:
            await self._unregister(dead, work, "kubelet" if dead.epoch in leases.ended else "lease")
        age_seconds = (now_ms - dead.written_at_ms) / 1000
        offline_in = (lived_until_ms - now_ms) / 1000 + self._grace_seconds + turn_seconds
        if offline_in <= 0 and not work.is_offline:
            await self._take_offline(dead.entries, dead.left)
            work.is_offline = is_asked = True
            self._again[dead.run] = _Again(self._clock.monotonic() + _AGAIN_SECONDS, dead.entries, dead.left)
            while len(self._again) > _MAX_AGAIN:
                self._again.pop(next(iter(self._again)))
        is_done = work.is_offline and (work.is_unregistered or age_seconds >= _KEPT_SECONDS)
        if is_done and age_seconds >= OLD_SECONDS:  # its run would not take a younger one for a restored store
            if not is_asked:
                await self._take_offline(dead.entries, dead.left)
            await self._store.remove_bulletin(dead)
        waits = [] if work.is_unregistered else [turn_in]
        waits += [OLD_SECONDS - age_seconds if work.is_offline else offline_in]
        work.due = now + max(0.0, min(waits))

    async def look_again(self) -> None:
        """For users whom a run added after it was declared dead.

        Raises:
            StoreError: it has to be tried again.
        """
        now = self._clock.monotonic()
        for run, again in list(self._again.items()):
            if again.at <= now:
                await self._take_offline(again.entries, again.left)
                del self._again[run]

    def _work_for(self, dead: Bulletin) -> _Work:
        now = self._clock.monotonic()
        return self._work.get(dead.run) or _Work(since=now, due=now)

    async def _take_offline(self, entries: dict[str, int], left: dict[UserId, int]) -> None:
        for entry, alive_ms in entries.items():
            await self._presence.reap(entry, alive_ms, left)

    async def _unregister(self, dead: Bulletin, work: _Work, trigger: str) -> None:
        """Remove what is left in Redis under its name; where a successor has the name, the successor did."""
        try:
            is_own = dead.instance_id == self._identity.instance_id
            users = None if is_own else await self._registry.reap(dead.instance_id)
            if users:
                self._reaped[trigger].inc(len(users))
                _log.info("reaped", extra={"fields": {"run": dead.run, "users": len(users)}})
                return  # perhaps not all of them: the next look finds none
            if not dead.is_harmless_at(self._lease.server):
                await self._roster_cache.new_era()  # its bulletin cannot say any more that something is missing in Redis
        except (RedisUnavailable, LeaseLost, WorldChanged) as error:
            _log.debug("connections of a dead run wait for Redis: %s", error)
            return
        work.is_unregistered = True
