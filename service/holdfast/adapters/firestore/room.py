"""Room in users' lists of conversations: counted before a write, because Firestore's counts are not part of a transaction.

Where a list is nearly full, changes that need room in it go one by one at this instance, each counted after the one before it.
So the limit is exceeded by no more than one for each further instance that changes the same list at that moment. Far below the
limit nothing waits.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from holdfast.adapters.firestore import conversations
from holdfast.adapters.firestore.client import MAX_UNDER_WAY, Calls
from holdfast.domain.conversations import Room
from holdfast.domain.ids import UserId
from holdfast.errors import StoreBusy
from holdfast.ports import within

_NEAR: Final = MAX_UNDER_WAY  # as many may be between their count and their write here
_COUNTS_AT_ONCE: Final = 50


class Rooms:
    """Lives in the loop. One lock for each user whose list is nearly full, while a change waits for it."""

    def __init__(self, calls: Calls, timeout_seconds: float) -> None:
        self._calls = calls
        self._timeout_seconds = timeout_seconds
        self._locks: dict[UserId, asyncio.Lock] = {}
        self._waiting: dict[UserId, int] = {}

    @asynccontextmanager
    async def taken(self, needs: Mapping[UserId, bool], room: Room | None) -> AsyncIterator[None]:
        """Inside, each user has room for one more conversation; `needs`: user -> whether it is one of the user's own.

        Raises:
            CommandError: `limit_reached`.
            StoreBusy: too many others change the same lists; nothing was written.
        """
        if room is None:
            yield
            return
        near = await self._near(needs, room)
        async with self._locked(near):
            for user_id in near:
                is_own = needs[user_id]
                count = await self._calls.run(conversations.count_of_kind(self._calls, user_id, is_own=is_own))
                if count >= room.limit(is_own=is_own):
                    raise room.refusal(is_own=is_own)
            yield

    async def _near(self, needs: Mapping[UserId, bool], room: Room) -> list[UserId]:
        """Those whose lists may be nearly full, by id: locks are taken in one order."""
        near: list[UserId] = []
        user_ids = sorted(needs)
        for start in range(0, len(user_ids), _COUNTS_AT_ONCE):
            some = user_ids[start : start + _COUNTS_AT_ONCE]
            counting = (self._calls.run(conversations.count_memberships(self._calls, user_id)) for user_id in some)
            totals = zip(some, await asyncio.gather(*counting), strict=True)
            near += [user_id for user_id, total in totals if total + _NEAR >= room.limit(is_own=needs[user_id])]
        return near

    @asynccontextmanager
    async def _locked(self, user_ids: Collection[UserId]) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                async with within(self._timeout_seconds):
                    for user_id in user_ids:
                        await stack.enter_async_context(self._lock(user_id))
            except TimeoutError:
                raise StoreBusy("many others change the same lists of conversations") from None
            yield

    @asynccontextmanager
    async def _lock(self, user_id: UserId) -> AsyncIterator[None]:
        self._waiting[user_id] = self._waiting.get(user_id, 0) + 1
        try:
            async with self._locks.setdefault(user_id, asyncio.Lock()):
                yield
        finally:
            self._waiting[user_id] -= 1
            if not self._waiting[user_id]:
                del self._waiting[user_id], self._locks[user_id]
