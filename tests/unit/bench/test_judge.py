"""Losses, duplicates and wrong orders that members of a room may see."""

from array import array
from collections.abc import Sequence

import pytest

from holdfast.bench.judge import Room, Verdict, judge, message

SENT = {0: 3, 1: 2}
ALL = [message(0, 0), message(1, 0), message(0, 1), message(1, 1), message(0, 2)]


def heard(*members: Sequence[int]) -> Verdict:
    """The verdict on one room."""
    return judge([Room(SENT, [array("I", each).tobytes() for each in members])])


def test_each_message_once_and_in_order_is_clean() -> None:
    """All members saw the same order."""
    verdict = heard(ALL, ALL, ALL)
    assert verdict == Verdict(orders=1)
    assert verdict.is_clean
    assert str(verdict) == "no loss, no duplicate, in order"


def test_lost_message_is_counted_for_each_member_that_misses_it() -> None:
    """The last one, too, and a member that heard nothing at all."""
    assert heard(ALL, ALL[:-1], ALL[:-1]).lost == 2
    assert heard(ALL, []).lost == len(ALL)
    assert not heard(ALL, ALL[1:]).is_clean


def test_second_delivery_is_a_duplicate() -> None:
    """Also where it comes much later, and it makes up for no loss."""
    assert heard([*ALL, ALL[0]]) == Verdict(doubled=1)
    assert heard([*ALL[:-1], ALL[0]]) == Verdict(lost=1, doubled=1)


def test_swapped_messages_of_one_sender_are_out_of_order() -> None:
    """Nothing is lost and nothing doubled."""
    swapped = [message(0, 1), message(0, 0), message(1, 0), message(1, 1), message(0, 2)]
    assert heard(ALL, swapped) == Verdict(disordered=1, orders=2)


def test_another_interleaving_of_senders_is_only_another_order() -> None:
    """Servers without one order for a room are told apart by `orders`."""
    other = sorted(ALL)
    verdict = heard(ALL, other, other)
    assert verdict == Verdict(orders=2)
    assert verdict.is_clean


@pytest.mark.parametrize("alien", [message(0, 3), message(2, 0)], ids=["number", "sender"])
def test_message_that_was_not_sent_to_the_room_is_foreign(alien: int) -> None:
    """A message of another room, or of an earlier round."""
    assert heard([*ALL, alien]) == Verdict(foreign=1)


def test_rooms_are_judged_on_their_own_and_counted_together() -> None:
    """A hundred conversations are one workload."""
    good = Room({0: 1}, [array("I", [message(0, 0)]).tobytes()])
    bad = Room({1: 1}, [b""])
    verdict = judge([good, bad, bad])
    assert verdict == Verdict(lost=2)
    assert str(verdict) == "2 lost"
