"""The end of instances that are gone: their connections leave the registry, their users go offline.

Two witnesses: the lease in Redis is gone, and the beat in the store has not changed for 6 s on our own clock. An instance
that is merely cut from Redis still beats; its users are online. Where Kubernetes saw the container end, this replaces the second
witness. Where it only removed the pod, the silence counts from then on, and not from the end of the lease. The bulletin is
removed last, so that any instance that finds it finishes the work.

How long an instance may be dead before that, in seconds, while Redis and the store answer:

| step | its connections leave Redis | its users are offline |
|---|---|---|
| the lease ends after its last renewal | 12 | 12 |
| a look finds it gone | 1.5 | 1.5 |
| the beat has not changed | 6 | |
| its users are within their grace, which begins with the silence | | 15 |
| sum | 19.5 | 28.5 |

Each look also takes the time of its call to Redis and its read of the store. With a tenth of a second each, the users are offline
within 30 s. With 0.3 s the connections leave Redis within 21 s. A longer `presence.grace_seconds` adds to the users' sum. Without
Redis nothing is concluded: the users of an instance that dies meanwhile stay online until Redis answers again.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.domain.presence import presence_entry
from holdfast.errors import HoldfastError
from holdfast.loops import REDIS, STORE, Loop
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.users.presence import Presence
from holdfast.ports import Clock, Registry, RosterCache, RunStore
from holdfast.telemetry import Telemetry

LOOK_SECONDS: Final = 1.5  # part of both sums above
SILENCE_SECONDS: Final = 6.0  # two beats, four looks
_LEASE_SECONDS: Final = 15.0  # a lease that is found gone was renewed at most so long ago: its 12 s, and two looks
_RESTED_SECONDS: Final = 2.0
"""What an end rests on was read less than this ago, also after a thaw. There is no second fence on the last renewal of our own
lease: both witnesses were asked within this time, on the same Redis (its world is checked) and the store, which says more than a
renewal of 9 s ago. And what is done holds whenever it happens: the registry's script looks at the lease again, presence is taken
out by epoch, and a lease that was gone comes back under the same epoch only where no heartbeat was late (`life_signs`)."""
_BUSY_SECONDS: Final = 300.0  # 20,000 users of one instance, each a few reads of the store
_LEFT_SECONDS: Final = 60.0
"""An instance that drains gives its lease back, and leaves users within their grace: it is looked for so long at most."""
_ROUNDS_PER_FULL_LOOK: Final = 10  # a bulletin without a lease (a reaper died at its work) is rare, and looking costs reads

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Suspect:
    epoch: str | None
    beat: int | None
    since: float


class Reaper:
    """Lives in the event loop; `loop` reaps. Every instance runs one; their work is idempotent."""

    def __init__(
        self,
        registry: Registry,
        store: RunStore,
        presence: Presence,
        clock: Clock,
        store_clock: StoreClock,
        telemetry: Telemetry,
        lease: Lease,
        roster_cache: RosterCache,
        *,
        on_fleet: Callable[[tuple[str, ...]], None],
        grace_seconds: float,
    ) -> None:
        self._registry = registry
        self._store = store
        self._presence = presence
        self._clock = clock
        self._store_clock = store_clock
        self._reaped = {trigger: telemetry.reaped.labels(trigger) for trigger in ("lease", "kubelet")}
        self._lease = lease
        self._identity = lease.identity
        self._roster_cache = roster_cache
        self._on_fleet = on_fleet
        # A drained instance has no lease from its last close on: its users have their grace from there.
        self._presence_after_seconds = max(SILENCE_SECONDS, grace_seconds)
        self._suspects: dict[InstanceId, _Suspect] = {}
        self._dead: dict[InstanceId, Epoch] = {}  # the answers of Redis, until presence is done
        self._living: frozenset[InstanceId] = frozenset()
        self._left: dict[InstanceId, float] = {}  # those that gave their lease back, until when they are looked for
        self._rounds = 0

    @property
    def loop(self) -> Loop:
        """Looks every 1.5 s."""
        return Loop("reaper", self._round, LOOK_SECONDS, needs=(REDIS, STORE), busy_seconds=_BUSY_SECONDS)

    async def _round(self) -> None:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await self.look()
        except HoldfastError:
            self._suspects.clear()  # a witness was away: nothing is concluded from what was seen before
            raise

    async def look(self) -> None:
        """One round.

        Raises:
            RedisUnavailable, LeaseLost, WorldChanged, StoreError: a witness cannot be asked.
        """
        began = self._clock.monotonic()
        leases = await self._registry.instances()
        self._on_fleet(tuple(lease.state for lease in leases if lease.epoch is not None))
        before, self._living = self._living, frozenset(lease.instance_id for lease in leases if lease.epoch is not None)
        living = self._living
        self._left |= dict.fromkeys(before - living, began + _LEFT_SECONDS)
        self._left = {each: until for each, until in self._left.items() if until > began and each not in living}
        self._dead = {instance_id: epoch for instance_id, epoch in self._dead.items() if instance_id not in living}
        gone = {lease.instance_id for lease in leases if lease.epoch is None} | self._dead.keys()
        gone -= {self._identity.instance_id}
        removed = {lease.instance_id for lease in leases if lease.epoch is not None and lease.epoch == lease.removed_epoch}
        ended = {lease.instance_id: lease.ended_epoch for lease in leases if lease.epoch is None and lease.ended_epoch}
        self._rounds += 1
        if not (gone or removed or self._left) and self._rounds % _ROUNDS_PER_FULL_LOOK:
            return
        bulletins = {bulletin.instance_id: bulletin for bulletin in await self._store.read_bulletins()}
        self._left = {each: until for each, until in self._left.items() if each in bulletins}
        gone |= bulletins.keys() - living - {self._identity.instance_id}
        self._suspects = {i: suspect for i, suspect in self._suspects.items() if i in gone or i in removed}
        mistakes: list[Exception] = []
        for instance_id in sorted(gone | (removed - {self._identity.instance_id})):
            if self._clock.monotonic() - began > _RESTED_SECONDS:
                return  # slow, or thawed: what was read is too old to act on
            bulletin = bulletins.get(instance_id)
            is_silent = self._is_silent(instance_id, bulletin)
            has_ended = _is_about(ended.get(instance_id), bulletin)
            if instance_id in gone and (is_silent or has_ended):
                try:
                    await self._reap(instance_id, bulletin, "lease" if is_silent else "kubelet")
                except HoldfastError:
                    raise
                except Exception as error:  # noqa: BLE001 - raised below, when the others had their turn
                    mistakes.append(error)
        if mistakes:
            raise mistakes[0]

    def _is_silent(self, instance_id: InstanceId, bulletin: Bulletin | None) -> bool:
        now = self._clock.monotonic()
        beat = bulletin.beat if bulletin is not None else None
        epoch = bulletin.epoch if bulletin is not None else None
        suspect = self._suspects.get(instance_id)
        if suspect is None or (suspect.epoch, suspect.beat) != (epoch, beat):
            self._suspects[instance_id] = _Suspect(epoch, beat, now)
            return False
        return now - suspect.since >= SILENCE_SECONDS

    async def _reap(self, instance_id: InstanceId, bulletin: Bulletin | None, trigger: str) -> None:
        reaped = await self._registry.reap(instance_id)
        if reaped is None:  # it is back, perhaps under the epoch of before: its users are its own again
            self._suspects.pop(instance_id, None)
            return
        epoch, user_ids = reaped
        if epoch is not None:
            self._dead[instance_id] = epoch
        self._reaped[trigger].inc(len(user_ids))
        _log.info("reaped", extra={"fields": {"instance_id": instance_id, "epoch": epoch, "users": len(user_ids)}})
        since = self._suspects[instance_id].since
        if self._clock.monotonic() - since < self._presence_after_seconds:
            return  # the grace of its users is not over; next round
        entries = bulletin.entries if bulletin is not None else {}
        if (dead := self._dead.get(instance_id)) is not None:
            alive_at_ms = bulletin.written_at_ms if bulletin is not None else self._store_clock.at(since - _LEASE_SECONDS)
            entries.setdefault(presence_entry(instance_id, dead), alive_at_ms)
        for entry, ms in entries.items():
            await self._presence.reap(entry, ms, bulletin.left if bulletin is not None else {})
        if bulletin is not None:
            if not bulletin.is_harmless_at(self._lease.server):
                await self._roster_cache.new_era()  # it cannot say any more that something is missing in Redis
            await self._store.remove_bulletin(instance_id, bulletin.epoch)
        self._suspects.pop(instance_id, None)
        self._dead.pop(instance_id, None)


def _is_about(ended_epoch: Epoch | None, bulletin: Bulletin | None) -> bool:
    """Whether what Kubernetes saw end is the latest start that we know of: a successor under the same name may only beat yet."""
    return ended_epoch is not None and (bulletin is None or bulletin.epoch <= ended_epoch)
