"""The store: the real SQLite adapter over one database in memory, which all instances share. Only its threads are replaced.

A call travels to the store's process and its answer back; between both the store can refuse, lose the answer, be slow, or have
something done to the caller. Calls of one lane are done in their order, those that wait together at once, as a group commit does.
"""

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from holdfast.adapters.sqlite import schema
from holdfast.adapters.sqlite.lanes import translated
from holdfast.errors import StoreError, StoreTimeout, StoreUnavailable
from holdfast.node.health.store_calls import OPERATION
from holdfast.ports import within
from simulation.loop import SimulatedLoop
from simulation.process import Process, current_process

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
Moment = Literal["before", "after", "answered"]

_RETRY_SECONDS: Final = (0.2, 0.8)
_BEGUN_SHARE: Final = 0.5  # of the calls whose caller has left or died: a real lane may have begun them by then


@dataclass(slots=True)
class StoreFaults:
    """The faults of the store; may be changed at any time.

    Attributes:
        lost_before: the share of calls that are refused and not done.
        lost_after: the share of calls that are done, and whose answer is an error or is lost.
        extra_seconds: up to so much more for each call.
    """

    lost_before: float = 0.0
    lost_after: float = 0.0
    extra_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreCall:
    """One call, as aims see it. `operation`: one of `telemetry.STORE_OPERATIONS`, as the instance counts its calls."""

    process: Process
    operation: str
    is_write: bool


@dataclass(slots=True)
class _Aim:
    """Something to be done at a call yet to come."""

    process: str
    moment: Moment
    left: int
    operations: tuple[str, ...]
    action: Callable[[Process], None]

    def is_hit(self, call: StoreCall, moment: Moment) -> bool:
        if moment != self.moment or call.process.name != self.process:
            return False
        if self.operations and call.operation not in self.operations:
            return False
        self.left -= 1
        return self.left <= 0


@dataclass(slots=True)
class _Job:
    """A call under way."""

    lane: "SimulatedLane"
    call: StoreCall
    work: Work
    future: "asyncio.Future[Any]"
    on_late: Callable[[Any], None] | None
    is_transaction: bool


@dataclass(slots=True)
class StoreDelays:
    """How long a call takes, one way: 0.3 to 1.7 times the usual, and a tail of up to so much more for a share of the calls."""

    usual_seconds: float = 0.0005
    tail_seconds: float = 0.015
    tail_share: float = 0.03

    def draw(self, randomness: random.Random) -> float:
        """Seconds."""
        seconds = self.usual_seconds * (0.3 + 1.4 * randomness.random())
        return seconds + self.tail_seconds * randomness.random() if randomness.random() < self.tail_share else seconds


