"""The background tasks of one instance: none is forgotten by the garbage collector, none fails silently."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, Generic, TypeVar

from holdfast.errors import HoldfastError, StoreError

T = TypeVar("T")
R = TypeVar("R")

_RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class Tasks:
    """Owns what it starts; `close` cancels it.

    Attributes:
        note_failure: told of a mistake, with the name that it is counted under (`telemetry.LOOPS`).
    """

    def __init__(self, note_failure: Callable[[str, BaseException], None] | None = None) -> None:
        self.note_failure = note_failure or _log_failure
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in the background."""
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._done)
        return task

    async def until_store_answers(self, ask: Callable[[], Awaitable[None]], tries: int = 20, *, name: str = "tasks") -> None:
        """Ask again, twice a second, until the store answers or `tries` are used up: something later will look again.

        A mistake is no answer either: what was asked for must not be dropped because of it. It is counted under `name`.
        """
        for _ in range(tries):
            try:
                return await ask()
            except StoreError:
                pass
            except Exception as error:  # noqa: BLE001 - counted, and asked again
                self.note_failure(name, error)
            await asyncio.sleep(_RETRY_SECONDS)
        return None

    async def close(self) -> None:
        """Cancel everything and wait for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            note = _log_failure if isinstance(error, HoldfastError) else self.note_failure
            note("tasks", error)


class Joined(Generic[T, R]):
    """Calls that are asked for at one moment, or while one of them is under way, are made as one.

    Lives in the loop. Each call begins after all its askers have asked.
    """

    def __init__(self, call: Callable[[list[T]], Awaitable[R]], limit: int) -> None:
        """`call`: it ends by itself. `limit`: of the items of one call; others wait for the call after it."""
        self._call = call
        self._limit = limit
        self._gathering: tuple[list[T], asyncio.Task[R]] | None = None
        self._last: asyncio.Task[R] | None = None

    @property
    def is_asked_again(self) -> bool:
        """Whether a call waits that has not begun."""
        return self._gathering is not None

    async def of(self, *items: T) -> R:
        """The answer to the call that has these items among others, or its error."""
        if self._gathering is None or len(self._gathering[0]) + len(items) > self._limit:
            others: list[T] = []
            self._last = asyncio.create_task(self._run(others, self._last))
            self._last.add_done_callback(_take_error)
            self._gathering = others, self._last
        joined, call = self._gathering
        joined += items
        return await asyncio.shield(call)

    async def _run(self, items: list[T], before: "asyncio.Task[R] | None") -> R:
        if before is not None:
            await asyncio.wait((before,))
        if self._gathering is not None and self._gathering[0] is items:
            self._gathering = None
        return await self._call(items)


def _take_error(task: asyncio.Task[Any]) -> None:
    """Each who waits is told; of a call for which none waits any more the error is of no interest."""
    if not task.cancelled():
        task.exception()


def _log_failure(name: str, error: BaseException) -> None:
    _log.error("a background task failed: %s", name, exc_info=error)


async def each_in_turn(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do one after another; a step that fails keeps no other from its turn.

    Raises:
        Exception: of the first step that failed, when all had their turn.
    """
    first: Exception | None = None
    for step in steps:
        try:
            await step
        except Exception as error:  # noqa: BLE001 - raised when the others had their turn
            first = first or error
    if first is not None:
        raise first
