"""Which runs are dead? Judged by their beats in the store, and by what Redis and Kubernetes say of their leases.

A run that beats lives, whatever Redis says of it. A run whose lease lives is alive, too: then it is the store that does not take
its beats. All other runs are judged by silence. The last write of the run is 12 s old by the store's clock, and at least four
reads of this instance found it unchanged: over 6 s where Redis says that the lease is gone, over 12 s while Redis does not
answer. Nothing is concluded by an instance that the store does not answer promptly itself (`OwnBulletin.is_prompt`).

Two words need less. A run that ended in order says so in its last bulletin: no silence is needed. Kubernetes says of which run it
saw the container end: then one beat has to be missing.

Instances of an older version write their bulletin whatever stands there. Such a run cannot notice that it was declared dead. So
it is judged only while Redis answers, as those instances judge each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId
from holdfast.domain.registry import InstanceLease
from holdfast.node.cluster.own_bulletin import OwnBulletin
from holdfast.node.cluster.store_clock import StoreClock

SILENCE_SECONDS: Final = 6.0  # two beats, four looks
SILENCE_WITHOUT_REDIS_SECONDS: Final = 12.0  # four beats
_ENDED_SECONDS: Final = 4.0  # one beat that did not come, by the store's clock
OLD_SECONDS: Final = 12.0  # four beats that did not come, by the store's clock
_READS: Final = 4


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of all instances, as Redis lists them.

    Attributes:
        living: the epochs of the leases that are there.
        gone: names that were known to Redis and have no lease.
        ended: epochs of which Kubernetes saw the container end.
        removed: epochs of leases that are there, of pods that Kubernetes removed.
        states: of the instances that have a lease.
    """

    living: frozenset[Epoch]
    gone: frozenset[InstanceId]
    ended: frozenset[Epoch]
    removed: frozenset[Epoch]
    states: tuple[str, ...]

    @classmethod
    def of(cls, leases: Sequence[InstanceLease]) -> "Leases":
        """As the registry lists them."""
        held = [each for each in leases if each.epoch is not None]
        return cls(
            living=frozenset(each.epoch for each in held if each.epoch is not None),
            gone=frozenset(each.instance_id for each in leases if each.epoch is None),
            ended=frozenset(each.ended_epoch for each in leases if each.epoch is None and each.ended_epoch is not None),
            removed=frozenset(each.epoch for each in held if each.epoch is not None and each.epoch == each.removed_epoch),
            states=tuple(each.state for each in held),
        )


@dataclass(slots=True)
class _Seen:
    version: str
    since: float
    reads: int


class Deaths:
    """Lives in the event loop: `note` is told of each look, then `is_dead` judges it."""

    def __init__(self, store_clock: StoreClock, own: OwnBulletin) -> None:
        self._store_clock = store_clock
        self._own = own
        self._seen: dict[RunId, _Seen] = {}
        self._asked_at = float("-inf")

    def note(self, bulletins: Sequence[Bulletin], asked_at: float) -> None:
        """All bulletins of other runs, as they were asked for then (monotonic seconds). The same look counts once."""
        if asked_at == self._asked_at:
            return
        self._asked_at, before, self._seen = asked_at, self._seen, {}
        for bulletin in bulletins:
            seen = before.get(bulletin.run)
            if seen is None or seen.version != bulletin.version:
                seen = _Seen(bulletin.version, asked_at, 0)
            seen.reads += 1
            self._seen[bulletin.run] = seen

    def forget(self) -> None:
        """A look failed, or this process stood still: silence is counted anew."""
        self._seen = {}

    def is_dead(self, bulletin: Bulletin, leases: Leases | None) -> bool:
        """Whether it is to be declared dead. `leases`: None while Redis does not answer."""
        is_seen_ended = leases is not None and bulletin.epoch in leases.ended
        if bulletin.is_ended or (is_seen_ended and self.is_suspect(bulletin, leases, _ENDED_SECONDS)):
            return True
        if (leases is None and bulletin.is_older) or not self.is_suspect(bulletin, leases, OLD_SECONDS):
            return False
        seen, enough = self._seen.get(bulletin.run), SILENCE_WITHOUT_REDIS_SECONDS if leases is None else SILENCE_SECONDS
        is_silent = seen is not None and seen.reads >= _READS and self._asked_at - seen.since >= enough
        return is_silent and self._own.is_prompt

    def is_suspect(self, bulletin: Bulletin, leases: Leases | None, seconds: float) -> bool:
        """It has no lease, as far as is known, and was not written for so long by the store's clock."""
        has_lease = leases is not None and bulletin.epoch in leases.living
        return not has_lease and self._store_clock.now() - bulletin.written_at_ms >= seconds * 1000
