"""The profiles: which faults, how often, aimed at what. A profile and a seed give a list of faults."""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from simulation.context import Size
from simulation.faults import Fault

_CALM_SECONDS: Final = (6.0, 14.0)  # delivery has 5 s after a fault: what is sent later is judged as on a calm day
_RARE: Final = frozenset({"departure", "absence", "creation", "addition"})  # other events come several a second
_RARE_SECONDS: Final = 4.0
_FIRST_SECONDS: Final = 5.0  # the cluster and its users are up, conversations have begun
_SHORT: Final = (0.3, 2.0, 8.0, 20.0)
_FLAPPING: Final = (0.5, 2.5, 6.0, 15.0)


@dataclass(frozen=True, slots=True)
class Draw:
    """One kind of fault in a profile. `aims`: one of them is drawn; the empty one acts by the clock. `skips`: at most so many."""

    kind: str
    weight: float = 1.0
    aims: tuple[str, ...] = ("",)
    lasts: tuple[float, ...] = _SHORT
    skips: int = 3

    def fault(self, at: float, rng: random.Random, instances: int) -> Fault:
        """One of this kind."""
        aim = rng.choice(self.aims)
        return Fault(
            kind=self.kind,
            at=at,
            aim=aim,
            skip=rng.randint(0, min(1, self.skips) if aim in _RARE else self.skips) if aim else 0,
            place=rng.randint(1, instances) if rng.random() < 0.5 else 0,
            lasts=rng.choice(self.lasts),
            detail=rng.randrange(100),
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run of it meets.

    Attributes:
        draws: what faults are drawn from.
        pause_seconds: between the end of one fault and the arming of the next, at least and at most; every second pause is calm.
        size: of the run.
        together: how many faults there may be at a time.
    """

    about: str
    draws: tuple[Draw, ...] = ()
    pause_seconds: tuple[float, float] = (1.0, 8.0)
    size: Size = field(default_factory=Size)
    together: int = 1

    def plan(self, seed: int, seconds: float) -> tuple[Fault, ...]:
        """The faults of one seed, in the order of their times."""
        rng = random.Random(f"plan-{seed}")
        planned: list[Fault] = []
        for _ in range(self.together if self.draws else 0):
            at = _FIRST_SECONDS + rng.uniform(0.0, self.pause_seconds[1])
            pauses = itertools.cycle([self.pause_seconds, max(_CALM_SECONDS, self.pause_seconds)])
            while at < seconds:
                (draw,) = rng.choices(self.draws, [each.weight for each in self.draws])
                fault = draw.fault(round(at, 1), rng, self.size.instances)
                planned.append(fault)
                at += fault.lasts + 2.0 + rng.uniform(*next(pauses)) + (_RARE_SECONDS if fault.aim in _RARE else 0.0)
        return tuple(sorted(planned, key=lambda fault: fault.at))


_KILL: Final = Draw("kill", aims=("", "departure", "creation", "addition", "send"), skips=5)
_DEATH: Final = Draw("kill", lasts=(80.0,))  # 45 s after 20 s the others have to have done its work
_KILL_AT_COMMIT: Final = Draw("kill", aims=("commit", "answered"), lasts=(0.3, 8.0, 12.0))
_KILL_BETWEEN_CALLS: Final = Draw("kill", aims=("store", "before-store"), lasts=(0.3, 8.0, 12.0), skips=60)
_FREEZE: Final = Draw("freeze", aims=("", "commit", "answered", "store", "departure"), lasts=(0.5, 3.0, 8.0, 20.0))
_REDIS_KILL: Final = Draw("redis-kill", aims=("", "commit", "creation"), lasts=(0.2, 2.0, 10.0))
_REDIS_FREEZE: Final = Draw("redis-freeze", aims=("", "commit"), lasts=(0.4, 3.0, 9.0))
_FLUSH: Final = Draw("redis-flush", aims=("", "commit", "departure", "creation"), lasts=(0.5,))
_FAILOVER: Final = Draw("redis-failover", aims=("", "commit", "departure", "addition"), lasts=(0.1, 1.0, 3.0))
_PROMOTED: Final = Draw("redis-forgetful-failover", aims=("absence",), lasts=(0.1,))
_DEAF: Final = Draw("redis-deaf", aims=("", "commit", "addition", "send"), lasts=_FLAPPING)
_MUTE: Final = Draw("redis-mute", aims=("", "commit", "send"), lasts=_FLAPPING)
_REDIS_CUT: Final = Draw("redis-cut", aims=("", "commit", "creation"), lasts=_FLAPPING)
_LONG_MUTE: Final = Draw("redis-mute", lasts=(28.0,))  # a lease lives 12 s, and 6 s of silence follow
_LONG_CUT: Final = replace(_LONG_MUTE, kind="redis-cut")
_STORE_CUT: Final = Draw("store-cut", aims=("", "commit", "creation"), lasts=_FLAPPING)
_STORE_ERRORS: Final = Draw("store-errors", lasts=(1.0, 4.0, 8.0))
_STORE_FROZEN: Final = Draw("store-frozen", lasts=(1.0, 4.0, 9.0))
_STORE_SLOW: Final = Draw("store-slow", lasts=(3.0, 10.0))
_TWO: Final = Draw("two-primaries", aims=("", "commit", "creation"), lasts=(3.0, 8.0, 20.0))
_SPLIT: Final = Draw("two-primaries", aims=("", "commit", "creation"), lasts=(50.0,))
_DROP: Final = Draw("client-drop", aims=("", "commit", "send"), lasts=(0.2,))
_CLIENT_FREEZE: Final = Draw("client-freeze", aims=("", "send"), lasts=(2.0, 6.0, 13.0))
_DRAIN: Final = Draw("drain", aims=("", "send", "departure"), lasts=(3.0,))
_CLOCK: Final = Draw("clock", lasts=(5.0, 20.0))
_GARBAGE: Final = Draw("redis-garbage", aims=("", "commit"), lasts=(0.5,))
_KILL_WITHOUT_REDIS: Final = Draw("kill-without-redis", aims=("commit", "store", "send"), lasts=(1.0, 6.0, 20.0))
_SUBSCRIBER_CUT: Final = Draw("subscriber-cut", aims=("", "commit", "send"), lasts=(0.1,))
_OOM: Final = Draw("redis-full", aims=("", "commit"), lasts=(2.0, 8.0))
_CALL_KILL: Final = Draw("redis-call-kill", aims=("", "store", "before-store", "commit"), lasts=(0.3, 8.0, 12.0), skips=40)
_CALL_RESET: Final = Draw("redis-call-reset", aims=("", "store", "before-store", "commit"), lasts=(0.1,), skips=40)
_SLOW_SUBSCRIPTION: Final = Draw("slow-subscription", lasts=(1.5,))
_STALE_HINTS: Final = Draw("stale-hints", aims=("", "commit", "departure", "addition"), lasts=(0.5, 2.0, 6.0))
_SLOW_READER: Final = Draw("slow-reader", lasts=(4.0, 8.0, 13.0))
_REVOKE: Final = Draw("revoke-token", lasts=(0.1, 1.0, 5.0))

_RESTORE: Final = Draw("restore", lasts=(1.0, 4.0, 10.0))
_UNRENEWED: Final = Draw("restore-unrenewed", lasts=(4.0, 10.0))  # a beat comes every 3 s

_LEAVING: Final = Size(leaving=0.15, pause_seconds=1.0, gone=0.15, settle_seconds=60.0)
_LONG: Final = (6.0, 16.0)

PROFILES: Final[Mapping[str, Profile]] = {
    "calm": Profile("no fault: ordinary moments only"),
    "kill": Profile("instances are killed at any callback", (_KILL,)),
    "death": Profile("an instance dies and does not come back for long", (_DEATH,), _LONG, size=_LEAVING),
    "kill-at-commit": Profile("an instance is killed a few callbacks after a commit", (_KILL_AT_COMMIT,)),
    "kill-between-calls": Profile("an instance is killed between two calls of store and Redis", (_KILL_BETWEEN_CALLS,)),
    "redis": Profile(
        "Redis is killed, frozen, flushed, out of memory", (_REDIS_KILL, _REDIS_FREEZE, _FLUSH, _OOM, _SUBSCRIBER_CUT)
    ),
    "flush": Profile("FLUSHALL at every kind of moment", (_FLUSH,)),
    "failover": Profile("a replica without the last moments takes over", (_FAILOVER,)),
    "promoted": Profile(
        "a replica takes over that lacks the end of a user's last connection", (_PROMOTED,), (22.0, 30.0), size=_LEAVING
    ),
    "deaf": Profile("an instance hears nothing of Redis, or cannot say anything to it", (_DEAF, _MUTE, _REDIS_CUT)),
    "lease-lost": Profile("an instance is cut from Redis for longer than its lease", (_LONG_CUT, _LONG_MUTE)),
    "subscriptions": Profile("all subscriptions end while the bus is well", (_SUBSCRIBER_CUT,), (5.0, 8.0)),
    "two-primaries": Profile("instances meet at two Redis servers at once", (_TWO,), _LONG),
    "split": Profile("instances meet at two Redis servers until they have noticed, and for longer", (_SPLIT,), _LONG),
    "leaving": Profile("users leave inside and around the grace while instances are killed", (_KILL, _DRAIN), size=_LEAVING),
    "thaw": Profile("an instance is frozen in a critical section and thawed later", (_FREEZE,)),
    "store": Profile(
        "store errors before and after the commit, cuts, slowness", (_STORE_ERRORS, _STORE_CUT, _STORE_SLOW, _STORE_FROZEN)
    ),
    "garbage": Profile("hostile values in Redis and on its channels", (_GARBAGE,)),
    "clients": Profile("clients lose their sockets, stand still, crash", (_DROP, _CLIENT_FREEZE), (0.5, 4.0)),
    "rolling": Profile("drains and restarts", (_DRAIN,), (2.0, 6.0)),
    "clocks": Profile("wall clocks of instances are wrong", (_CLOCK, replace(_KILL, weight=0.3))),
    "redis-and-kill": Profile("an instance is killed at its commit while Redis is away", (_KILL_WITHOUT_REDIS,), _LONG),
    "restore": Profile(
        "the store is put back while instances run, and renewed or not", (_RESTORE, _UNRENEWED, replace(_KILL, weight=0.3)), _LONG
    ),
    "everything": Profile(
        "all of these, two at a time",
        (
            _KILL,
            _KILL_AT_COMMIT,
            _KILL_BETWEEN_CALLS,
            _FREEZE,
            _REDIS_KILL,
            _REDIS_FREEZE,
            _FLUSH,
            _FAILOVER,
            _DEAF,
            _MUTE,
            _REDIS_CUT,
            _STORE_CUT,
            _STORE_ERRORS,
            _STORE_SLOW,
            _DROP,
            _CLIENT_FREEZE,
            _DRAIN,
            _CLOCK,
            _GARBAGE,
            _OOM,
            _TWO,
            _SUBSCRIBER_CUT,
        ),
        (3.0, 12.0),
        together=2,
    ),
    "redis-calls": Profile("an instance dies, or loses a connection, at one call to Redis", (_CALL_KILL, _CALL_RESET)),
    "subscribing": Profile("conversations become local slowly", (_SLOW_SUBSCRIPTION,), (0.5, 3.0)),
    "hints": Profile("Redis has the hints of some seconds before", (_STALE_HINTS,), (1.0, 4.0)),
    "slow-readers": Profile("devices read nothing for a while", (_SLOW_READER,)),
    "revoking": Profile("single tokens are revoked", (_REVOKE,), (1.0, 4.0), together=2),
}
