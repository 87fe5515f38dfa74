"""Which users block which, in Firestore: one document for each user who blocks others, `blocks/{user_id}`."""

from collections.abc import Sequence

from google.cloud.firestore_v1 import ArrayRemove, ArrayUnion
from google.cloud.firestore_v1.base_query import FieldFilter

from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.part import StorePart
from holdfast.adapters.firestore.reads import get_many
from holdfast.domain.ids import UserId
from holdfast.domain.stored import Stored
from holdfast.errors import CommandError


async def block(calls: Calls, user_id: UserId, blocked: UserId, max_blocks: int) -> CommandError | None:
    """See `ports.BlockStore.block`; the refusal is returned: it is no answer of the store's."""
    known = await blocks_of(calls, user_id)
    if blocked in known:
        return None
    if len(known) >= max_blocks:
        return CommandError("limit_reached", f"at most {max_blocks} blocked users", field="user_id")
    await calls.client.document("blocks", user_id).set({"users": ArrayUnion([blocked])}, merge=True, **calls.unretried)
    return None


async def unblock(calls: Calls, user_id: UserId, blocked: UserId) -> None:
    """See `ports.BlockStore.unblock`."""
    if blocked in await blocks_of(calls, user_id):
        await calls.client.document("blocks", user_id).set({"users": ArrayRemove([blocked])}, merge=True, **calls.unretried)


async def blocks_of(calls: Calls, user_id: UserId) -> list[UserId]:
    """See `ports.BlockStore.blocks_of`."""
    snapshot = await calls.client.document("blocks", user_id).get(**calls.unretried)
    found = calls.read("block", [snapshot] if snapshot.exists else [], lambda _, stored: _users(stored))
    return sorted(found[0]) if found else []


async def blockers_of(calls: Calls, user_id: UserId, limit: int) -> list[UserId]:
    """See `ports.BlockStore.blockers_of`."""
    query = calls.client.collection("blocks").where(filter=FieldFilter("users", "array_contains", user_id))
    return [UserId(snapshot.id) for snapshot in await query.select(()).limit(limit).get(**calls.unretried)]


async def blockers_among(calls: Calls, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
    """See `ports.BlockStore.blockers_among`."""
    found = await get_many(calls, [calls.client.document("blocks", other) for other in among])
    return {
        other
        for other, users in calls.read("block", found.values(), lambda name, stored: (UserId(name), _users(stored)))
        if user_id in users
    }


def _users(stored: Stored) -> list[UserId]:
    return [UserId(user_id) for user_id in stored.texts("users")]


class FirestoreBlocks(StorePart):
    """Implements `ports.BlockStore`."""

    async def block(self, user_id: UserId, blocked: UserId, max_blocks: int) -> None:
        """See the port."""
        refusal = await self._calls.run(block(self._calls, user_id, blocked, max_blocks))
        if refusal is not None:
            raise refusal

    async def unblock(self, user_id: UserId, blocked: UserId) -> None:
        """See the port."""
        await self._calls.run(unblock(self._calls, user_id, blocked))

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        """See the port."""
        return await self._calls.run(blocks_of(self._calls, user_id))

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        """See the port."""
        return await self._calls.run(blockers_of(self._calls, user_id, limit))

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        """See the port."""
        return await self._calls.run(blockers_among(self._calls, user_id, among))
