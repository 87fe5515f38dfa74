"""The marks of unfinished commits and changes in Redis."""

from typing import Final, Protocol

MARK_SECONDS: Final = 0.1
"""How long a commit waits for Redis to confirm its mark: an ack may wait no longer."""


class Marks(Protocol):
    """Marks of what is not yet done with: another instance finds there what a dead one left (`domain/marks`).

    A mark is a hint, not the truth: without Redis there is none. None of the methods raises because of Redis.
    """

    @property
    def losses(self) -> int:
        """How many of this instance's commands to Redis have been lost since its start: each may have been a publication."""
        ...

    @property
    def connection(self) -> int:
        """The number of the connection to Redis on which marks are set; 0 while there is none, as far as is known.

        A mark that was set on another one may be missing: Redis may have been restarted, or replaced by a replica.
        """
        ...

    async def mark_dirty(self, *entries: str, within_seconds: float = MARK_SECONDS) -> bool:
        """Record these as not yet done with; whether Redis took them.

        Waits that long at most, and not at all while Redis is known to be away.
        """
        ...

    def clear_dirty(self, *entries: str) -> None:
        """Remove marks: one's own, or those whose owner is dead. Queued behind what was published before, like `Bus.publish`."""
        ...

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """Up to `limit` entries marked longer ago than that, by Redis's clock, oldest first; empty without Redis.

        Atomic: no other instance gets the same entries for the next `hold_seconds`. The entries stay until `clear_dirty`.
        """
        ...
