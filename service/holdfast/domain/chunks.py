"""A long sequence in parts, for calls that take a bounded number of things."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Its parts in order, each of `size` items, the last one perhaps shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
