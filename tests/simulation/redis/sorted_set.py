"""A sorted set: members by (score, bytes). No I/O."""

from bisect import bisect_left, bisect_right, insort


class Bound:
    """One end of a range of scores: `5`, `(5`, `-inf`."""

    __slots__ = ("is_exclusive", "score")

    def __init__(self, score: float, *, is_exclusive: bool) -> None:
        self.score = score
        self.is_exclusive = is_exclusive


class SortedSet:
    """Members with their scores. Ranges are lists of (score, member), lowest first."""

    __slots__ = ("_order", "_scores")

    def __init__(self) -> None:
        self._scores: dict[bytes, float] = {}
        self._order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._order)

    def copy(self) -> "SortedSet":
        """Another one with the same members."""
        other = SortedSet()
        other._scores, other._order = self._scores.copy(), self._order.copy()
        return other

    def score(self, member: bytes) -> float | None:
        """None for what is no member."""
        return self._scores.get(member)

    def put(self, member: bytes, score: float) -> None:
        """Add it, or change its score."""
        before = self._scores.get(member)
        if before == score:
            return
        if before is not None:
            self._take(before, member)
        self._scores[member] = score
        insort(self._order, (score, member))

    def remove(self, member: bytes) -> bool:
        """Whether it was there."""
        score = self._scores.pop(member, None)
        if score is None:
            return False
        self._take(score, member)
        return True

    def by_rank(self, first: int, last: int) -> list[tuple[float, bytes]]:
        """Ranks count from 0, or backwards from -1; both ends belong to the range."""
        start, end = slice_of(first, last, len(self._order))
        return self._order[start:end]

    def by_score(self, low: Bound, high: Bound) -> list[tuple[float, bytes]]:
        """Those between the bounds."""
        order = self._order
        start = bisect_right(order, low.score, key=_score) if low.is_exclusive else bisect_left(order, low.score, key=_score)
        end = bisect_left(order, high.score, key=_score) if high.is_exclusive else bisect_right(order, high.score, key=_score)
        return order[start:end]

    def _take(self, score: float, member: bytes) -> None:
        del self._order[bisect_left(self._order, (score, member))]


def _score(entry: tuple[float, bytes]) -> float:
    return entry[0]


def slice_of(first: int, last: int, length: int) -> tuple[int, int]:
    """The half-open slice that Redis means by two ranks."""
    start = max(0, first + length) if first < 0 else first
    end = last + length if last < 0 else last
    return start, max(start, min(end + 1, length))
