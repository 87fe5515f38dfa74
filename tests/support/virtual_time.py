"""An event loop whose time passes by itself as soon as no task has anything to do: hours in milliseconds, and no sleeps."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Selector(selectors.SelectSelector):
    """Instead of waiting it lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Never blocks."""
        if timeout is None:
            raise AssertionError("nothing is scheduled and no task is ready: this waits for ever")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time` is the scenario's."""

    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.selector.now


def in_virtual_time(scenario: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of an async scenario."""

    @functools.wraps(scenario)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(scenario(*args, **kwargs))

    del run.__wrapped__  # type: ignore[attr-defined]  # pytest-asyncio would look through and run it on a loop of its own
    return run


class LoopClock:
    """A `Clock` that is the loop's."""

    def monotonic(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    def now_ms(self) -> int:
        """Virtual wall clock."""
        return 1_700_000_000_000 + int(self.monotonic() * 1000)


async def passed(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


async def settled() -> None:
    """Let everything that is ready run, a few rounds."""
    for _ in range(20):
        await asyncio.sleep(0)
