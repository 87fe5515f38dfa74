"""Ports of the loopback for servers that are started later."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final, TextIO

from holdfast.launcher.waiting import TargetFailed

_PORTS: Final = range(20_000, 30_000)  # below what Linux (32768) and others (49152) give to outgoing connections
_PORT_TRIES: Final = 1_000


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


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback's `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True
