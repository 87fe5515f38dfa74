"""Waiting for something to become true, with a deadline instead of a sleep."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable

_PAUSE_SECONDS = 0.02


async def eventually(predicate: Callable[[], object | Awaitable[object]], within: float = 5.0) -> None:
    """Return once `predicate` is true; fail after `within` seconds."""
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
