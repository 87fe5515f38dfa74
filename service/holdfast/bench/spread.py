"""Figures of several rounds as one, and quantiles. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The same figure from several rounds: its median, and the least and the greatest of them."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more."""
    return Spread(statistics.median(values), min(values), max(values))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that at least `share` of the sorted values do not exceed (nearest rank); 0 where there is none."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * round(share * 10_000) // 10_000)  # rounded up
    return ordered[max(0, rank - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median of the ratios of single rounds; None where a round lacks one of both, or theirs is 0.

    Both were measured one after the other in a round: a machine that is slower for a while is so for both.
    """
    if not ours or len(ours) != len(theirs) or not all(theirs):
        return None
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
