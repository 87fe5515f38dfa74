"""Waiting for something to become true, with a deadline."""

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from holdfast.errors import HoldfastError

_PAUSE_SECONDS: Final = 0.05


class TargetFailed(HoldfastError):
    """A part of the cluster does not do what it is told, or does not come up; the message says which."""


async def until(
    predicate: Callable[[], object | Awaitable[object]], within: float, what: str, pause: float = _PAUSE_SECONDS
) -> float:
    """Return once `predicate` is true: how many seconds that took. `pause`: between two looks, in seconds.

    Raises:
        TargetFailed: it is not, after `within` seconds.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        outcome = predicate()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        elapsed = loop.time() - began
        if outcome:
            return elapsed
        if elapsed > within:
            raise TargetFailed(f"not within {within:.0f} s: {what}")
        await asyncio.sleep(pause)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a process listens there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False
