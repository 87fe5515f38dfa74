"""One event loop, many simulated processes: virtual time, and a seed that decides which process runs next.

Within a process callbacks run first in, first out, as asyncio promises. A turn takes 10 to 50 µs of virtual time, a wait takes
none of real time. No thread runs: what would go to one (`asyncio.to_thread`) runs at once.
"""

import asyncio
import contextvars
import gc
import heapq
import itertools
import random
import socket
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from simulation.network import Network
from simulation.process import Process, bury, current_process, process_of

__all__ = ["Failure", "Process", "SimulatedLoop", "Stalled", "current_process"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_SECONDS: Final = 1_000.0  # of the monotonic clock, so that "long ago" is a positive number, too
EPOCH_SECONDS: Final = 1_800_000_000.0  # Unix time of the monotonic clock's zero
_TURN_SECONDS: Final = 0.00001
_TURN_MORE_SECONDS: Final = 0.00004


class Stalled(Exception):
    """Nothing is scheduled any more, and what was waited for has not happened."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that no code of the process took, as asyncio's exception handler is told."""

    at: float
    process: str
    message: str
    error: str


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows its process. Its hash is its number: sets of tasks have the same order in each run."""

    def __init__(self, work: Coroutine[Any, Any, Any], process: Process, **options: Any) -> None:
        self.number = process.loop.number()
        self.process = process
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs a simulation. `close` it at the end: all its processes die with it.

    Attributes:
        seed: of all that is drawn.
        now: monotonic seconds, the same for all processes.
        turns: how often a process had its turn.
        root: the process of what belongs to no other.
        network: between the processes.
        failures: exceptions that were never taken, of processes that lived.
        trace: called before each callback with its process and its handle, where it is set.
    """

    _stopping: bool  # asyncio's own: `stop` was called

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.now = START_SECONDS
        self.turns = 0
        self.failures: list[Failure] = []
        self.trace: Callable[[Process, asyncio.Handle], None] | None = None
        self._randomness = random.Random(f"loop-{seed}")
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process | None]] = []
        self._numbers = itertools.count()
        self._born = itertools.count(1)
        self._runnable: list[Process] = []
        self._processes: list[Process] = []
        self.network = Network(self, seed)
        self.root = self._turning = self.process("root")
        self.set_exception_handler(self._note_failure)

    def process(self, name: str) -> Process:
        """Another process. `name`: of the machine it runs on, for partitions; one that died may have had the same."""
        process = Process(self, name)
        self._processes = [each for each in self._processes if not each.is_dead]
        self._processes.append(process)
        return process

    @property
    def processes(self) -> tuple[Process, ...]:
        """Those that live, oldest first."""
        return tuple(process for process in self._processes if not process.is_dead)

    def number(self) -> int:
        """The next one, for what is kept in sets: an order by address would differ from run to run."""
        return next(self._born)

    def run(self, work: Coroutine[Any, Any, T], *, within_seconds: float = 3_600.0) -> T:
        """Run `work` in the root process until it is done.

        Args:
            work: what decides when the simulation is over.
            within_seconds: of virtual time.

        Raises:
            TimeoutError: it is not done by then.
            Stalled: nothing is scheduled any more.
        """

        async def bounded() -> T:
            async with asyncio.timeout(within_seconds):
                return await work

        return self.run_until_complete(self.root.spawn(bounded()))

    def run_for(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        self.run(asyncio.sleep(seconds), within_seconds=seconds + 1)

    def collect(self) -> None:
        """Let go of tasks that are done, and collect all garbage: `failures` then has those whose exception was never taken."""
        self.let_go()
        gc.collect()

    def let_go(self) -> None:
        """Let go of tasks that are done, and collect young garbage: all of it takes too long while a run goes on."""
        for process in self.processes:
            process.let_go()
        gc.collect(1)

    def close(self) -> None:
        """Kill all processes and end. Idempotent."""
        if self.is_closed():
            return
        for process in self.processes:
            process.kill(is_silent=True)
        bury(*self._timers)
        super().close()

    # --- what asyncio asks of a loop ---------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual monotonic seconds."""
        return self.now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """See asyncio. A callback of a dead process never runs."""
        handle = asyncio.Handle(callback, args, self, context)
        self._put(handle, process_of(context, self.root))
        return handle

    call_soon_threadsafe = call_soon  # there is one thread

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self._schedule(when, callback, args, context, process_of(context, self.root))

    def world_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call at that time outside of all processes, before any of them has its turn: what a network or a disk does."""
        return self._schedule(when, callback, args, self.root.context, None)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **_: Any,
    ) -> asyncio.Task[Any]:
        """See asyncio. Its process keeps the task until it is done."""
        process = process_of(context, self.root)
        task = SimulatedTask(coro, process, loop=self, name=None if name is None else str(name), context=context)
        process.own(task)
        return task

    def run_in_executor(self, executor: object, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> "asyncio.Future[T]":
        """Run it at once: there is no other thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the caller gets it, as from an executor
            future.set_exception(error)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """The addresses that the network has under this name."""
        await asyncio.sleep(self.network.latency(current_process().name, "root"))
        addresses = self.network.addresses(str(host))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port)) for each in addresses]

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """A connection over the simulated network. No TLS, no socket of one's own.

        Raises:
            OSError: refused, or no such name.
        """
        if options.get("ssl") or options.get("sock") or host is None or port is None:
            raise NotImplementedError("the simulated network connects hosts and ports, without TLS")
        return await self.network.connect(protocol_factory, self.network.addresses(str(host))[0], int(port))

    # --- the core ----------------------------------------------------------------------------------------------------

    def wake(self, process: Process) -> None:
        """It may have its turn again; for `Process`."""
        if process.ready and not process.is_queued and not process.is_frozen:
            process.is_queued = True
            self._runnable.append(process)

    def _put(self, handle: asyncio.Handle, process: Process) -> None:
        if process._is_dead:
            bury(handle)
            return
        process.ready.append(handle)
        if not process.is_queued and not process._is_frozen:
            process.is_queued = True
            self._runnable.append(process)

    def _schedule(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        process: Process | None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle, process))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time."""

    def _run_once(self) -> None:
        """Turn after turn until `stop`: asyncio's own loop around it would cost as much as a turn."""
        timers, runnable, draw = self._timers, self._runnable, self._randomness.random
        while not self._stopping:
            if timers and timers[0][0] <= self.now:
                self._fire_timers()
            if runnable:
                self._turn(self._next_process())
                self.now += _TURN_SECONDS + _TURN_MORE_SECONDS * draw()
            else:
                self._skip_to_the_next_timer()

    def _fire_timers(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self.now:
            _, _, handle, process = heapq.heappop(timers)
            if handle._cancelled:
                continue
            if process is None:
                handle._run()
            else:
                self._put(handle, process)

    def _skip_to_the_next_timer(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Stalled(f"at {self.now:.3f} s")
        self.now = max(self.now, timers[0][0])

    def _next_process(self) -> Process:
        """Drawn among those that have something to do; it is not among them any more."""
        runnable = self._runnable
        index = int(self._randomness.random() * len(runnable)) if len(runnable) > 1 else 0
        process, runnable[index] = runnable[index], runnable[-1]
        runnable.pop()
        process.is_queued = False
        return process

    def _turn(self, process: Process) -> None:
        """Run the callbacks that were due when the turn began; those that they schedule wait for the next turn."""
        self.turns += 1
        self._turning = process
        ready, trace = process.ready, self.trace
        for _ in range(len(ready)):
            if not ready or process._is_frozen:
                break
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if process.doomed_in is not None:
                process.doomed_in -= 1
            if trace is not None:
                trace(process, handle)
            handle._run()
            if process.doomed_in == 0:
                process.kill()
        self._turning = self.root
        self.wake(process)

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        process = task.process if isinstance(task, SimulatedTask) else self._turning
        if process.is_dead or self.is_closed():
            return
        error = context.get("exception")
        told = "".join(traceback.format_exception(error)) if error is not None else repr(task or context.get("handle"))
        self.failures.append(Failure(self.now, process.name, str(context.get("message")), told))
