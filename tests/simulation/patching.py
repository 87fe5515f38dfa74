"""What the standard library says of time and of chance inside a simulated run, and when garbage is collected.

An instance has its clock from `simulation.machine`; libraries ask the `time` module. Keys and names come from `secrets`, `uuid`
and `os.urandom`, pauses from `random`: in a run all of it comes from the seed. The garbage collector runs at moments of virtual
time: what it finalizes could otherwise differ from run to run.
"""

import contextlib
import gc
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from simulation.loop import EPOCH_SECONDS, SimulatedLoop
from simulation.process import process_of

_COLLECT_SECONDS: Final = 5.0


@contextlib.contextmanager
def simulated(seed: int) -> Iterator[SimulatedLoop]:
    """A loop, and the standard library in its time; the loop is closed and everything put back at the end."""
    loop = SimulatedLoop(seed)
    with _replaced(_clocks(loop) + _randomness(random.Random(f"library-{seed}"))), _seeded(seed), _collected(loop):
        try:
            yield loop
        finally:
            loop.close()


Replacement = tuple[Any, str, Callable[..., Any]]


def _clocks(loop: SimulatedLoop) -> list[Replacement]:
    def wall() -> float:
        return EPOCH_SECONDS + loop.now + process_of(None, loop.root).clock_offset_seconds

    def monotonic() -> float:
        return loop.now

    def monotonic_ns() -> int:
        return int(loop.now * 1e9)

    def no_sleep(seconds: float) -> None:
        raise AssertionError(f"time.sleep({seconds}) would stop the whole simulation")

    return [
        (time, "time", wall),
        (time, "time_ns", lambda: int(wall() * 1e9)),
        (time, "monotonic", monotonic),
        (time, "perf_counter", monotonic),
        (time, "monotonic_ns", monotonic_ns),
        (time, "perf_counter_ns", monotonic_ns),
        (time, "sleep", no_sleep),
    ]


def _randomness(source: random.Random) -> list[Replacement]:
    """`secrets` and `random.SystemRandom` call what `random` has imported from `os`."""
    return [(os, "urandom", source.randbytes), (random, "_urandom", source.randbytes)]


@contextlib.contextmanager
def _replaced(replacements: list[Replacement]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module, name, replacement in replacements:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, replacement)
        yield


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The module-level functions of `random`."""
    state = random.getstate()
    random.seed(f"module-{seed}")
    try:
        yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _collected(loop: SimulatedLoop) -> Iterator[None]:
    """Young garbage is collected every 5 s of virtual time, and not otherwise."""
    was_enabled = gc.isenabled()
    gc.freeze()  # garbage of before is not collected in the run
    gc.disable()

    def collect() -> None:
        loop.let_go()
        loop.world_at(loop.now + _COLLECT_SECONDS, collect)

    loop.world_at(loop.now + _COLLECT_SECONDS, collect)
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
