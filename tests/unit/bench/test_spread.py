"""Figures of several rounds."""

import pytest

from holdfast.bench.spread import Spread, quantile, ratio, spread


def test_spread_is_the_median_with_the_least_and_the_greatest() -> None:
    """One slow round moves the limits, and not the figure."""
    assert spread([10.0, 1.0, 11.0, 12.0, 9.0]) == Spread(10.0, 1.0, 12.0)
    assert spread([4.0]) == Spread(4.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)], ids=["0", "50", "50.1", "99", "100"]
)
def test_quantile_is_the_nearest_rank(share: float, value: int) -> None:
    """A p99 of a hundred deliveries is the second longest."""
    assert quantile(range(1, 101), share) == value


def test_quantile_of_nothing_is_zero() -> None:
    """A round in which nothing arrived is judged, and must not end the run."""
    assert quantile([], 0.5) == 0.0


def test_ratio_compares_within_rounds() -> None:
    """A machine that was slower for one round was slower for both servers."""
    assert ratio([100.0, 10.0, 100.0], [50.0, 5.0, 50.0]) == 2.0


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], []), ([1.0], [0.0])], ids=["none", "one is missing", "zero"])
def test_ratio_without_a_counterpart_is_none(ours: list[float], theirs: list[float]) -> None:
    """A peer that cannot play a workload leaves its cell empty."""
    assert ratio(ours, theirs) is None
