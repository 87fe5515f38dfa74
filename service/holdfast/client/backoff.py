"""How long to wait before connecting again, and whether at all, by close code."""

import random
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 30.0

_OUR_MISTAKE: Final = frozenset((1002, 1003, 1007, 1009))  # reconnect at the longest back-off, without that frame


def pause(attempt: int, *, at_least: float = 0.0) -> float:
    """Seconds, with full jitter: up to 0.5 s at the first attempt (0), up to 30 s later. `at_least`: a server's Retry-After."""
    longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt, 10))
    return min(LONGEST_SECONDS, at_least) + random.uniform(0, longest)


def is_final(code: int) -> bool:
    """Whether a close code says: stop, and tell the application."""
    return code in (1000, 1008) or 4500 <= code <= 4999


def is_our_mistake(code: int) -> bool:
    """Whether a close code says that we sent what must not be sent again."""
    return code in _OUR_MISTAKE
