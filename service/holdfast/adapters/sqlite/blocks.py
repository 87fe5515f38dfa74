"""Which users block which, in SQLite. Synchronous functions of a connection: for the threads of `lanes`."""

import sqlite3
from collections.abc import Sequence

from holdfast.adapters.sqlite.calls import StorePart
from holdfast.domain.ids import UserId
from holdfast.domain.stored import is_text
from holdfast.errors import CommandError


def block(connection: sqlite3.Connection, user_id: UserId, blocked: UserId, max_blocks: int) -> CommandError | None:
    """See `ports.BlockStore.block`; the refusal is returned, because raising it would end the group's transaction."""
    known = blocks_of(connection, user_id)
    if blocked not in known and len(known) >= max_blocks:
        return CommandError("limit_reached", f"at most {max_blocks} blocked users", field="user_id")
    connection.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?)", (user_id, blocked))
    return None


def unblock(connection: sqlite3.Connection, user_id: UserId, blocked: UserId) -> None:
    """See `ports.BlockStore.unblock`."""
    connection.execute("DELETE FROM blocks WHERE user_id = ? AND blocked_id = ?", (user_id, blocked))


def blocks_of(connection: sqlite3.Connection, user_id: UserId) -> list[UserId]:
    """See `ports.BlockStore.blocks_of`."""
    rows = connection.execute("SELECT blocked_id FROM blocks WHERE user_id = ? ORDER BY blocked_id", (user_id,))
    return [UserId(blocked) for (blocked,) in rows if is_text(blocked)]


def blockers_of(connection: sqlite3.Connection, user_id: UserId, limit: int) -> list[UserId]:
    """See `ports.BlockStore.blockers_of`."""
    rows = connection.execute("SELECT user_id FROM blocks WHERE blocked_id = ? LIMIT ?", (user_id, limit))
    return [UserId(blocker) for (blocker,) in rows if is_text(blocker)]


def blockers_among(connection: sqlite3.Connection, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
    """See `ports.BlockStore.blockers_among`."""
    statement = "SELECT 1 FROM blocks WHERE user_id = ? AND blocked_id = ?"
    return {other for other in among if connection.execute(statement, (other, user_id)).fetchone() is not None}


class SqliteBlocks(StorePart):
    """Implements `ports.BlockStore`."""

    async def block(self, user_id: UserId, blocked: UserId, max_blocks: int) -> None:
        """See the port."""
        refusal = await self._calls.write(lambda c: block(c, user_id, blocked, max_blocks))
        if refusal is not None:
            raise refusal

    async def unblock(self, user_id: UserId, blocked: UserId) -> None:
        """See the port."""
        await self._calls.write(lambda c: unblock(c, user_id, blocked))

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        """See the port."""
        return await self._calls.read(lambda c: blocks_of(c, user_id))

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        """See the port."""
        return await self._calls.read(lambda c: blockers_of(c, user_id, limit))

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        """See the port."""
        return await self._calls.read(lambda c: blockers_among(c, user_id, among))
