"""The machine that a simulated instance runs on: its clocks, its memory, its ways to Redis and to the store."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import AbstractConnection

from holdfast.adapters.redis.address import Address, resolve
from holdfast.adapters.sqlite.database import Database
from holdfast.bootstrap import Machine
from holdfast.ports import MemoryUse
from holdfast.settings import RedisSettings
from simulation.loop import EPOCH_SECONDS, SimulatedLoop
from simulation.process import Process

if TYPE_CHECKING:
    from simulation.firestore import Connect


class SimulatedClock:
    """Implements `ports.MachineClock`. Only the wall clock of the process may be wrong: the kernel's are everywhere the same."""

    def __init__(self, loop: SimulatedLoop, process: Process) -> None:
        self._loop = loop
        self._process = process

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return self._loop.now

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return int((EPOCH_SECONDS + self._loop.now + self._process.clock_offset_seconds) * 1000)

    def since_boot_ms(self) -> int:
        """See `ports.MachineClock`."""
        return int(self._loop.now * 1000)

    def booted_at_ms(self) -> int:
        """See `ports.MachineClock`."""
        return int(EPOCH_SECONDS * 1000)


class SimulatedMemory:
    """Implements `ports.Memory`: what a test says. `use` may be replaced at any time."""

    def __init__(self) -> None:
        self.use = MemoryUse(0, None)

    def read(self) -> MemoryUse:
        """See `ports.Memory`."""
        return self.use


def ordered_address(loop: SimulatedLoop, settings: RedisSettings) -> Address:
    """As `resolve`; redis-py keeps its connections in sets, and theirs have the same order in each run."""
    address = resolve(settings)
    return replace(address, connection_class=_ordered(address.connection_class, loop))


def machine(
    process: Process, database: Callable[[float], Database] | None = None, firestore: "Callable[[str], Connect] | None" = None
) -> Machine:
    """The machine of one process.

    Args:
        database: made with the longest wait in seconds, whatever the path; for SQLite.
        firestore: made with the name of the process; for Firestore.
    """

    def file(_: Path, timeout_seconds: float) -> Database:
        assert database is not None
        return database(timeout_seconds)

    on = Machine(
        clock=SimulatedClock(process.loop, process),
        memory=SimulatedMemory(),
        redis=partial(ordered_address, process.loop),
        database=file,
    )
    return on if firestore is None else replace(on, firestore=firestore(process.name))


def _ordered(kind: type[AbstractConnection], loop: SimulatedLoop) -> type[AbstractConnection]:
    class Ordered(kind):  # type: ignore[misc,valid-type]  # the kind is known at run time
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.number = loop.number()
            super().__init__(*arguments, **options)

        def __hash__(self) -> int:
            return self.number

        def __eq__(self, other: object) -> bool:
            return self is other

    return Ordered
