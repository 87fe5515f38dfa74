"""Whose turn is it to complete what a dead run left: its own death, or a mark in the store? Pure.

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
    """How much later than the first one this instance begins with the death of that run."""
    return SECOND_SECONDS * ((1 << min(runs_before(own, others, dead), _LAST)) - 1)


def runs_before(own: str, others: Iterable[str], work: str) -> int:
    """How many of the other runs have their turn at this work before this run."""
    mine = _place(own, work)
    return sum(_place(each, work) < mine for each in others)


def _place(run: str, work: str) -> bytes:
    return hashlib.sha256(f"{run}|{work}".encode(errors="replace")).digest()
