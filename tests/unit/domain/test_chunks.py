"""Long sequences in parts: all items, in order, none twice."""

import pytest

from holdfast.domain.chunks import chunks


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (6, [3, 3]), (7, [3, 3, 1])])
def test_parts_are_bounded_and_together_the_whole(count: int, sizes: list[int]) -> None:
    """A call to the store that gets too many items is refused; an item that is left out is lost."""
    items = list(range(count))
    parts = list(chunks(items, 3))
    assert [len(part) for part in parts] == sizes
    assert [item for part in parts for item in part] == items
