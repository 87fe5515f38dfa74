"""Which users block which: a blocked user may not add the other to a conversation, and neither is shown the other's presence.

Every decision reads the store, so a block counts at every instance from the next decision on; nothing is cached. Conversations
that both are in go on, and a third user may add both to one.
"""

import asyncio
from collections.abc import Sequence

from holdfast.domain import ids
from holdfast.domain.conversations import list_refused
from holdfast.domain.ids import UserId
from holdfast.errors import CommandError, InvalidRequest
from holdfast.node.requests.commands import Caller
from holdfast.ports import BlockStore


class Blocks:
    """What a user decides about others. Lives in the loop. Every method raises `CommandError` and `StoreUnavailable`."""

    def __init__(self, store: BlockStore, max_blocks: int) -> None:
        self._store = store
        self._max_blocks = max_blocks

    async def block(self, caller: Caller, user_id: str) -> None:
        """The caller blocks another user. Idempotent.

        Raises:
            CommandError: `invalid_request` for oneself, `limit_reached`.
        """
        blocked = ids.user_id(user_id)
        if blocked == caller.user_id:
            raise InvalidRequest("a user does not block themselves", field="user_id")
        await self._store.block(caller.user_id, blocked, self._max_blocks)

    async def unblock(self, caller: Caller, user_id: str) -> None:
        """The caller blocks that user no more. Idempotent."""
        await self._store.unblock(caller.user_id, ids.user_id(user_id))

    async def listed(self, caller: Caller) -> list[UserId]:
        """The users that the caller blocks, by id."""
        return await self._store.blocks_of(caller.user_id)

    async def refusal(self, caller: Caller, user_ids: Sequence[UserId]) -> CommandError | None:
        """What adding these users is refused with, if one of them blocks the caller. Administrators act for the operator.

        It is the refusal for a full list (`list_refused`).
        """
        others = [user_id for user_id in user_ids if user_id != caller.user_id]
        if caller.is_admin or not others or not await self._store.blockers_among(caller.user_id, others):
            return None
        return list_refused()

    async def is_between(self, one: UserId, other: UserId) -> bool:
        """Whether one of two users blocks the other."""
        found = await asyncio.gather(self._store.blockers_among(one, [other]), self._store.blockers_among(other, [one]))
        return any(found)
