"""Values read back from the store, where any program with access may have written."""

from holdfast.domain.stored import Stored


def test_numbers_of_a_map_have_the_same_order_however_they_are_read() -> None:
    """Protobuf's maps have another one in each process: what an instance does first must not depend on it."""
    one = Stored({"heads": {"b": 2, "a": 1, "c": 3}}).numbers("heads")
    other = Stored({"heads": {"c": 3, "b": 2, "a": 1}}).numbers("heads")
    assert list(one.items()) == list(other.items()) == [("a", 1), ("b", 2), ("c", 3)]


def test_numbers_of_a_damaged_map_are_those_that_are_some() -> None:
    """Names that are no text and values that are no numbers are left out, and reported as damaged."""
    stored = Stored({"heads": {"b": 2, 5: 1, "c": "x", "a": 0}})
    assert stored.numbers("heads") == {"a": 0, "b": 2}
    assert stored.is_damaged
