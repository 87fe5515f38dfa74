"""How many sockets one process may have open."""

import contextlib
import resource
from typing import Final

_OTHERS: Final = 100  # what a process opens besides


def raise_file_limit(enough: int) -> int:
    """As many as this user may have, or `enough` where that has no end; all that this process starts inherits it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (most, enough):  # some systems take no infinity
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return enough if soft == resource.RLIM_INFINITY else soft


def sockets_that_fit(wanted: int, kept: int) -> int:
    """Raise the limit in this process; how many of so many sockets fit, 1 at least.

    `kept`: HTTP connections that may be open beside the sockets, and what a process opens besides.
    """
    others = kept + _OTHERS
    return max(1, min(wanted, raise_file_limit(wanted + others) - others))


def make_room_for(clients: int) -> str:
    """Raise the limit for so many clients in this process; why that cannot be, in words, empty where it can."""
    needed = clients + _OTHERS
    limit = raise_file_limit(needed)
    return "" if limit >= needed else f"{clients} clients need {needed} open files, and {limit} are allowed (ulimit -n)"
