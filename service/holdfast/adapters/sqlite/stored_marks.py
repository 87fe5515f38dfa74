"""Marks of unfinished commits in SQLite. Synchronous functions of a connection: for the threads of `lanes`.

The table is created beside those of layout 4: instances of an older version open the file, and leave the table alone.
"""

import sqlite3
from collections.abc import Sequence

from holdfast.adapters.sqlite.calls import StorePart
from holdfast.adapters.sqlite.rows import marks
from holdfast.adapters.sqlite.schema import note_damaged
from holdfast.domain.marks import MarkPage, StoredMark, decoded
from holdfast.domain.stored import Stored
from holdfast.errors import Undecodable


def put(connection: sqlite3.Connection, mark: StoredMark) -> None:
    """Part of an append's transaction."""
    row = (mark.mark_id, mark.conversation_id, mark.first, mark.last)
    connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", row)


def page(connection: sqlite3.Connection, owner: str, after: str, limit: int) -> MarkPage:
    """See `ports.MarkStore.read_marks`."""
    lower, upper = (max(after, f"{owner}~"), f"{owner}~~") if owner else (after, "\U0010ffff")
    rows = connection.execute(
        "SELECT id, conversation_id, first_seq, last_seq FROM marks "
        "WHERE id > ? AND id < ? AND typeof(id) = 'text' ORDER BY id LIMIT ?",
        (lower, upper, limit),
    ).fetchall()
    found = MarkPage(last=rows[-1][0] if len(rows) == limit else "")
    for mark_id, conversation_id, first, last in rows:
        try:
            found.marks.append(decoded(mark_id, Stored({"c": conversation_id, "first": first, "last": last})))
        except Undecodable:
            note_damaged(connection, "mark")
            found.damaged.append(mark_id)
    return found


def remove(connection: sqlite3.Connection, mark_ids: Sequence[str]) -> None:
    """See `ports.MarkStore.remove_marks`."""
    connection.execute(f"DELETE FROM marks WHERE id IN ({marks(len(mark_ids))})", tuple(mark_ids))  # noqa: S608 - marks of ours


class SqliteMarks(StorePart):
    """Implements `ports.MarkStore`."""

    async def read_marks(self, owner: str, after: str, limit: int) -> MarkPage:
        """See the port."""
        return await self._calls.read(lambda c: page(c, owner, after, limit))

    async def remove_marks(self, mark_ids: Sequence[str]) -> None:
        """See the port."""
        await self._calls.write(lambda c: remove(c, mark_ids))
