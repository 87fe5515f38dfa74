"""The marks of unfinished commits in the store, as the node asks the store for them. `MessageStore.append` writes them."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.domain.marks import MarkPage


class MarkStore(Protocol):
    """Marks of commits of which Redis confirmed none.

    What every method promises and raises: see `Store`.
    """

    async def read_marks(self, owner: str, after: str, limit: int) -> MarkPage:
        """Up to `limit` marks after the id `after` (empty: from the first), in the order of their ids.

        Of one owner, which `is_owner` accepts; of all where it is empty.
        """
        ...

    async def remove_marks(self, mark_ids: Sequence[str]) -> None:
        """Remove up to 200 marks. Idempotent."""
        ...
