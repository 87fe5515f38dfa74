"""Waiting for something to become true, with a deadline instead of a sleep."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 30.0  # where nothing is promised of the time: a slow machine is no failure, and a hang is one
_PAUSE_SECONDS = 0.02


async def eventually(predicate: Callable[[], object | Awaitable[object]], within: float = PATIENCE_SECONDS) -> None:
    """Return once `predicate` is true; fail after `within` seconds, which a test names where they are promised."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        outcome = predicate()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not true within {within} s: {_name(predicate)}")
        await asyncio.sleep(_PAUSE_SECONDS)


def _name(predicate: Callable[[], object]) -> str:
    if isinstance(predicate, functools.partial):
        return repr(predicate)
    return inspect.getsource(predicate).strip()
