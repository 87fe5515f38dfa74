"""Waiting: for an event, but not for ever; for a call that several have asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

SHARED_SECONDS: Final = 0.005
"""Between two commands of a kind for clients that connect: what is asked for meanwhile shares the next one."""

T = TypeVar("T")
R = TypeVar("R")


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most `seconds`; whether it is set."""
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


class Joined(Generic[T, R]):
    """Calls that are asked for at one moment, or while one of them is under way, are made as one.

    Lives in the loop. Each call begins after all its askers have asked.
    """

    def __init__(self, call: Callable[[list[T]], Awaitable[R]], limit: int, apart_seconds: float = 0.0) -> None:
        """`call`: it ends by itself. `limit`: of the items of one call; others wait for the call after it.

        `apart_seconds`: from the end of a call to the beginning of the next one.
        """
        self._call = call
        self._limit = limit
        self._apart_seconds = apart_seconds
        self._ended_at = float("-inf")
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
        now = asyncio.get_running_loop().time
        if (left := self._ended_at + self._apart_seconds - now()) > 0:
            await asyncio.sleep(left)
        if self._gathering is not None and self._gathering[0] is items:
            self._gathering = None
        try:
            return await self._call(items)
        finally:
            self._ended_at = now()


def _take_error(task: asyncio.Task[Any]) -> None:
    """Each who waits is told; of a call for which none waits any more the error is of no interest."""
    if not task.cancelled():
        task.exception()
