"""Which runs are dead? Judged by their beats in the store, and by what Redis and Kubernetes say of their leases.

A run that beats lives, whatever Redis says of it. A run whose lease lives is alive, too: then it is the store that does not take
its beats. All other runs are judged by silence. The last write of the run is 12 s old by the store's clock, and at least four
reads of this instance found it unchanged: over 6 s where Redis says that the lease is gone, over 12 s while Redis does not
answer. Nothing is concluded by an instance that the store does not answer promptly itself (`OwnBulletin.is_prompt`).

A bulletin that claims to be of the future (a forged one, a clock that was set back) counts from the moment at which this instance
saw it first.

A run whose lease this instance saw may have lived longer than its last write says: it was cut from the store. Then it may have
lived until the next renewal of that lease was due. Any other run counts from its last write: one that was cut from Redis as
well, and one whose lease was gone when this instance started. The users of such a run may have a shorter grace.

Two words need less. A run that ended in order says so in its last bulletin: no silence is needed. Kubernetes says of which run it
saw the container end, or of which it removed the pod by force: then one beat has to be missing, and the lease. The process of a
removed pod may live on: then it holds its lease, and a run that was declared dead all the same ends as a whole.

Instances of an older version write their bulletin whatever stands there. Such a run cannot notice that it was declared dead. So
it is judged only while Redis answers, as those instances judge each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId
from holdfast.domain.registry import InstanceLease
from holdfast.node.cluster.own_bulletin import BEAT_SECONDS, PROMPT_SECONDS, OwnBulletin
from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock

SILENCE_SECONDS: Final = 6.0  # two beats, four looks
SILENCE_WITHOUT_REDIS_SECONDS: Final = 12.0  # four beats
_ENDED_SECONDS: Final = 4.0  # one beat that did not come, by the store's clock
OLD_SECONDS: Final = 12.0  # four beats that did not come, by the store's clock
_READS: Final = 4
LIVED_SECONDS: Final = BEAT_SECONDS + PROMPT_SECONDS
"""A killed run may have lived so long after its last write: until the next one was due, and under way. Its users have their grace
from then on. A run that ended in order lived until its last write."""
LEASE_OUTLIVES_SECONDS: Final = 8.5
"""A lease ends 12 s after its last renewal. Its run was dead when the next one was due, after 3 s and a second try: so long
before the lease is seen to be gone."""
_FRESH_SECONDS: Final = SILENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of all instances, as Redis lists them.

    Attributes:
        living: the epochs of the leases that are there.
        gone: names that were known to Redis and have no lease.
        ended: epochs of gone leases of which Kubernetes saw the container end, or removed the pod.
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
        told = [each.ended_epoch or each.removed_epoch for each in leases if each.epoch is None]
        return cls(
            living=frozenset(each.epoch for each in held if each.epoch is not None),
            gone=frozenset(each.instance_id for each in leases if each.epoch is None),
            ended=frozenset(each for each in told if each is not None),
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
        self._leased: set[RunId] = set()  # runs of which a lease was seen
        self._gone_at: dict[RunId, float] = {}  # those of them that have none any more, as it was seen first

    def note(self, bulletins: Sequence[Bulletin], asked_at: float) -> list[Bulletin]:
        """All bulletins of other runs, as they were asked for then (monotonic seconds). The same look counts once.

        Returns them with times that are not of the future.
        """
        if asked_at != self._asked_at:
            self._asked_at, before, self._seen = asked_at, self._seen, {}
            for bulletin in bulletins:
                seen = before.get(bulletin.run)
                if seen is None or seen.version != bulletin.version:
                    seen = _Seen(bulletin.version, asked_at, 0)
                seen.reads += 1
                self._seen[bulletin.run] = seen
        return [self._not_of_the_future(each) for each in bulletins]

    def note_leases(self, bulletins: Sequence[Bulletin], leases: Leases, looked_at: float) -> None:
        """Which of these runs have a lease, as of that time (monotonic seconds)."""
        runs = {each.run: each.epoch in leases.living for each in bulletins}
        self._leased = {run for run, is_living in runs.items() if is_living or run in self._leased}
        gone = {run for run in self._leased if not runs[run]}
        self._gone_at = {run: self._gone_at.get(run, looked_at) for run in gone}

    def forget(self) -> None:
        """A look failed, or this process stood still: silence is counted anew."""
        self._seen = {}

    def is_dead(self, bulletin: Bulletin, leases: Leases | None) -> bool:
        """Whether it is to be declared dead. `leases`: None while Redis does not answer."""
        is_told_ended = leases is not None and bulletin.epoch in leases.ended
        if bulletin.is_ended or (is_told_ended and self.is_suspect(bulletin, leases, _ENDED_SECONDS)):
            return True
        if (leases is None and bulletin.is_older) or not self.is_suspect(bulletin, leases, OLD_SECONDS):
            return False
        seen, enough = self._seen.get(bulletin.run), SILENCE_WITHOUT_REDIS_SECONDS if leases is None else SILENCE_SECONDS
        is_silent = seen is not None and seen.reads >= _READS and self._asked_at - seen.since >= enough
        return is_silent and self._own.is_prompt

    def lived_until_ms(self, dead: Bulletin) -> int:
        """By the store's clock: the run lived no longer, as far as is known here."""
        if dead.is_ended:
            return dead.written_at_ms
        until_ms, gone_at = dead.written_at_ms + int(LIVED_SECONDS * 1000), self._gone_at.get(dead.run)
        return until_ms if gone_at is None else max(until_ms, self._store_clock.at(gone_at - LEASE_OUTLIVES_SECONDS))

    def is_fresh(self, bulletin: Bulletin) -> bool:
        """Its run wrote it a moment ago, and goes on."""
        is_done = bulletin.is_dead or bulletin.is_ended or bulletin.is_older
        return not is_done and self._store_clock.now() - bulletin.written_at_ms < _FRESH_SECONDS * 1000

    def is_suspect(self, bulletin: Bulletin, leases: Leases | None, seconds: float) -> bool:
        """It has no lease, as far as is known, and was not written for so long by the store's clock."""
        has_lease = leases is not None and bulletin.epoch in leases.living
        return not has_lease and self._store_clock.now() - bulletin.written_at_ms >= seconds * 1000

    def _not_of_the_future(self, bulletin: Bulletin) -> Bulletin:
        seen = self._seen.get(bulletin.run)
        first_ms = UNKNOWN if seen is None else self._store_clock.at(seen.since)
        return (
            bulletin if first_ms == UNKNOWN or bulletin.written_at_ms <= first_ms else replace(bulletin, written_at_ms=first_ms)
        )
