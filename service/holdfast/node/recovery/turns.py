"""Whose turn is it to complete the work of a dead run? Pure.

All instances know of a death at the same moment. Were all of them to begin at once, each would read the same users, and their
writes would conflict. So they come in an order of their own for each dead run, by a hash. Each begins later than the one before
it, and finds nothing where that one has done the work. The order is made of runs that wrote a moment ago: a silent one has no
turn.

Instances of an older version all begin at once.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from holdfast.domain.ids import RunId

SECOND_SECONDS: Final = 2.0
"""When the second one begins. The third begins after three times that, the fourth after seven times: few are at work at once."""
_LAST: Final = 5  # and all behind it: after a minute


def turn_seconds(own: RunId, others: Iterable[RunId], dead: RunId) -> float:
    """How much later than the first one this instance begins."""
    mine = _place(own, dead)
    before = min(sum(_place(each, dead) < mine for each in others), _LAST)
    return SECOND_SECONDS * ((1 << before) - 1)


def _place(run: RunId, dead: RunId) -> bytes:
    return hashlib.sha256(f"{run}|{dead}".encode(errors="replace")).digest()
