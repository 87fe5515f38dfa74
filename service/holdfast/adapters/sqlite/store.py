"""The embedded store: one SQLite file, shared by the processes of one machine.

Same port, same contract suite as Firestore, with one difference: a process frozen while it holds SQLite's write lock stops the
writers of all others until it continues.
"""

import secrets

from holdfast.adapters.sqlite import schema
from holdfast.adapters.sqlite.blocks import SqliteBlocks
from holdfast.adapters.sqlite.calls import Calls
from holdfast.adapters.sqlite.conversations import SqliteConversations
from holdfast.adapters.sqlite.database import Database
from holdfast.adapters.sqlite.messages import SqliteCursors, SqliteMessages
from holdfast.adapters.sqlite.notifications import SqliteNotifications
from holdfast.adapters.sqlite.presence import SqlitePresence, SqliteRevocations, SqliteRuns
from holdfast.adapters.sqlite.stored_marks import SqliteMarks
from holdfast.ports import DependencyWatch, MachineClock


class SqliteStore(
    SqliteMessages,
    SqliteConversations,
    SqliteCursors,
    SqliteBlocks,
    SqlitePresence,
    SqliteNotifications,
    SqliteRuns,
    SqliteRevocations,
    SqliteMarks,
):
    """Implements `ports.Store`. Used from one event loop; `close` ends its two lanes."""

    name = "sqlite"

    def __init__(self, database: Database, clock: MachineClock, watch: DependencyWatch) -> None:
        """Opens nothing yet."""
        super().__init__(Calls(database, clock, watch))

    async def open(self, *, may_create: bool = True) -> None:
        """See the port."""
        await self._calls.open(may_create=may_create)
        if await self.generation():  # else the file is another program's
            await self._calls.write(self._calls.follow)

    async def close(self) -> None:
        """End both lanes."""
        await self._calls.close()

    async def generation(self) -> str:
        """See the port; asked of the writer, because a locked or full file still answers reads.

        A file of which the path was taken away, or given to another file, has none: what is written there is lost.
        """
        return await self._calls.write(schema.generation)

    async def renew(self, expected: str | None = None) -> str:
        """See the port."""
        return await self._calls.write(lambda c: schema.renew(c, secrets.token_hex(8), expected))
