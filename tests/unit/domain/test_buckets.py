"""How often an action may happen: the average, the burst, and callers that keep trying."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.buckets import MAX_KEYS, TokenBucket, TokenBuckets


@given(st.lists(st.floats(0, 2), max_size=80), st.floats(0.5, 20), st.integers(1, 10))
def test_never_more_than_the_burst_and_the_rate(gaps: list[float], rate: float, burst: int) -> None:
    """Over any span: what passed is at most the burst and what the rate gave meanwhile."""
    now = 0.0
    bucket = TokenBucket(rate, burst, now)
    passed = 0
    for gap in gaps:
        now += gap
        passed += bucket.take(now) == 0
        assert passed <= burst + rate * now + 1e-6


def test_the_burst_at_once_and_then_the_rate() -> None:
    """A refused caller is told when to come back, and is served then."""
    bucket = TokenBucket(2, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0, 0, 0]
    debt = bucket.take(0.0)
    assert debt == 0.5
    assert bucket.is_in_debt
    assert bucket.take(2 * debt) == 0
    assert not bucket.is_in_debt


def test_who_keeps_knocking_stays_refused_but_not_for_ever() -> None:
    """The debt has a floor of two bursts, so a flood that ended is forgiven in bounded time."""
    bucket = TokenBucket(1, 5, 0.0)
    for _ in range(1_000):
        bucket.take(0.0)
    assert bucket.is_deep_in_debt
    assert bucket.take(5.0) > 0
    assert not TokenBucket(1, 5, 0.0).is_deep_in_debt
    assert bucket.take(20.0) == 0


def test_charge_for_what_was_done_delays_later_attempts_for_a_bounded_time() -> None:
    """A large answer is made first and charged then; its debt has the same floor as that of refused attempts."""
    bucket = TokenBucket(2, 10, 0.0)
    bucket.charge(13, 0.0)
    assert bucket.take(0.0) == 2.0
    assert bucket.take(3.0) == 0
    bucket.charge(1_000, 3.0)
    assert bucket.take(3.0 + 21 / 2) == 0


def test_a_rate_of_zero_limits_nothing() -> None:
    """Benches and drills switch it off."""
    bucket = TokenBucket(0, 1, 0.0)
    bucket.charge(1_000, 0.0)
    assert not any(bucket.take(0.0) for _ in range(100))
    assert not bucket.is_in_debt
    assert not bucket.is_deep_in_debt


def test_each_of_many_has_its_own_and_the_longest_unused_is_forgotten() -> None:
    """The memory for users is bounded."""
    buckets: TokenBuckets[str] = TokenBuckets(10, 1)
    assert buckets.take("ann", 0.0) == 0
    assert buckets.take("ann", 0.0) > 0
    assert buckets.take("ben", 0.0) == 0
    for number in range(MAX_KEYS - 1):
        buckets.take(f"user-{number}", 0.0)
    assert buckets.take("ben", 0.0) > 0
    assert buckets.take("ann", 0.0) == 0


def test_several_tokens_are_spent_at_once_or_not_at_all() -> None:
    """A refused call costs nothing, and the time that it is told is enough."""
    bucket = TokenBucket(2, 10, 0.0)
    assert bucket.spend(8, 0.0) == 0
    wait = bucket.spend(6, 0.0)
    assert wait == 2.0
    assert bucket.spend(6, 1.9) > 0
    assert bucket.spend(6, wait) == 0
    bucket.give_back(6)
    assert bucket.spend(6, wait) == 0


def test_a_full_bucket_is_enough_for_more_than_the_burst() -> None:
    """A call larger than the burst would otherwise be refused for ever; the rate is paid afterwards."""
    buckets: TokenBuckets[str] = TokenBuckets(1, 5)
    assert buckets.spend("ann", 20, 0.0) == 0
    assert buckets.spend("ann", 1, 0.0) == 16.0
    assert buckets.spend("ann", 1, 16.0) == 0
    assert buckets.spend("ben", 0, 0.0) == 0
    assert TokenBuckets[str](0, 1).spend("ann", 20, 0.0) == 0
