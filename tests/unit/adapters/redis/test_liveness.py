"""Whether the bus is live, and whether it is lost, on a clock of its own."""

from holdfast.adapters.redis.liveness import Liveness


def live_at(now: float) -> Liveness:
    liveness = Liveness()
    liveness.tick(now)
    liveness.restarted(now)
    liveness.restored(now)
    liveness.echoed(liveness.next_nonce(), now)
    assert liveness.turn(now) == (True, "")
    assert liveness.is_live(now)
    return liveness


def ticks(liveness: Liveness, *times: float) -> tuple[bool, str] | None:
    """The liveness at the last of these moments."""
    told = None
    for now in times:
        liveness.tick(now)
        told = liveness.turn(now)
    return told


def test_it_is_lost_until_the_first_echo() -> None:
    """A connection alone proves nothing."""
    liveness = Liveness()
    liveness.tick(0.0)
    liveness.restarted(0.0)
    liveness.restored(0.0)
    assert (liveness.is_lost, liveness.is_live(0.0), liveness.turn(0.0)) == (True, False, None)


def test_it_is_lost_until_what_was_wanted_is_confirmed_on_a_new_connection() -> None:
    """The echo comes first: it alone would make believe that everything is heard."""
    liveness = live_at(10.0)
    liveness.lost("the connection ended", 10.1)
    liveness.restarted(10.2)
    liveness.echoed(liveness.next_nonce(), 10.2)
    assert liveness.is_lost
    liveness.restored(10.3)
    assert liveness.is_live(10.3)


def test_a_second_and_a_half_without_a_byte_are_a_loss() -> None:
    """A hung Redis is found by silence only."""
    liveness = live_at(10.0)
    assert ticks(liveness, 10.4, 10.8, 11.2, 11.45) is None
    assert ticks(liveness, 11.5) == (False, "not a byte for 1.5 s")
    assert ticks(liveness, 11.75) is None


def test_bytes_without_an_echo_are_life_for_a_second_more() -> None:
    """The probe may wait behind what is published; but others' messages do not prove that ours go out."""
    liveness = live_at(10.0)
    told = []
    for tenth in range(1, 27):
        liveness.heard(10.0 + tenth / 10)
        told.append(ticks(liveness, 10.0 + tenth / 10))
    assert told[:24] == [None] * 24
    assert (False, "no echo for 2.5 s") in told[24:]


def test_after_a_failed_publish_only_a_later_probe_counts() -> None:
    """An echo that was under way when publishing failed proves nothing about now."""
    liveness = live_at(10.0)
    before = liveness.next_nonce()
    liveness.lost("publishing failed: reset", 10.1)
    liveness.lost("what followed from it", 10.1)
    assert liveness.turn(10.1) == (False, "publishing failed: reset")
    liveness.echoed(before, 10.2)
    assert liveness.is_lost
    liveness.echoed(liveness.next_nonce(), 10.3)
    assert liveness.turn(10.3) == (True, "")


def test_a_loop_that_is_busy_is_no_silence_of_redis() -> None:
    """Thousands of clients connect at once: of each turn of the loop only half a second counts, in which it could listen."""
    liveness = live_at(10.0)
    assert ticks(liveness, 10.9, 11.8) is None  # raw time: 1.8 s without a byte
    assert not liveness.is_lost
    assert ticks(liveness, 12.7) == (False, "not a byte for 1.5 s")  # but three turns of the loop without one are a loss


def test_after_a_stall_nothing_is_believed_until_the_next_echo_and_nobody_is_alarmed() -> None:
    """A process that was frozen must not believe what it knew; that Redis is lost does not follow from it."""
    liveness = live_at(10.0)
    before = liveness.next_nonce()
    assert not liveness.is_live(30.0)  # even before anything else runs
    assert ticks(liveness, 30.0) is None
    liveness.echoed(before, 30.1)
    assert (liveness.is_live(30.1), liveness.is_lost) == (False, False)
    liveness.echoed(liveness.next_nonce(), 30.2)
    assert liveness.is_live(30.2)


def test_channels_that_are_confirmed_bit_by_bit_keep_the_connection() -> None:
    """However long it takes in all: 3 s without any confirmation, not 3 s with something unconfirmed."""
    liveness = live_at(10.0)
    liveness.asked(10.0)
    for second in range(1, 60):
        liveness.echoed(liveness.next_nonce(), 10.0 + second)
        liveness.answered(10.0 + second, is_all=False)
        liveness.tick(10.0 + second)
        assert (liveness.is_lost, liveness.why_drop(10.0 + second)) == (False, "")


def test_a_subscribe_that_is_never_confirmed_ends_the_connection() -> None:
    """Echoes come on it, but what is asked for on it does not arrive."""
    liveness = live_at(10.0)
    liveness.asked(10.0)
    now = 10.0
    for _ in range(13):
        now += 0.25
        liveness.echoed(liveness.next_nonce(), now)
        liveness.tick(now)
    assert liveness.why_drop(now) == "no channel was confirmed for 3 s"
    liveness.answered(now, is_all=True)
    assert liveness.why_drop(now) == ""


def test_three_seconds_without_a_byte_end_the_connection() -> None:
    """Half open or hung: only a new one can heal that."""
    liveness = live_at(10.0)
    ticks(liveness, *(10.0 + quarter / 4 for quarter in range(13)))
    assert liveness.why_drop(13.0) == ""
    ticks(liveness, 13.25)
    assert liveness.why_drop(13.25) == "deaf: not a byte for 3 s"
