"""Room in users' lists of conversations: counted before a write, because Firestore's counts are not part of a transaction.

Where a list is nearly full, changes that need room in it go one by one at this instance, each counted after the one before it.
So the limit is exceeded by no more than one for each further instance that changes the same list at that moment. Far below the
limit nothing waits.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from holdfast.adapters.firestore.client import MAX_UNDER_WAY, Calls
from holdfast.domain.chunks import chunks
from holdfast.domain.conversations import Room
from holdfast.domain.ids import UserId
from holdfast.errors import StoreBusy
from holdfast.ports import within

_NEAR: Final = MAX_UNDER_WAY  # as many may be between their count and their write here
_COUNTS_AT_ONCE: Final = 50


class Rooms:
    """Lives in the loop. One lock for each user whose list is nearly full, while a change waits for it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._timeout_seconds = calls.timeout_seconds
        self._locks: dict[UserId, asyncio.Lock] = {}
        self._waiting: dict[UserId, int] = {}

    @asynccontextmanager
    async def taken(self, user_ids: Collection[UserId], creator: UserId, room: Room | None) -> AsyncIterator[None]:
        """Inside, each user has room for one more conversation that `creator` created.

        Raises:
            CommandError: `limit_reached`.
            StoreBusy: too many others change the same lists; nothing was written.
        """
        if room is None:
            yield
            return
        near = await self._near(user_ids, creator, room)
        async with self._locked(near):
            for user_id in near:
                if not await self._has_room(user_id, creator, room, besides=0):
                    raise room.refusal(is_own=user_id == creator)
            yield

    async def _near(self, user_ids: Collection[UserId], creator: UserId, room: Room) -> list[UserId]:
        """Those whose lists may be nearly full, by id: locks are taken in one order."""
        near: list[UserId] = []
        for some in chunks(sorted(user_ids), _COUNTS_AT_ONCE):
            looks = (self._has_room(user_id, creator, room, besides=_NEAR) for user_id in some)
            found = zip(some, await asyncio.gather(*looks), strict=True)
            near += [user_id for user_id, has_room in found if not has_room]
        return near

    async def _has_room(self, user_id: UserId, creator: UserId, room: Room, *, besides: int) -> bool:
        """Whether there is room for one, and `besides` more. Most users are in few conversations: one count answers then."""
        total = await self._calls.run(count_memberships(self._calls, user_id)) + besides
        if user_id == creator:
            return total < room.own or await self._created_by(user_id, user_id) + besides < room.own
        if total >= room.added and total - await self._created_by(user_id, user_id) >= room.added:
            return False
        return total < room.by_one or await self._created_by(user_id, creator) + besides < room.by_one

    async def _created_by(self, user_id: UserId, creator: UserId) -> int:
        return await self._calls.run(count_created_by(self._calls, user_id, creator))

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


async def count_memberships(calls: Calls, user_id: UserId) -> int:
    """How many conversations a user is in."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    ((result,),) = await query.count().get(**calls.unretried)
    return int(result.value)


async def count_created_by(calls: Calls, user_id: UserId, creator: UserId) -> int:
    """How many of the user's conversations `creator` created."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    ((result,),) = await query.where(filter=FieldFilter("createdBy", "==", creator)).count().get(**calls.unretried)
    return int(result.value)
