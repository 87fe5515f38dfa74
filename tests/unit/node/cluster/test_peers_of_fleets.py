"""Fleets of 20, 120 and 300 instances: what judging each other costs, and how fast it is. Counts, in virtual time."""

from dataclasses import dataclass, field

import pytest

from holdfast.domain.bulletins import Bulletin, StandingBulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId
from holdfast.node.cluster.peers import MAX_READS, Peers, period_of

_STEP = 0.25
_BEAT_SECONDS = 3.0
_DEAF_SECONDS = 2.5  # without an echo of the bus; the bulletin says so within one step
_UNWELL_SECONDS = 2.0
_ALL_SECONDS = 15.0
_OBSERVERS = 3  # they look at each step
_STEPS_OF_OTHERS = 4  # these look once a second: 300 instances that judge 300 others take minutes otherwise


@dataclass(eq=False, slots=True)
class _Instance:
    """As `Heartbeats` and `Bulletins` drive `Peers`, at steps of a quarter of a second."""

    run: RunId
    peers: Peers
    phase: float
    is_alive: bool = True
    redis: str = "here"
    moved_at: float = 0.0
    published_at: float = -100.0
    beat: int = 0
    beat_at: float = -100.0

    def is_listening(self, now: float) -> bool:
        return bool(self.redis) or now - self.moved_at < _DEAF_SECONDS


@dataclass(eq=False)
class Fleet:
    """Instances on one Redis, warmed up for twenty seconds. The counts begin then."""

    size: int
    now: float = 1000.0
    delivered: int = 0
    single_reads: int = 0
    writes: int = 0
    trusting: list[bool] = field(default_factory=list)  # whether each of the observers trusts Redis, at each step
    instances: list[_Instance] = field(default_factory=list)
    stored: dict[RunId, Bulletin] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(self.size):
            run = RunId(f"i{number}:1")
            self.instances.append(_Instance(run, Peers(run), number / self.size))
        self.pass_(20.0)

    def pass_(self, seconds: float) -> "Fleet":
        """So much time; the counts begin anew."""
        self.delivered = self.single_reads = self.writes = 0
        self.trusting = []
        for step in range(round(seconds / _STEP)):
            self.now += _STEP
            living = [each for each in self.instances if each.is_alive]
            for instance in living:
                self._publish(instance)
                self._write(instance)
            for number, instance in enumerate(living):
                if number < _OBSERVERS or (step + number) % _STEPS_OF_OTHERS == 0:
                    self._read(instance)
                    instance.peers.look(self.now, is_listening=instance.is_listening(self.now))
            self.trusting.append(all(each.peers.is_trusted for each in self.instances[:_OBSERVERS]))
        return self

    def move(self, redis: str, *instances: _Instance) -> None:
        """To another Redis, or none."""
        for each in instances:
            each.redis, each.moved_at = redis, self.now

    @property
    def seconds_of_distrust(self) -> float:
        return self.trusting.count(False) * _STEP

    def _publish(self, instance: _Instance) -> None:
        period = instance.peers.period_seconds
        if self.now - instance.published_at < period - 0.001:
            return
        if instance.published_at < 0:
            instance.published_at = self.now - instance.phase * period
            return
        instance.published_at += period
        for other in self.instances if instance.redis else ():
            if other.is_alive and other.redis == instance.redis:
                self.delivered += 1
                other.peers.hear(instance.run, "", self.now)

    def _write(self, instance: _Instance) -> None:
        mode = "ok" if instance.is_listening(self.now) else "bus"
        age = self.now - instance.beat_at
        is_turn = instance.run in self.stored and self.stored[instance.run].mode != mode
        if is_turn or age >= _BEAT_SECONDS or (age >= 1.0 and instance.peers.is_alarmed(self.now)):
            self.writes += 1
            instance.beat += 1
            instance.beat_at = self.now if instance.beat_at > 0 else self.now - instance.phase * _BEAT_SECONDS
            name, _, epoch = instance.run.partition(":")
            self.stored[instance.run] = Bulletin(InstanceId(name), Epoch(epoch), instance.beat, mode, beats=True)

    def _read(self, instance: _Instance) -> None:
        if self._is_turn(instance, _ALL_SECONDS):
            instance.peers.note(self.stored.values(), self.now, is_complete=True)
        elif self._is_turn(instance, _UNWELL_SECONDS):
            unwell = [each for each in self.stored.values() if each.mode != "ok"]
            instance.peers.note(unwell, self.now, is_complete=False)
        for run, _ in instance.peers.to_read(self.now) if instance.is_listening(self.now) else ():
            self.single_reads += 1
            instance.peers.note_standing(run, StandingBulletin("v", self.stored[run].beat, is_dead=False), self.now)

    def _is_turn(self, instance: _Instance, every: float) -> bool:
        look_seconds = _STEP if instance in self.instances[:_OBSERVERS] else _STEP * _STEPS_OF_OTHERS
        return (self.now + instance.phase * every) % every < look_seconds


