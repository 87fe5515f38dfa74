"""Dicts with a bound: the newest keys stay."""

from holdfast.domain.bounded import BoundedDict


def test_oldest_key_makes_room_for_a_new_one() -> None:
    """What an instance remembers of millions of users must fit into its memory."""
    known = BoundedDict[str, int](2)
    known["a"], known["b"], known["c"] = 1, 2, 3
    assert dict(known) == {"b": 2, "c": 3}


def test_key_that_is_set_again_is_the_newest() -> None:
    """A busy conversation must not be forgotten for one that was seen once."""
    known = BoundedDict[str, int](2)
    known["a"], known["b"] = 1, 2
    known["a"] = 3
    known.setdefault("c", 4)
    assert dict(known) == {"a": 3, "c": 4}
