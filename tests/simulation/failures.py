"""What each kind of fault does: it acts at its moment, is told in the history while it lasts, and is mended."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from simulation.cluster import Cluster
from simulation.context import Context
from simulation.faults import PATIENCE_SECONDS, Fault, rng_of
from simulation.instance import SimulatedInstance
from simulation.people import People
from simulation.sqlite import Moment

_FEW_CALLBACKS: Final = 25
_DEATH_SECONDS: Final = 20.0  # a lease of 15 s, and looks of the others
_STORE_AIMS: Final[Mapping[str, tuple[Moment, tuple[str, ...]]]] = {
    "commit": ("after", ("append",)),
    "answered": ("answered", ("append",)),
    "before-store": ("before", ()),
    "store": ("answered", ()),
}
STARTED_SECONDS: Final = 2.0  # an instance that starts, or a replica that is attached, does its work by then
READ_UP_SECONDS: Final = 1.0  # a client that thaws has read all that waited for it by then
Act = Callable[[SimulatedInstance], None]


class Missed(Exception):
    """A fault does not happen: another one has what it would break, or there is nothing to break."""


class Failures:
    """Of one run.

    Attributes:
        redis_name: of the server that instances find now.
        is_redis_taken: a fault of Redis lasts.
        is_restored: the store was put back.
        happened: how many faults did.
        aimed_at, met: of those, how many were aimed at an event, and for how many it came in time.
    """

    def __init__(self, context: Context, cluster: Cluster, people: People) -> None:
        self.context = context
        self.cluster = cluster
        self.people = people
        self.redis_name = "r1"
        self.is_redis_taken = self.is_restored = False
        self.happened = self.aimed_at = self.met = 0
        self._taken: dict[str, None] = {}

    # --- moments --------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def taken(self, fault: Fault) -> AsyncIterator[SimulatedInstance]:
        """An instance that runs and that no other fault has.

        Raises:
            Missed: there is none.
        """
        free = [each for each in self.cluster.instances.values() if each.is_running and each.name not in self._taken]
        wanted = [each for each in free if each.name == f"i{fault.place}"] if fault.place else free
        if not wanted:
            raise Missed
        instance = rng_of(fault, self.context.seed).choice(wanted)
        self._taken[instance.name] = None
        try:
            yield instance
        finally:
            del self._taken[instance.name]

    async def aimed(self, fault: Fault, instance: SimulatedInstance, act: Act) -> None:
        """`act` on the instance in the callback of the fault's event; without an aim, or after long waiting, now."""
        happened = asyncio.Event()

        def hit(_: object) -> None:
            if not happened.is_set():
                happened.set()
                act(instance)

        if not fault.aim:
            hit(None)
            return
        self.aimed_at += 1
        forget = self._arm(fault, instance.name, hit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await happened.wait()
        self.met += happened.is_set()
        forget()
        hit(None)

    def _arm(self, fault: Fault, name: str, hit: Callable[[object], None]) -> Callable[[], object]:
        if fault.aim in _STORE_AIMS:
            moment, operations = _STORE_AIMS[fault.aim]
            return self.cluster.store.aim(name, hit, moment=moment, calls=fault.skip + 1, operations=operations)
        aims = self.context.aims
        aim = aims.arm(fault.aim, "", fault.skip, hit)
        return partial(aims.disarm, aim)

    def tell(self, name: str, target: str, *, on: bool) -> None:
        """The fault begins, or ends, in this callback."""
        self.context.history.record("fault", name=name, target=target, on=on)


async def killed(failures: Failures, fault: Fault, instance: SimulatedInstance, rng: random.Random) -> None:
    """A few callbacks after the fault's event; started again later. Told for a while only: the others have to do its work."""

    def act(each: SimulatedInstance) -> None:
        failures.tell("pod-kill", each.name, on=True)
        each.process.kill_after(rng.randint(0, _FEW_CALLBACKS))

    await failures.aimed(fault, instance, act)
    await ended(instance)
    await asyncio.sleep(min(fault.lasts, _DEATH_SECONDS))
    failures.tell("pod-kill", instance.name, on=False)
    await asyncio.sleep(max(0.0, fault.lasts - _DEATH_SECONDS))
    instance.start()


async def ended(instance: SimulatedInstance) -> None:
    """Wait until its process has died."""
    over = asyncio.Event()
    instance.process.on_death.append(over.set)
    if instance.is_running:
        await over.wait()


# --- instances --------------------------------------------------------------------------------------------------------------


async def _kill(failures: Failures, fault: Fault) -> None:
    """See `killed`."""
    async with failures.taken(fault) as instance:
        await killed(failures, fault, instance, rng_of(fault, failures.context.seed))
        await asyncio.sleep(STARTED_SECONDS)


async def _freeze(failures: Failures, fault: Fault) -> None:
    async with failures.taken(fault) as instance:

        def act(each: SimulatedInstance) -> None:
            failures.tell("freeze", each.name, on=True)
            each.process.freeze()

        await failures.aimed(fault, instance, act)
        await asyncio.sleep(fault.lasts)
        instance.process.thaw()
        failures.tell("freeze", instance.name, on=False)


async def _drain(failures: Failures, fault: Fault) -> None:
    async with failures.taken(fault) as instance:
        await failures.aimed(fault, instance, lambda _: None)
        with failures.context.history.fault("drain", instance.name):
            await instance.drain()
            await asyncio.sleep(fault.lasts)
        instance.start()
        await asyncio.sleep(STARTED_SECONDS)


async def _clock(failures: Failures, fault: Fault) -> None:
    """Not told: order, presence and limits are unaffected."""
    async with failures.taken(fault) as instance:
        instance.process.clock_offset_seconds = rng_of(fault, failures.context.seed).choice([-3600.0, -20.0, 20.0, 3600.0])
        await asyncio.sleep(fault.lasts)
        instance.process.clock_offset_seconds = 0.0


# --- partitions -------------------------------------------------------------------------------------------------------------


async def _cut(failures: Failures, fault: Fault, other: str, direction: str) -> None:
    network = failures.context.loop.network
    async with failures.taken(fault) as instance:

        def act(each: SimulatedInstance) -> None:
            failures.tell("partition", f"{each.name}/{other}", on=True)
            pair = (other, each.name) if direction == "in" else (each.name, other)
            network.cut(*pair, is_one_way=direction != "both")

        await failures.aimed(fault, instance, act)
        await asyncio.sleep(fault.lasts)
        network.heal(instance.name, other)
        failures.tell("partition", f"{instance.name}/{other}", on=False)


async def _redis_deaf(failures: Failures, fault: Fault) -> None:
    await _cut(failures, fault, failures.redis_name, "in")


async def _redis_mute(failures: Failures, fault: Fault) -> None:
    await _cut(failures, fault, failures.redis_name, "out")


async def _redis_cut(failures: Failures, fault: Fault) -> None:
    await _cut(failures, fault, failures.redis_name, "both")


async def _store_cut(failures: Failures, fault: Fault) -> None:
    await _cut(failures, fault, "store", "both")


# --- the store --------------------------------------------------------------------------------------------------------------


async def _store_errors(failures: Failures, fault: Fault) -> None:
    faults = failures.cluster.store.faults
    shares = rng_of(fault, failures.context.seed).choice([(0.3, 0.3), (0.05, 0.2), (0.9, 0.1), (0.0, 0.3)])
    with failures.context.history.fault("store-errors"):
        faults.lost_before, faults.lost_after = shares
        await asyncio.sleep(fault.lasts)
        faults.lost_before = faults.lost_after = 0.0


async def _store_slow(failures: Failures, fault: Fault) -> None:
    faults = failures.cluster.store.faults
    with failures.context.history.fault("store-slow"):
        faults.extra_seconds = rng_of(fault, failures.context.seed).choice([0.1, 0.6, 2.5])
        await asyncio.sleep(fault.lasts)
        faults.extra_seconds = 0.0


async def _store_frozen(failures: Failures, fault: Fault) -> None:
    with failures.context.history.fault("store-frozen"):
        failures.cluster.store.process.freeze()
        await asyncio.sleep(fault.lasts)
        failures.cluster.store.process.thaw()


# --- clients ----------------------------------------------------------------------------------------------------------------


async def _client_drop(failures: Failures, fault: Fault) -> None:
    """Not told: a client may lose its connection at any time, and the history has when it did."""
    network, rng = failures.context.loop.network, rng_of(fault, failures.context.seed)
    ready = [device.process for device in failures.people.devices if device.is_on and device.process is not None]
    dropped = [process for process in ready if rng.random() < 0.4]
    if not dropped:
        raise Missed
    for process in dropped:
        network.reset(process.name)


async def _client_freeze(failures: Failures, fault: Fault) -> None:
    """Shorter than the keepalive: the history of a frozen client does not show when its connection ended."""
    ready = [device for device in failures.people.devices if device.is_on]
    if not ready:
        raise Missed
    device = rng_of(fault, failures.context.seed).choice(ready)
    assert device.process is not None
    with failures.context.history.fault("client-freeze", device.process.name):
        device.watched.is_late = True
        device.process.freeze()
        await asyncio.sleep(fault.lasts)
        device.process.thaw()
    await asyncio.sleep(READ_UP_SECONDS)
    device.watched.is_late = False


FAILURES: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {
    "kill": _kill,
    "freeze": _freeze,
    "drain": _drain,
    "clock": _clock,
    "redis-deaf": _redis_deaf,
    "redis-mute": _redis_mute,
    "redis-cut": _redis_cut,
    "store-cut": _store_cut,
    "store-errors": _store_errors,
    "store-slow": _store_slow,
    "store-frozen": _store_frozen,
    "client-drop": _client_drop,
    "client-freeze": _client_freeze,
}
