"""The shortest list of faults with which a seed still fails in the same way."""

from collections.abc import Callable, Sequence
from typing import Final

from simulation.faults import Fault

_MOST_PLAYS: Final = 24


def shortest(faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], plays: int = _MOST_PLAYS) -> tuple[Fault, ...]:
    """Leave out halves, quarters, … and single faults as long as it still fails. `fails` plays the run with these faults.

    `plays`: at most so many are made; the faults that are left then are the answer.
    """
    kept, size = tuple(faults), max(1, len(faults) // 2)
    if not kept:
        return kept
    if fails(()):
        return ()
    plays -= 1
    while True:
        start, was_shortened = 0, False
        while start < len(kept) and len(kept) > 1:
            if plays <= 0:
                return kept
            plays -= 1
            without = kept[:start] + kept[start + size :]
            if without and fails(without):
                kept, was_shortened = without, True
            else:
                start += size
        if size == 1 and not was_shortened:
            return kept
        size = max(1, size // 2) if not was_shortened else min(size, max(1, len(kept) // 2))
