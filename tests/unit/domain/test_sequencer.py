"""Messages come in any order and any number of times: each is shown once, in order, and every gap is fetched."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.sequencer import HOLE_PATIENCE_SECONDS, MAX_WAITING, Sequencer


def started(head: int = 0) -> Sequencer[int]:
    """A stream that runs."""
    sequencer: Sequencer[int] = Sequencer()
    sequencer.start(head, 0.0)
    return sequencer


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(0, 5))
def test_any_interleaving_gives_a_gapless_ascending_stream(offers: list[int], head: int) -> None:
    """Duplicated, reordered, with holes: what is released continues the head, and is everything that can be."""
    sequencer = started(head)
    shown = [seq for offer in offers for seq in sequencer.offer(offer, offer, 0.0)]
    assert shown == list(range(head + 1, head + 1 + len(shown)))
    assert sequencer.head == head + len(shown)
    assert sequencer.head + 1 not in offers


@given(st.permutations(list(range(1, 13))), st.lists(st.integers(1, 12), max_size=20))
def test_a_permutation_with_repetitions_is_shown_whole(order: list[int], extra: list[int]) -> None:
    """Nothing is lost by reordering, and nothing is pending at the end."""
    sequencer = started()
    shown = [seq for offer in [*order, *extra] for seq in sequencer.offer(offer, offer, 0.0)]
    assert shown == list(range(1, 13))
    assert sequencer.hole(1e9) is None


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(0, 12))
def test_what_came_before_the_head_was_known_is_kept_or_dropped_by_it(early: list[int], head: int) -> None:
    """Subscribe first, then read the head: nothing between the two may be lost or shown twice."""
    sequencer: Sequencer[int] = Sequencer()
    assert [seq for offer in early for seq in sequencer.offer(offer, offer, 0.0)] == []
    shown = sequencer.start(head, 0.0)
    assert shown == list(range(head + 1, head + 1 + len(shown)))
    assert head + len(shown) + 1 not in early


@given(st.lists(st.one_of(st.integers(1, 9), st.integers(-9, -1)), max_size=40))
def test_a_hole_is_known_as_long_as_something_is_missing(steps: list[int]) -> None:
    """Positive: an offer; negative: a hint of that tail. The hole is what lies before what waits, or up to the hint."""
    sequencer = started()
    waiting: set[int] = set()
    tail = 0
    for step in steps:
        if step > 0:
            sequencer.offer(step, step, 0.0)
            waiting.add(step)
        else:
            sequencer.hint(-step, 0.0)
        tail = max(tail, abs(step))
    assert sequencer.head is not None
    waiting = {seq for seq in waiting if seq > sequencer.head}
    hole = sequencer.hole(HOLE_PATIENCE_SECONDS)
    if sequencer.head >= tail:
        assert hole is None
    else:
        assert hole == (sequencer.head, min(waiting) - 1 if waiting else tail)


def test_a_hole_is_given_time_to_close_by_itself() -> None:
    """Envelopes of two instances cross: asking the store for each crossing would cost a read per message."""
    sequencer = started()
    sequencer.offer(2, 2, 10.0)
    assert sequencer.hole(10.0 + HOLE_PATIENCE_SECONDS / 2) is None
    assert sequencer.hole(10.0 + HOLE_PATIENCE_SECONDS) == (0, 1)
    assert sequencer.offer(1, 1, 10.1) == [1, 2]
    assert sequencer.hole(20.0) is None


def test_the_patience_begins_anew_with_each_step() -> None:
    """A stream that moves is not asked about."""
    sequencer = started()
    sequencer.offer(2, 2, 0.0)
    sequencer.offer(4, 4, 0.1)
    assert sequencer.offer(1, 1, 0.14) == [1, 2]
    assert sequencer.hole(0.2) is None
    assert sequencer.hole(0.3) == (2, 3)


def test_what_is_beyond_the_bound_is_dropped_and_fetched_again() -> None:
    """A flood of what cannot be shown yet must not fill the memory."""
    sequencer = started()
    for seq in range(2, MAX_WAITING + 10):
        assert sequencer.offer(seq, seq, 0.0) == []
    assert sequencer.offer(1, 1, 0.0) == list(range(1, MAX_WAITING + 2))
    assert sequencer.hole(1.0) == (MAX_WAITING + 1, MAX_WAITING + 9)


def test_a_false_claim_ends_when_the_store_knows_the_tail() -> None:
    """A hint of another store must not make us ask for ever."""
    sequencer = started(3)
    sequencer.hint(9, 0.0)
    sequencer.offer(8, 8, 0.0)
    claimed = sequencer.known_tail
    assert sequencer.hole(1.0) == (3, 7)
    sequencer.settle_tail(3, claimed)
    assert sequencer.hole(9.0) is None
    assert sequencer.offer(4, 4, 9.0) == [4]


def test_an_envelope_that_overtakes_the_answer_of_the_store_is_kept() -> None:
    """The store said 6, then 8 came and 7 did not yet: forgetting 8 would hide it until the next anti-entropy."""
    sequencer = started(4)
    sequencer.offer(6, 6, 0.0)
    claimed = sequencer.known_tail
    sequencer.offer(8, 8, 0.2)  # while the store was answering
    assert sequencer.offer(5, 5, 0.2) == [5, 6]
    sequencer.settle_tail(6, claimed)
    assert sequencer.hole(0.4) == (6, 7)
    assert sequencer.offer(7, 7, 0.4) == [7, 8]
