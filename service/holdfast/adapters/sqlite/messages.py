"""Messages, sends and read cursors in SQLite. Synchronous functions of a connection: for the threads of `lanes`."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.adapters.sqlite import notifications, stored_marks
from holdfast.adapters.sqlite.calls import StorePart
from holdfast.adapters.sqlite.rows import MESSAGE_COLUMNS, marks, message, tail
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Committed, Draft, Message, Settlement, StoredSend
from holdfast.domain.stored import is_number, is_text
from holdfast.errors import PredecessorMissing, StoreConflict

SENDS_LIVE_MS: Final = 7 * 24 * 3600 * 1000  # how long a repeated send is recognized


def append(
    connection: sqlite3.Connection,
    conversation_id: ConversationId,
    first_seq: Seq,
    drafts: Sequence[Draft],
    sent_at_ms: int,
    now_ms: int,
) -> None:
    """See `ports.MessageStore.append`. `now_ms`: the store's time, inside the transaction."""
    _require_predecessor(connection, conversation_id, first_seq)
    expires_at_ms = now_ms + SENDS_LIVE_MS
    try:
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (conversation_id, seq, d.sender, d.client_message_id, d.body, d.metadata_json, sent_at_ms, now_ms)
                for seq, d in enumerate(drafts, first_seq)
            ],
        )
    except sqlite3.IntegrityError as error:
        raise StoreConflict(str(error)) from None
    written = connection.executemany(
        "INSERT INTO sends VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET seq = excluded.seq, digest = excluded.digest, expires_at_ms = excluded.expires_at_ms WHERE expires_at_ms <= ?",
        [(conversation_id, d.key, seq, d.digest, expires_at_ms, now_ms) for seq, d in enumerate(drafts, first_seq)],
    )
    if written.rowcount < len(drafts):
        raise StoreConflict("a send with one of these keys is stored")


def _require_predecessor(connection: sqlite3.Connection, conversation_id: ConversationId, first_seq: Seq) -> None:
    """Inside the append's transaction, which holds the write lock: what is there now is there at the commit."""
    if first_seq > 1:
        query = "SELECT 1 FROM messages WHERE conversation_id = :conversation AND seq = :previous"
    else:
        query = "SELECT 1 FROM conversations WHERE id = :conversation"
    if connection.execute(query, {"conversation": conversation_id, "previous": first_seq - 1}).fetchone() is None:
        raise PredecessorMissing(f"nothing that message {first_seq} could follow")


def settle(connection: sqlite3.Connection, conversation_id: ConversationId, keys: Sequence[str], now_ms: int) -> Settlement:
    """See `ports.MessageStore.settle`; one read transaction, so keys and tail are of one moment."""
    connection.execute("BEGIN")
    try:
        columns = ", ".join(f"m.{column.strip()}" for column in MESSAGE_COLUMNS.split(","))
        rows = connection.execute(
            f"SELECT s.key, s.digest, {columns} FROM sends s JOIN messages m "  # noqa: S608 - column names and marks of ours
            "ON m.conversation_id = s.conversation_id AND m.seq = s.seq "
            f"WHERE s.conversation_id = ? AND s.key IN ({marks(len(keys))}) AND s.expires_at_ms > ?",
            (conversation_id, *keys, now_ms),
        ).fetchall()
        sends = {key: StoredSend(message(connection, row), digest) for key, digest, *row in rows}
        return Settlement(tail(connection, conversation_id), sends)
    finally:
        connection.execute("COMMIT")


def heads(connection: sqlite3.Connection, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
    """See `ports.MessageStore.heads`."""
    return {conversation_id: tail(connection, conversation_id) for conversation_id in known}


def page(
    connection: sqlite3.Connection, conversation_id: ConversationId, after_seq: Seq | None, before_seq: Seq | None, limit: int
) -> list[Message]:
    """See `ports.MessageStore.read_messages`."""
    order = "DESC" if after_seq is None else "ASC"
    rows = connection.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation_id = ? AND seq > ? AND seq < ? "  # noqa: S608 - names of ours
        f"ORDER BY seq {order} LIMIT ?",
        (conversation_id, after_seq or 0, before_seq if before_seq is not None else 1 << 62, limit),
    ).fetchall()
    found = [message(connection, row) for row in rows]
    return found if after_seq is not None else found[::-1]


