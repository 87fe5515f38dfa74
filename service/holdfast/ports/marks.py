"""The unfinished commits, marked in Redis until they are published."""

from typing import Protocol


class Marks(Protocol):
    """Marks of commits that are not yet published: another instance finds there what a dead one left.

    A mark is a hint, not the truth: without Redis there is none. None of the methods raises because of Redis.
    """

    async def mark_dirty(self, *entries: str, within_seconds: float = 0.1) -> bool:
        """Record `conversation|instance|epoch|batch` (or `user:{id}|…`) as not yet done with; whether Redis took it.

        Waits that long at most, and not at all while Redis is known to be away. The default is what an ack may wait.
        """
        ...

    def clear_dirty(self, *entries: str) -> None:
        """Remove marks: one's own, or those whose owner is dead."""
        ...

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """Up to `limit` entries marked longer ago than that, by Redis's clock, oldest first; empty without Redis.

        Atomic: no other instance gets the same entries for the next `hold_seconds`. The entries stay until `clear_dirty`.
        """
        ...
