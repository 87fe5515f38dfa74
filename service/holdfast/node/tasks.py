"""The background tasks of one instance: none is forgotten by the garbage collector, none fails silently."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from holdfast.errors import HoldfastError, StoreError

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
