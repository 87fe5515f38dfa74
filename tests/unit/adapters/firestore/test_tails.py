"""Finding a conversation's end by asking for documents by name."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.firestore.tails import _Search

CREATED = datetime(2026, 1, 31, tzinfo=UTC)
TAILS = st.integers(0, 300) | st.integers(0, 10**11)


def search(known: int, tail: int) -> tuple[int | None, int, int]:
    """(what it found, rounds, reads)."""
    searching, rounds, reads = _Search(known), 0, 0
    while not searching.is_over:
        probes = searching.probes()
        assert probes, "it would ask for nothing for ever"
        assert all(0 < seq < 10**12 for seq in probes), "no document has such a name"
        searching.learn({seq: CREATED if seq <= tail else None for seq in probes})
        rounds += 1
        reads += len(probes)
        assert rounds < 50
    return searching.low, rounds, reads


@given(known=TAILS, tail=TAILS)
def test_it_finds_the_end_from_anywhere(known: int, tail: int) -> None:
    """A belief may be right, behind, or far beyond the end of a restored store."""
    assert search(known, tail)[0] == tail


@given(tail=TAILS)
def test_a_right_belief_costs_one_round_and_two_reads(tail: int) -> None:
    """That is the usual case, with thousands of conversations in one call."""
    _, rounds, reads = search(tail, tail)
    assert rounds == 1
    assert reads == (2 if tail else 1)


@given(known=st.integers(1, 10**11), grown=st.integers(1, 100))
def test_a_little_growth_costs_little(known: int, grown: int) -> None:
    """What a conversation gains while a client is away for a moment: documents that do not exist are paid for too."""
    _, rounds, reads = search(known, known + grown)
    assert rounds <= 4
    assert reads <= 2 + 8 + 64


@given(tails=st.lists(st.integers(0, 1_000), min_size=2, max_size=20), known=st.integers(0, 1_000))
def test_growth_during_the_search_does_no_harm(tails: list[int], known: int) -> None:
    """The answer lies between the ends before and after it."""
    growing = sorted(tails)
    searching, round_number = _Search(known), 0
    while not searching.is_over:
        tail = growing[min(round_number, len(growing) - 1)]
        searching.learn({seq: CREATED if seq <= tail else None for seq in searching.probes()})
        round_number += 1
        assert round_number < 50
    assert searching.low is not None
    assert growing[0] <= searching.low <= growing[-1]
