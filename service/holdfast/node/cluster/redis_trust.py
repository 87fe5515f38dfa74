"""May Redis be trusted? The one place that answers it, in each of the senses in which it is asked.

| asked by | question |
|---|---|
| conversations, before a cached one is believed | `is_heard`: does each change that a live instance tells arrive here? |
| requests, before a change rests on its mark in Redis | `is_seen_by_all`: can every instance see a mark that is set here? |
| users, before Redis is believed about a user's conversations | `is_memory_complete`: is all in it that any instance wrote? |
| health and isolation | `is_lost`, `is_deaf`, `is_impaired`, `reaches_all`: what does not work? |
| the round of conversation lists | `may_tell_losses`: can the other instances be told what this one lost? |
| bulletins and resync | `mode`: what do the other instances need to know of that? |
"""

from collections.abc import Sequence
from typing import Final, Protocol

from holdfast.domain.bulletins import LOST, Bulletin
from holdfast.node.cluster.isolation import Isolation
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.losses import Losses
from holdfast.node.cluster.peers import Peers
from holdfast.ports import Bus, Clock

_JUDGEMENT_SECONDS: Final = 3.5  # an older look for degraded instances does not count


class Link(Protocol):
    """The connection to Redis."""

    @property
    def is_connected(self) -> bool:
        """Whether commands are answered."""


class RedisTrust:
    """Lives in the event loop; `judge` after each look at the bulletins.

    Attributes:
        losses: writes of this instance that are missing in Redis.
        peers: whether the other instances are heard.
        isolation: whether others see Redis while this instance does not.
    """

    def __init__(self, bus: Bus, redis: Link, lease: Lease, losses: Losses, peers: Peers, clock: Clock) -> None:
        self.losses = losses
        self.peers = peers
        self.isolation = Isolation(clock)
        self._bus = bus
        self._redis = redis
        self._lease = lease
        self._clock = clock
        self._is_fleet_well = False
        self._judged_as = ""
        self._judged_at = -_JUDGEMENT_SECONDS

    @property
    def is_heard(self) -> bool:
        """Each change that a live instance tells arrives here, where its channel is subscribed."""
        return self._bus.is_live and self.peers.is_trusted

    @property
    def is_seen_by_all(self) -> bool:
        """A mark that is set here can be seen by every instance."""
        return self.peers.is_trusted

    @property
    def is_in_doubt(self) -> bool:
        """The bulletins of all are worth a read every second. Right after a standstill the heartbeats are waited for first."""
        return not self.peers.is_trusted and not self.peers.is_waiting

    @property
    def is_memory_complete(self) -> bool:
        """Redis is proven live here, and no instance misses in it what was written to it."""
        return self._bus.is_live and not self.losses.are_untold and self.is_fleet_well

    @property
    def is_fleet_well(self) -> bool:
        """As of the last look, no other instance has lost a write to Redis that it has not made up for, or made it elsewhere."""
        is_fresh = self._clock.monotonic() - self._judged_at < _JUDGEMENT_SECONDS and self._judged_as == self._lease.server
        return self._is_fleet_well and is_fresh and self.peers.is_trusted

    @property
    def is_deaf(self) -> bool:
        """Redis carries nothing to this instance."""
        return self._bus.is_lost

    @property
    def is_lost(self) -> bool:
        """Redis answers no command, or carries nothing. Instances at another Redis do not count: leaving would help no client."""
        return not self._redis.is_connected or self._bus.is_lost

    @property
    def is_impaired(self) -> bool:
        """Clients are told that Redis does not do its work: it is lost, or the instances meet at more than one."""
        return self.is_lost or self.peers.is_split

    @property
    def reaches_all(self) -> bool:
        """As far as is known, Redis carries what this instance tells to all others."""
        return not self._bus.is_lost and not self.peers.is_split

    @property
    def may_tell_losses(self) -> bool:
        """There are losses that a new era would make up for, and it can be begun."""
        return self.losses.are_untold and self.losses.are_over and self._bus.is_live

    @property
    def mode(self) -> str:
        """Whether Redis works here, as the bulletin says it: `ok`, or what does not."""
        if self.losses.are_untold:
            return LOST
        if not self._redis.is_connected:
            return "redis"
        if self._bus.is_lost:
            return "bus"
        return "split" if self.peers.is_split else "ok"

    def judge(self, others: Sequence[Bulletin], now: float, *, is_complete: bool) -> None:
        """Take in what the others say in their bulletins.

        Args:
            others: the bulletins of all other instances, or (not `is_complete`) of those whose own Redis does not work.
            now: when they were asked for (monotonic seconds).
        """
        self._is_fleet_well = all(bulletin.is_harmless_at(self._lease.server) for bulletin in others)
        self._judged_at, self._judged_as = now, self._lease.server
        if is_complete:
            self.isolation.note(others)
        self.peers.note(others, now, is_complete=is_complete)