def advance_cursors(
    connection: sqlite3.Connection,
    conversation_id: ConversationId,
    cursors: Mapping[UserId, Seq],
    read_by: Mapping[Seq, Sequence[UserId]],
) -> dict[UserId, Seq]:
    """See `ports.CursorStore.advance_cursors`."""
    committed: dict[UserId, Seq] = {}
    end = tail(connection, conversation_id)
    for user_id, seq in ((user_id, seq) for user_id, seq in cursors.items() if seq <= end):
        (committed[user_id],) = connection.execute(
            "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET last_read_seq = max(last_read_seq, excluded.last_read_seq) RETURNING last_read_seq",
            (conversation_id, user_id, seq),
        ).fetchone()
    connection.executemany(
        "INSERT OR IGNORE INTO read_by SELECT conversation_id, seq, ? FROM messages WHERE conversation_id = ? AND seq = ?",
        [(user_id, conversation_id, seq) for seq, readers in read_by.items() for user_id in readers],
    )
    return committed


def read_cursors(connection: sqlite3.Connection, conversation_id: ConversationId) -> dict[UserId, Seq]:
    """See `ports.CursorStore.read_cursors`."""
    rows = connection.execute("SELECT user_id, last_read_seq FROM cursors WHERE conversation_id = ?", (conversation_id,))
    return {UserId(user_id): seq for user_id, seq in rows if is_text(user_id) and is_number(seq)}


def cursors_of(
    connection: sqlite3.Connection, user_id: UserId, conversation_ids: Sequence[ConversationId]
) -> dict[ConversationId, Seq]:
    """See `ports.CursorStore.cursors_of`."""
    cursors = {}
    for conversation_id in conversation_ids:
        row = connection.execute(
            "SELECT last_read_seq FROM cursors WHERE conversation_id = ? AND user_id = ?", (conversation_id, user_id)
        ).fetchone()
        if row is not None and is_number(row[0]):
            cursors[conversation_id] = row[0]
    return cursors


class SqliteMessages(StorePart):
    """Implements `ports.MessageStore`."""

    async def append(
        self,
        conversation_id: ConversationId,
        first_seq: Seq,
        drafts: Sequence[Draft],
        sent_at_ms: int,
        mark: StoredMark | None = None,
    ) -> None:
        """See the port."""

        def write(connection: sqlite3.Connection) -> None:
            append(connection, conversation_id, first_seq, drafts, sent_at_ms, self._calls.now_ms(connection))
            if mark is not None:
                stored_marks.put(connection, mark)

        await self._calls.write(write)

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """See the port."""
        return await self._calls.read(lambda c: settle(c, conversation_id, keys, self._calls.now_ms(c)))

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.read(lambda c: heads(c, known))

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """See the port."""
        return await self._calls.read(lambda c: page(c, conversation_id, after_seq, before_seq, limit))

    async def active_since(self, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.read(lambda c: notifications.active_since(c, since_ms, known))

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        """See the port."""
        return await self._calls.read(lambda c: notifications.messages_since(c, conversation_id, since_ms, limit, before_seq))


class SqliteCursors(StorePart):
    """Implements `ports.CursorStore`."""

    async def advance_cursors(
        self, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], read_by: Mapping[Seq, Sequence[UserId]]
    ) -> dict[UserId, Seq]:
        """See the port."""
        return await self._calls.write(lambda c: advance_cursors(c, conversation_id, cursors, read_by))

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """See the port."""
        return await self._calls.read(lambda c: read_cursors(c, conversation_id))

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.read(lambda c: cursors_of(c, user_id, conversation_ids))
