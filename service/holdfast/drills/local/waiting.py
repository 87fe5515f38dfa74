"""Waiting for something to become true, with a deadline."""

import asyncio
import fcntl
import inspect
import os
import random
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TextIO

from holdfast.errors import HoldfastError

_PAUSE_SECONDS: Final = 0.05
_PORTS: Final = range(20_000, 30_000)  # below what Linux (32768) and others (49152) give to outgoing connections
_PORT_TRIES: Final = 1_000


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


def free_port() -> int:
    """A loopback port on which no process listens now, and that no other process of this user is given soon.

    The caller listens there later, or again after a restart: until then another process must not find it free. And it is not a
    port that the kernel gives to outgoing connections. Otherwise, while its server is down, an attempt to connect may get that
    very port as its own; it is then connected to itself, and the server cannot start again.

    Raises:
        TargetFailed: none was found.
    """
    for _ in range(_PORT_TRIES):
        port = _PORTS[_next_number() % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise TargetFailed(f"no free port between {_PORTS.start} and {_PORTS.stop}")


def _next_number() -> int:
    """Counted by all processes of this user together, from anywhere."""
    with open_shared("ports") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        text = file.read()
        number = int(text) + 1 if text.isdecimal() else random.choice(_PORTS)
        file.seek(0)
        file.truncate()
        file.write(str(number))
    return number


def open_shared(name: str) -> TextIO:
    """A file that this user's processes have together, to be locked.

    Raises:
        OSError: another user's file is in its place.
    """
    path = Path(tempfile.gettempdir()) / f"holdfast-{name}-{os.getuid()}"
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+")


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a process listens there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False