SIZES = [20, *(pytest.param(size, marks=pytest.mark.long) for size in (120, 300))]


@pytest.mark.parametrize("size", SIZES)
def test_calm_fleet_reads_no_bulletin_and_each_instance_hears_fifty_heartbeats_a_second(size: int) -> None:
    """Delivered by Redis: 50 a second for each instance, 15,000 in a fleet of 300."""
    seconds = 4 * period_of(size)
    fleet = Fleet(size).pass_(seconds)
    assert fleet.single_reads == 0
    assert fleet.delivered / seconds == pytest.approx(size * size / period_of(size), rel=0.02)
    assert fleet.delivered / seconds / size <= 51
    assert fleet.seconds_of_distrust == 0


@pytest.mark.parametrize("size", SIZES)
def test_killed_instance_costs_no_trust_and_six_reads_and_four_writes_of_each_instance(size: int) -> None:
    """One document each, in the seconds after the kill."""
    fleet = Fleet(size)
    fleet.instances[-1].is_alive = False
    seconds = 5 * period_of(size) + 12.0
    fleet.pass_(seconds)
    assert fleet.seconds_of_distrust <= 0.5
    assert fleet.single_reads <= 7 * (size - 1)
    assert fleet.writes <= (seconds / _BEAT_SECONDS + 5) * size


@pytest.mark.parametrize("size", SIZES)
def test_instance_that_is_cut_from_redis_is_named_by_all_and_costs_little_trust(size: int) -> None:
    """Its bulletin says so; in a large fleet before its heartbeats are missed."""
    fleet = Fleet(size)
    fleet.move("", fleet.instances[-1])
    fleet.pass_(30.0 + 3 * period_of(size))
    assert fleet.seconds_of_distrust <= 2
    assert all(each.peers.cut == (f"i{size - 1}",) for each in fleet.instances[:_OBSERVERS])
    assert fleet.single_reads <= 4 * size


@pytest.mark.parametrize("size", SIZES)
def test_instance_at_another_redis_is_distrusted_by_all(size: int) -> None:
    """After a failover that it did not follow. It writes its bulletin at once, as all do whom it does not hear."""
    fleet = Fleet(size)
    fleet.move("elsewhere", fleet.instances[-1])
    silent = 2.4 * period_of(size) + 2.5 + 1.0
    fleet.pass_(silent + 10.0)
    assert fleet.seconds_of_distrust >= 9
    assert not fleet.trusting[-1]


@pytest.mark.parametrize("size", SIZES)
def test_restart_of_redis_for_all_is_followed_by_trust_within_seconds_and_bounded_reads(size: int) -> None:
    """While Redis does not work here no single bulletin is read: otherwise each would read that of every other."""
    fleet = Fleet(size)
    fleet.move("", *fleet.instances)
    fleet.pass_(20.0)
    assert fleet.single_reads <= MAX_READS * size * (_DEAF_SECONDS + 1)
    fleet.move("here", *fleet.instances)
    fleet.pass_(10.0 + 3 * period_of(size))
    assert fleet.single_reads <= 10 * MAX_READS * size
    assert fleet.trusting[-1]
