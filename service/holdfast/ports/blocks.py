"""The blocks between users, as the node asks the store for them."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.domain.ids import UserId


class BlockStore(Protocol):
    """Which users block which.

    What every method promises and raises: see `Store`.
    """

    async def block(self, user_id: UserId, blocked: UserId, max_blocks: int) -> None:
        """`user_id` blocks `blocked`. Idempotent.

        Raises:
            CommandError: `limit_reached` when the user blocks `max_blocks` others already.
        """
        ...

    async def unblock(self, user_id: UserId, blocked: UserId) -> None:
        """`user_id` blocks `blocked` no more. Idempotent."""
        ...

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        """The users that `user_id` blocks, by id."""
        ...

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        """Up to `limit` users that block `user_id`, in any order."""
        ...

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        """Which of `among` (≤ 1,000) block `user_id`."""
        ...
