"""A deadline that blames the other side only for its own silence, not for the time in which this process did not listen."""

import asyncio
from types import TracebackType
from typing import Final, Self

_TURNS: Final = 8
"""An answer is read within two turns of the event loop after it came; a new connection's handshake takes some more."""


class within:  # noqa: N801 - reads as `asyncio.timeout` does: `async with within(0.5):`
    """Raise `TimeoutError` when the body takes longer than `seconds`, as `asyncio.timeout` does.

    The difference: the event loop has to turn eight times meanwhile. A loop that is busy for half a second fires its timers
    before it reads what came in that half second; a deadline of half a second would then call a healthy Redis silent. On a
    loop that is not busy both are the same.
    """

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(None)
        self._step = seconds / _TURNS
        self._left = _TURNS

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._step, self._turned)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _turned(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._step, self._turned)
        else:
            self._timeout.reschedule(self._loop.time())
