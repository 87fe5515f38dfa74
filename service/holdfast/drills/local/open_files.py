"""How many sockets one process may have open."""

import contextlib
import resource
from typing import Final

_OTHERS: Final = 500  # what a process opens besides


def raise_file_limit() -> int:
    """As many as this user may have, and all that this process starts inherits it; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def missing_sockets(clients: int) -> str:
    """Why this process cannot have that many clients, in words; empty where it can."""
    limit = raise_file_limit()
    if limit == resource.RLIM_INFINITY or clients + _OTHERS <= limit:
        return ""
    return f"{clients} clients need {clients + _OTHERS} open files, and {limit} are allowed (ulimit -n)"
