"""The end of instances that are gone: their runs are declared dead, their connections leave the registry, their users go offline.

A death is one commit in the store: the bulletin is declared dead on condition that the run has not written it since it was read.
From then on every instance knows (`dead_runs`), and the run itself cannot beat any more. If it lives after all, it ends as a
whole and the next run begins in its process. `deaths` says when a run is dead. None of it needs Redis. While Redis answers, a
lease that is gone is the reason to read the bulletins more often. An instance reads them also in its first rounds: it saw no
lease of its predecessor.

How long an instance may be dead, in seconds, before its connections leave Redis and its users are offline. Users have their
grace, which begins when a run that does not write any more can have lived at most.

| step | connections | users | users, without Redis |
|---|---|---|---|
| the lease ends after its last renewal | 12 | 12 | |
| a look finds it gone | 1.5 | 1.5 | |
| all bulletins are read the next time | | | 1 |
| the bulletin has not changed | 6 | 6 | 12 |
| the rest of a grace of 15 s, and the 5 s before it | | 0.5 | 7 |
| the next look | | 1.5 | 1.5 |
| sum | 19.5 | 21.5 | 21.5 |

Each look also takes the time of its call to Redis and its read of the store. With 0.3 s each, connections leave Redis within
21 s and users are offline within 30 s. So they are where the instance whose turn it is (`turns`) dies at the work: the next one
begins 2 s later. A longer `presence.grace_seconds` adds to the users' sums. Without Redis connections leave
it when it answers again.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any, Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId
from holdfast.errors import HoldfastError, LeaseLost, RedisUnavailable, StoreError, WorldChanged
from holdfast.loops import STORE, Loop
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.foundation import Foundation
from holdfast.node.recovery.above import Above
from holdfast.node.recovery.dead_runs import DeadRuns
from holdfast.node.recovery.deaths import SILENCE_SECONDS, Deaths, Leases
from holdfast.node.recovery.turns import turn_seconds
from holdfast.node.tasks import each_in_turn
from holdfast.node.users.presence import Presence

LOOK_SECONDS: Final = 1.5  # part of both sums above
_BUSY_SECONDS: Final = 300.0  # 20,000 users of one instance, each a few reads of the store
_LEFT_SECONDS: Final = 60.0
"""An instance that drains gives its lease back, and leaves users within their grace: it is looked for so long at most."""
_ROUNDS_PER_FULL_LOOK: Final = 10  # a bulletin without a lease (a reaper died at its work) is rare, and looking costs reads

_log = logging.getLogger(__name__)


class Reaper:
    """Lives in the event loop; `loop` reaps. Every instance runs one; their work is idempotent."""

    def __init__(self, on: Foundation, cluster: ClusterParts, presence: Presence, above: Above) -> None:
        self._registry = on.registry
        self._store = on.store
        self._clock = on.clock
        self._identity = on.identity
        self._bulletins = cluster.bulletins
        self._above = above
        self._deaths = Deaths(cluster.store_clock, cluster.own_bulletin)
        self._dead_runs = DeadRuns(on, cluster, presence)
        self._living: frozenset[Epoch] = frozenset()
        self._left: dict[Epoch, float] = {}  # those that have no lease any more, until when they are looked for
        self._gone: dict[InstanceId, float] = {}  # names without a lease, since when
        self._is_watching = False
        self._rounds = 0

    @property
    def loop(self) -> Loop:
        """Looks every 1.5 s."""
        return Loop("reaper", self._round, LOOK_SECONDS, needs=(STORE,), busy_seconds=_BUSY_SECONDS)

    def forget(self) -> None:
        """This process stood still: the silence that it saw before is no sign of a death."""
        self._deaths.forget()

    async def _round(self) -> None:
        await asyncio.sleep(LOOK_SECONDS)
        await self.look()

    async def look(self) -> None:
        """One round.

        Raises:
            StoreError: the store cannot be asked.
        """
        began, leases = self._clock.monotonic(), await self._leases()
        await self._dead_runs.look_again()
        if not self._is_time_to_read(leases, began):
            return
        try:
            asked_at, bulletins = await self._read(began)
        except StoreError:
            self._deaths.forget()  # nothing is concluded from what was seen before
            raise
        others = sorted((each for each in bulletins if each.run != self._identity.run), key=lambda each: each.run)
        others = self._deaths.note(others, asked_at)
        if leases is not None:
            self._deaths.note_leases(others, leases, began)
        living = [each for each in others if not each.is_dead]
        self._dead_runs.note([each for each in others if each.is_dead])
        self._is_watching = any(self._deaths.is_suspect(each, leases, SILENCE_SECONDS) for each in living)
        epochs = {each.epoch for each in living}
        self._left = {each: until for each, until in self._left.items() if each in epochs}
        await each_in_turn(self._steps(others, leases, began))

    def _steps(self, others: list[Bulletin], leases: Leases | None, began: float) -> Iterator[Coroutine[Any, Any, None]]:
        fresh = [each.run for each in others if self._deaths.is_fresh(each)]
        for bulletin in others:
            yield self._judge(bulletin, leases, fresh)
        if leases is not None:
            yield self._clear_names({each.instance_id for each in others}, began)

    async def _leases(self) -> Leases | None:
        """None while Redis does not answer, or this instance is not registered there itself."""
        try:
            leases = Leases.of(await self._registry.instances())
        except (RedisUnavailable, LeaseLost, WorldChanged) as error:
            _log.debug("deaths are judged without Redis: %s", error)
            return None
        self._above.on_fleet(leases.states)
        return leases

    def _is_time_to_read(self, leases: Leases | None, now: float) -> bool:
        """Without Redis always: then all bulletins are read every second in any case."""
        if leases is None:
            return True
        self._left |= dict.fromkeys(self._living - leases.living - {self._identity.epoch}, now + _LEFT_SECONDS)
        self._left = {each: until for each, until in self._left.items() if until > now and each not in leases.living}
        self._living = leases.living
        gone = leases.gone - {self._identity.instance_id}
        self._gone = {each: self._gone.get(each, now) for each in gone}
        self._rounds += 1
        is_noticed = bool(gone or leases.removed or self._left or self._is_watching or self._dead_runs.is_due(now))
        is_young = self._rounds <= _ROUNDS_PER_FULL_LOOK  # it saw no lease of a run whose name has one again, its own for example
        return is_noticed or is_young or self._rounds % _ROUNDS_PER_FULL_LOOK == 0

    async def _read(self, now: float) -> tuple[float, list[Bulletin]]:
        """All bulletins, and when they were asked for: as just read by the slow path, else read here."""
        asked_at, bulletins = self._bulletins.latest
        return (asked_at, bulletins) if now - asked_at < LOOK_SECONDS else (now, await self._store.read_bulletins())

    async def _judge(self, bulletin: Bulletin, leases: Leases | None, fresh: list[RunId]) -> None:
        if not bulletin.is_dead:
            if not self._deaths.is_dead(bulletin, leases) or not await self._store.declare_dead(bulletin):
                return
            _log.info("declared dead", extra={"fields": {"run": bulletin.run, "ended": bulletin.is_ended}})
            bulletin = replace(bulletin, is_dead=True)
        turn = turn_seconds(self._identity.run, [each for each in fresh if each != bulletin.run], bulletin.run)
        await self._dead_runs.complete(bulletin, leases, self._deaths.lived_until_ms(bulletin), turn)

    async def _clear_names(self, known: set[InstanceId], now: float) -> None:
        """Names of which no bulletin tells: their instance died before its first one, or was completed without Redis."""
        for name, since in self._gone.items():
            if name not in known and now - since >= SILENCE_SECONDS:
                try:
                    await self._registry.reap(name)
                except HoldfastError as error:
                    _log.debug("what is left under a name waits for Redis: %s", error)
