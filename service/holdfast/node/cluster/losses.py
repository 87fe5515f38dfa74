"""Writes of this instance that are missing in Redis. Until the other instances are told, Redis may not be believed."""

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.ports import RosterCache


class Losses:
    """Lives in the event loop. Told by the beginning of a new era, after which nothing older in Redis is believed anywhere."""

    def __init__(self, cache: RosterCache) -> None:
        self._cache = cache
        self._uncertain_writes = 0
        self._told = (0, 0)  # losses and uncertain writes before which the era began
        self._unmarked = 0

    @property
    def are_untold(self) -> bool:
        """Something that this instance wrote is missing in Redis, and the other instances do not know yet."""
        return self._unmarked > 0 or self.count != self._told

    @property
    def are_over(self) -> bool:
        """Nothing is being changed now without a mark in Redis."""
        return not self._unmarked

    def note_uncertain_write(self) -> None:
        """Something that a process under the name of this instance wrote may be missing."""
        self._uncertain_writes += 1

    @contextmanager
    def unmarked(self) -> Iterator[None]:
        """Meanwhile something is changed of which no mark in Redis tells; when that is over, a new era begins."""
        self._unmarked += 1
        self.note_uncertain_write()
        try:
            yield
        finally:
            self._unmarked -= 1
            self.note_uncertain_write()

    async def tell(self) -> None:
        """Begin a new era.

        Raises:
            RedisUnavailable: it could not be begun; the losses stay untold.
        """
        before = self.count
        await self._cache.new_era()
        self._told = before

    @property
    def count(self) -> tuple[int, int]:
        """Another one after each loss, which may be told before anything looked at `are_untold`."""
        return self._cache.losses, self._uncertain_writes
