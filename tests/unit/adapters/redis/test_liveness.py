"""Whether the bus is live, on a clock of its own."""

from holdfast.adapters.redis.liveness import Liveness


def live_at(now: float) -> Liveness:
    liveness = Liveness()
    liveness.restarted(now)
    liveness.complete()
    liveness.echoed(liveness.next_nonce(), now)
    assert liveness.turn(now) == (True, "")
    return liveness


def test_it_is_not_live_before_the_first_echo() -> None:
    """A connection alone proves nothing."""
    liveness = Liveness()
    liveness.restarted(0.0)
    liveness.complete()
    assert not liveness.is_live(0.0)
    assert liveness.turn(0.0) is None


def test_an_echo_is_good_for_a_second_and_a_half() -> None:
    """One missed probe is enough to say so."""
    liveness = live_at(10.0)
    assert liveness.is_live(11.4)
    assert not liveness.is_live(11.5)
    assert liveness.turn(11.5) == (False, "no echo for 1.5 s")
    assert liveness.turn(11.6) is None


def test_after_a_failed_publish_only_a_later_probe_counts() -> None:
    """An echo that was under way when publishing failed says nothing about now."""
    liveness = live_at(10.0)
    before = liveness.next_nonce()
    liveness.lost("publishing failed: reset")
    liveness.lost("what followed from it")
    assert liveness.turn(10.1) == (False, "publishing failed: reset")
    liveness.echoed(before, 10.2)
    assert not liveness.is_live(10.2)
    liveness.echoed(liveness.next_nonce(), 10.3)
    assert liveness.turn(10.3) == (True, "")


def test_subscribing_costs_liveness_only_when_it_does_not_end() -> None:
    """A second is what `subscribe` waits; a new connection counts from nothing."""
    liveness = live_at(10.0)
    liveness.wanting(10.2)
    liveness.wanting(10.9)
    assert liveness.is_live(11.1)
    liveness.echoed(liveness.next_nonce(), 11.2)
    assert liveness.turn(11.2) == (False, "subscriptions are not confirmed")
    liveness.complete()
    assert liveness.is_live(11.2)
    liveness.restarted(11.3)
    assert not liveness.is_live(11.3)
