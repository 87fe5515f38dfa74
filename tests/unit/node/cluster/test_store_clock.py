"""What the store's stamps say of the time, and of the wall clock of this instance."""

import pytest

from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock
from support.fakes import ShiftedClock


@pytest.mark.parametrize("ahead_seconds", [-3600.0, -15.0, 0.0, 3600.0])
def test_stamp_of_the_store_replaces_the_wall_clock(ahead_seconds: float) -> None:
    """Whatever the wall clock says, moments before and after the stamp are told in the store's time."""
    clock = ShiftedClock(ahead_seconds)
    time = StoreClock(clock)
    assert not time.is_known
    assert time.now_ms() == clock.now_ms(), "until the first stamp"
    time.note(500_000, clock.monotonic())
    clock.now += 2
    assert time.is_known
    assert 501_990 <= time.now_ms() <= 502_000
    assert 498_990 <= time.at(clock.monotonic() - 3) <= 499_000


@pytest.mark.parametrize(("ahead_seconds", "is_skewed"), [(-15.0, True), (-4.0, False), (0.0, False), (4.0, False), (60.0, True)])
def test_stamp_of_the_store_tells_the_skew(ahead_seconds: float, *, is_skewed: bool) -> None:
    """A wrong wall clock is visible to operators; a slow answer of the store does not look like one."""
    clock = ShiftedClock(ahead_seconds)
    time = StoreClock(clock)
    time.note(1_000_000, clock.monotonic())
    assert (time.is_skewed, round(time.skew_seconds)) == (is_skewed, ahead_seconds)


def test_clock_that_is_set_right_is_not_skewed_after_the_next_stamp() -> None:
    """NTP mends a clock while the instance runs: no restart is needed."""
    clock = ShiftedClock(-15.0)
    time = StoreClock(clock)
    time.note(1_000_000, clock.monotonic())
    clock.ahead_seconds = 0.0
    clock.now += 3
    time.note(1_003_000, clock.monotonic())
    assert not time.is_skewed


@pytest.mark.parametrize("step_seconds", [-20.0, 20.0])
def test_time_is_not_known_between_a_step_of_a_clock_and_the_next_stamp(step_seconds: float) -> None:
    """A machine that was suspended, or whose clock was set: which of its two clocks is right is not known here."""
    clock = ShiftedClock(0.0)
    time = StoreClock(clock)
    time.note(1_000_000, clock.monotonic())
    clock.ahead_seconds += step_seconds
    assert not time.is_known
    time.note(1_000_000 + round(step_seconds * 1000), clock.monotonic())
    assert time.is_known


def test_slow_answer_makes_nothing_less_exact() -> None:
    """A moment that is told too early by the time of a slow answer would hide, or tell again, what came within that time."""
    clock = ShiftedClock(0.0)
    time = StoreClock(clock)
    began = clock.monotonic()
    time.note(1_000_000, began)
    clock.now += 5
    time.note(1_003_000, clock.monotonic())  # stamped 2 s before the answer came
    assert 1_004_990 <= time.now_ms() <= 1_005_000
    assert abs(time.skew_seconds) < 0.1


def test_store_whose_clock_was_set_back_is_believed() -> None:
    """No call takes as long as the step."""
    clock = ShiftedClock(0.0)
    time = StoreClock(clock)
    time.note(1_000_000, clock.monotonic())
    clock.now += 3
    time.note(900_000, clock.monotonic())
    assert 899_990 <= time.now_ms() <= 900_000


def test_moments_of_another_instance_are_told_on_our_clock() -> None:
    """The stamp of one instance and the clock of another differ by less than the answers of the store took."""
    here, there = ShiftedClock(0.0), ShiftedClock(-3_600.0)
    here.now, there.now = 5_000.0, 77.0  # monotonic clocks have nothing in common
    ours, theirs = StoreClock(here), StoreClock(there)
    ours.note(1_000_000, here.now + 0.010)  # each answer took 10 ms and 30 ms
    theirs.note(1_000_000, there.now + 0.030)
    (stamp, none) = theirs.stamps([there.now - 2.0, None])
    assert none == UNKNOWN
    (moment, unknown) = ours.moments([stamp, UNKNOWN])
    assert unknown is None
    assert moment is not None
    assert abs(moment - (here.now - 2.0)) <= 0.035


def test_before_the_first_stamp_nothing_is_told() -> None:
    """Neither to others nor of others."""
    time = StoreClock(ShiftedClock(0.0))
    assert (time.stamps([1.0]), time.moments([1_000_000])) == ([UNKNOWN], [None])
