"""A simulated process: a context variable that every callback, task and transport of it carries.

Callbacks of one process run in the order in which they were scheduled, as asyncio promises. A process that is killed loses what
is scheduled; nothing of it runs again, its `finally` blocks included. A frozen process keeps what is scheduled until it thaws.
"""

import asyncio
import contextvars
import ctypes
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from simulation.loop import SimulatedLoop

T = TypeVar("T")

_current: "contextvars.ContextVar[Process]" = contextvars.ContextVar("simulated_process")
_FIRST_PRUNING: Final = 256

_graveyard: list[object] = []
"""What dead processes left: a coroutine that the garbage collector takes would run its `finally`, which no crash does."""
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_graveyard))  # not at the interpreter's end either: nothing ever gives it back


class Process:
    """One process of the simulation; made by `SimulatedLoop.process`.

    Attributes:
        name: of the machine as faults name it; a process that is started again has the same name.
        clock_offset_seconds: how far its wall clock is ahead. May be changed at any time: then it steps.
        on_death: called when it was killed, outside of it.
        ready: callbacks that are due; only the loop touches them.
        is_queued: the loop knows that it has something to do.
        doomed_in: callbacks until it is killed; None where nothing aims at it.
    """

    def __init__(self, loop: "SimulatedLoop", name: str) -> None:
        self.loop = loop
        self.name = name
        self.clock_offset_seconds = 0.0
        self.on_death: list[Callable[[], None]] = []
        self.ready: deque[asyncio.Handle] = deque()
        self.is_queued = False
        self.doomed_in: int | None = None
        self._is_dead = False
        self._is_frozen = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._prune_at = _FIRST_PRUNING
        self.context = contextvars.Context()
        self.context.run(_current.set, self)

    def __repr__(self) -> str:
        return f"<Process {self.name}>"

    @property
    def is_dead(self) -> bool:
        """It was killed."""
        return self._is_dead

    @property
    def is_frozen(self) -> bool:
        """It stands still, as after SIGSTOP; the work of its kernel goes on."""
        return self._is_frozen

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
        """Run `work` in this process."""
        task: asyncio.Task[T] = self.context.copy().run(self.loop.create_task, work, name=name)
        return task

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        """Schedule a call in this process."""
        self.loop.call_soon(callback, *arguments, context=self.context)

    def call_later(self, seconds: float, callback: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
        """Schedule a call in this process."""
        return self.loop.call_later(seconds, callback, *arguments, context=self.context)

    def kill(self, *, is_silent: bool = False) -> None:
        """SIGKILL. `is_silent`: the machine is gone with it, and no peer hears of that until another one has its address.

        A callback of the process that runs at this moment ends as if it had not been noticed; nothing comes after it.
        """
        if self._is_dead:
            return
        self._is_dead = True
        bury(self, *self.ready)
        self.ready.clear()
        self.loop.network.process_died(self, is_silent=is_silent)
        for call in tuple(self.on_death):
            call()

    def kill_after(self, callbacks: int) -> None:
        """Kill it when it has run so many more callbacks, that of this moment not counted; at once with 0."""
        if callbacks <= 0:
            self.kill()
        else:
            self.doomed_in = callbacks

    def freeze(self) -> None:
        """SIGSTOP."""
        self._is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: everything that became due meanwhile is due now."""
        self._is_frozen = False
        self.loop.wake(self)

    def own(self, task: "asyncio.Task[Any]") -> None:
        """Keep a task until it is done; for the loop."""
        self._tasks.append(task)
        if len(self._tasks) >= self._prune_at:
            self.let_go()
            self._prune_at = max(_FIRST_PRUNING, 2 * len(self._tasks))

    def let_go(self) -> None:
        """Of tasks that are done; for the loop."""
        self._tasks = [task for task in self._tasks if not task.done()]


def current_process() -> Process:
    """The process that runs at this moment.

    Raises:
        LookupError: none: the caller is outside of the simulation.
    """
    return _current.get()


def process_of(context: contextvars.Context | None, default: Process) -> Process:
    """The process of a context, or of the present one."""
    return _current.get(default) if context is None else context.get(_current, default)


def bury(*remains: object) -> None:
    """Keep for ever. The memory of a simulation is given back with the Python process that ran it."""
    _graveyard.extend(remains)