class SimulatedStore:
    """The database and the process that has it. Freeze that process, and the store hangs; cut it off, and calls wait.

    Attributes:
        process: of the name `store`.
        connection: the database, for a verdict that reads it.
        calls: how many were done.
    """

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        self.loop = loop
        self.process = loop.process("store")
        self.connection = schema.connect(":memory:", 0.0)
        self.faults = StoreFaults()
        self.delays = StoreDelays()
        self.calls = 0
        self.randomness = random.Random(f"store-{seed}")
        self._aims: list[_Aim] = []

    def database(self, timeout_seconds: float) -> "SimulatedDatabase":
        """For one instance; no call of it waits longer."""
        return SimulatedDatabase(self, timeout_seconds)

    # --- faults ------------------------------------------------------------------------------------------------------

    def aim(
        self,
        process: str,
        action: Callable[[Process], None],
        *,
        moment: Moment,
        calls: int = 1,
        operations: tuple[str, ...] = (),
    ) -> Callable[[], None]:
        """Do something at a call to come, once: `aim("i1", Process.kill, moment="after", operations=("append",))`.

        Args:
            process: the caller, by name.
            action: called with the caller, outside of it.
            moment: before the call is done (a caller that dies then has not made it), after its commit and before its answer,
                or when the answer has reached the caller and before the caller goes on.
            calls: at the so many-th of its calls from now on.
            operations: only those are counted, where they are named.

        Returns:
            What takes the aim away.
        """
        aim = _Aim(process, moment, calls, operations, action)
        self._aims.append(aim)

        def forget() -> None:
            with suppress(ValueError):
                self._aims.remove(aim)

        return forget

    def snapshot(self) -> bytes:
        """A backup."""
        return self.connection.serialize()

    def restore(self, snapshot: bytes, generation: str | None = None) -> None:
        """Put a backup back while instances run; `generation`: as `holdfast store renew` sets it afterwards."""
        self.connection.deserialize(snapshot)
        if generation is not None:
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (generation,))

    def empty(self) -> None:
        """The file is replaced by a new one without tables."""
        blank = sqlite3.connect(":memory:")
        blank.execute("PRAGMA user_version = 1")  # a database that was never written has no bytes
        blank.execute("PRAGMA user_version = 0")
        self.connection.deserialize(blank.serialize())
        blank.close()

    # --- calls -------------------------------------------------------------------------------------------------------

    def latency(self) -> float:
        """Seconds of one way."""
        extra = self.faults.extra_seconds
        return self.delays.draw(self.randomness) + (extra * self.randomness.random() / 2 if extra else 0.0)

    def do(self, job: _Job) -> None:
        """Do one call and send its answer; in the store's process."""
        caller, fate = job.call.process, self.randomness.random()
        if (caller.is_dead or job.future.done()) and self.randomness.random() >= _BEGUN_SHARE:
            return
        was_dead = caller.is_dead
        self._hit(job.call, "before")
        if caller.is_dead and not was_dead:
            return
        if fate < self.faults.lost_before:
            self._answer(job, None, StoreUnavailable("simulated: not done"))
            return
        result, error = self._result_of(job)
        self.calls += 1
        if error is None:
            self._hit(job.call, "after")
        if error is None and fate < self.faults.lost_before + self.faults.lost_after:
            if self.randomness.random() < 0.5:
                self._answer(job, None, StoreUnavailable("simulated: done, and the answer is lost"))
            return
        self._answer(job, result, error)

    def is_reached_by(self, process: Process) -> bool:
        """Whether no partition is between them."""
        network = self.loop.network
        return not (network.is_cut(process.name, self.process.name) or network.is_cut(self.process.name, process.name))

    def _result_of(self, job: _Job) -> tuple[Any, Exception | None]:
        connection = self.connection
        try:
            if job.is_transaction:
                connection.execute("BEGIN IMMEDIATE")
            result = job.work(connection)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the caller gets it, as from a lane's thread
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return None, translated(error)
        return result, None

    def _answer(self, job: _Job, result: Any, error: Exception | None) -> None:
        at = job.lane.answers_at = max(job.lane.answers_at, self.loop.now + self.latency())  # answers keep their order
        self.loop.call_at(at, self._settle, job, result, error, context=job.call.process.context)

    def _settle(self, job: _Job, result: Any, error: Exception | None) -> None:
        """The answer is there; in the caller's process."""
        if error is None:
            self._hit(job.call, "answered")
        if job.future.done():
            if job.on_late is not None and error is None and result is not None:
                job.on_late(result)
        elif error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    def _hit(self, call: StoreCall, moment: Moment) -> None:
        for aim in [aim for aim in self._aims if aim.is_hit(call, moment)]:
            self._aims.remove(aim)
            aim.action(call.process)


class SimulatedDatabase:
    """Implements `sqlite.database.Database` for one instance."""

    def __init__(self, store: SimulatedStore, timeout_seconds: float) -> None:
        self._store = store
        self._timeout_seconds = timeout_seconds

    async def create(self) -> None:
        """See `Database.create`."""
        lane = SimulatedLane(self._store, self._timeout_seconds, is_writer=False)
        name = self._store.randomness.randbytes(8).hex()
        try:
            await lane.run(lambda connection: schema.create(connection, name))
        except StoreError as error:
            raise sqlite3.OperationalError(str(error)) from error

    def lane(self, name: str, *, is_writer: bool) -> "SimulatedLane":
        """See `Database.lane`."""
        return SimulatedLane(self._store, self._timeout_seconds, is_writer=is_writer)


@dataclass(slots=True)
class SimulatedLane:
    """Implements `sqlite.database.Lane`. `answers_at`: when the latest answer arrives."""

    store: SimulatedStore
    timeout_seconds: float
    is_writer: bool = field(kw_only=True)
    answers_at: float = 0.0
    _jobs: deque[_Job] = field(default_factory=deque)
    _is_under_way: bool = False
    _is_closed: bool = False

    async def run(self, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None) -> T:
        """See `Lane.run`."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = StoreCall(current_process(), OPERATION.get(), self.is_writer)
        self._jobs.append(_Job(self, call, work, future, on_late, self.is_writer))
        self._set_out(self.store.latency())
        try:
            async with within(self.timeout_seconds):
                return await future
        except TimeoutError:
            raise StoreTimeout("the store did not answer in time") from None

    async def close(self) -> None:
        """See `Lane.close`."""
        self._is_closed = True
        for job in self._jobs:
            if not job.future.done():
                job.future.set_exception(StoreUnavailable("the store is closed"))

    def _set_out(self, seconds: float) -> None:
        if self._jobs and not self._is_under_way:
            self._is_under_way = True
            self.store.process.call_later(seconds, self._arrive)

    def _arrive(self) -> None:
        """The waiting jobs of this lane have reached the store; in the store's process."""
        self._is_under_way = False
        if self._jobs and not self.store.is_reached_by(self._jobs[0].call.process):
            self._set_out(self.store.randomness.uniform(*_RETRY_SECONDS))
            return
        jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            self.store.do(job)
