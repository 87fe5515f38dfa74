"""Offline notifications in SQLite. Synchronous functions of a connection: for the threads of `lanes`.

Times are the store's own (`store_time`). `claim` names the holder of a record: an answer that comes after the hold, or for a
record that was made anew meanwhile, changes nothing.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.adapters.sqlite.calls import Calls, StorePart
from holdfast.adapters.sqlite.rows import MESSAGE_COLUMNS, message
from holdfast.adapters.sqlite.schema import note_damaged
from holdfast.domain.ids import MAX_SEQ, ConversationId, Seq, UserId
from holdfast.domain.messages import Committed
from holdfast.domain.notifications import CatchUp, Claims, Notification, PushOutcome
from holdfast.domain.stored import Stored, is_number, is_text
from holdfast.errors import Undecodable

RECORDS_LIVE_MS: Final = 7 * 24 * 3600 * 1000  # as long as a repeated send is recognized, and as Firestore keeps them

_COLUMNS: Final = "id, user_id, conversation_id, seq, sender, preview, created_at_ms, attempts"
_NAMES: Final = tuple(_COLUMNS.split(", "))


def active_since(connection: sqlite3.Connection, since_ms: int, known: Iterable[ConversationId]) -> dict[ConversationId, Seq]:
    """See `ports.MessageStore.active_since`."""
    tails = {conversation_id: messages_since(connection, conversation_id, since_ms, 1, None) for conversation_id in known}
    return {conversation_id: found[0].message.seq for conversation_id, found in tails.items() if found}


def messages_since(
    connection: sqlite3.Connection, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None
) -> list[Committed]:
    """See `ports.MessageStore.messages_since`. A message of a layout without its commit's time was stamped by its instance."""
    rows = connection.execute(
        f"SELECT * FROM (SELECT {MESSAGE_COLUMNS}, coalesce(committed_at_ms, sent_at_ms) AS at_ms FROM messages "  # noqa: S608 - column names of ours
        "WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?) WHERE at_ms >= ? ORDER BY seq",
        (conversation_id, before_seq if before_seq is not None else MAX_SEQ + 1, limit, since_ms),
    )
    return [Committed(message(connection, row), at_ms if is_number(at_ms) else since_ms) for *row, at_ms in rows]


def catch_ups(connection: sqlite3.Connection, limit: int) -> list[CatchUp]:
    """See `ports.NotificationStore.catch_ups`."""
    rows = connection.execute(
        "SELECT id, catchup_since_ms FROM users WHERE catchup_since_ms IS NOT NULL ORDER BY catchup_since_ms LIMIT ?", (limit,)
    )
    return [CatchUp(UserId(user_id), since_ms) for user_id, since_ms in rows if is_text(user_id) and is_number(since_ms)]


def finish_catch_up(connection: sqlite3.Connection, done: CatchUp) -> None:
    """See `ports.NotificationStore.finish_catch_up`."""
    connection.execute(
        "UPDATE users SET catchup_since_ms = NULL WHERE id = ? AND catchup_since_ms = ?", (done.user_id, done.since_ms)
    )


def create(connection: sqlite3.Connection, records: Sequence[Notification], now_ms: int) -> list[Notification]:
    """See `ports.NotificationStore.create_notifications`; expired records are deleted on the way."""
    connection.execute("DELETE FROM notifications WHERE expires_at_ms <= ?", (now_ms,))
    return [record for record in records if _insert(connection, record, now_ms)]


def recorded(connection: sqlite3.Connection, notification_ids: Sequence[str]) -> set[str]:
    """See `ports.NotificationStore.recorded`."""
    query = "SELECT 1 FROM notifications WHERE id = ?"
    return {each for each in notification_ids if connection.execute(query, (each,)).fetchone() is not None}


def claim(connection: sqlite3.Connection, claim_id: str, limit: int, hold_ms: int, now_ms: int) -> list[Notification]:
    """See `ports.NotificationStore.claim_notifications`."""
    due = connection.execute(
        "SELECT id FROM notifications WHERE state = 'pending' AND due_at_ms <= ? ORDER BY due_at_ms, id LIMIT ?", (now_ms, limit)
    ).fetchall()
    connection.executemany(
        "UPDATE notifications SET due_at_ms = ?, attempts = attempts + 1, claim = ? WHERE id = ?",
        [(now_ms + hold_ms, claim_id, each) for (each,) in due],
    )
    query = f"SELECT {_COLUMNS} FROM notifications WHERE id = ?"  # noqa: S608 - column names of ours
    records = []
    for row in due:
        stored = Stored(dict(zip(_NAMES, connection.execute(query, row).fetchone(), strict=True)))
        try:
            records.append(_record(stored))
        except Undecodable:  # it cannot be pushed, and must not stand before all others for ever
            connection.execute("UPDATE notifications SET state = 'dead', claim = NULL WHERE id = ?", row)
            stored.is_damaged = True
        if stored.is_damaged:
            note_damaged(connection, "notification")
    return records


def _record(stored: Stored) -> Notification:
    return Notification(
        notification_id=stored.required_text("id"),
        user_id=UserId(stored.required_text("user_id")),
        conversation_id=ConversationId(stored.required_text("conversation_id")),
        seq=stored.number("seq"),
        sender=UserId(stored.text("sender")),
        preview=stored.text("preview"),
        created_at_ms=stored.number("created_at_ms"),
        attempts=stored.number("attempts"),
    )


def mark(connection: sqlite3.Connection, held: Sequence[tuple[PushOutcome, str]], now_ms: int) -> None:
    """See `ports.NotificationStore.mark_notifications`; `held`: each with its claim."""
    connection.executemany(
        "UPDATE notifications SET state = ?, due_at_ms = ?, claim = NULL WHERE id = ? AND claim = ?",
        [(each.state, now_ms + round(each.retry_in_seconds * 1000), each.notification_id, claim) for each, claim in held],
    )


def clear(connection: sqlite3.Connection, notification_id: str) -> None:
    """See `ports.NotificationStore.clear_notification`."""
    connection.execute("DELETE FROM notifications WHERE id = ?", (notification_id,))


def _insert(connection: sqlite3.Connection, record: Notification, now_ms: int) -> bool:
    values = (
        record.notification_id,
        record.user_id,
        record.conversation_id,
        record.seq,
        record.sender,
        record.preview,
        record.created_at_ms,
        record.attempts,
    )
    return (
        connection.execute(
            f"INSERT OR IGNORE INTO notifications ({_COLUMNS}, state, due_at_ms, expires_at_ms) "  # noqa: S608 - column names of ours
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
            (*values, now_ms, now_ms + RECORDS_LIVE_MS),
        ).rowcount
        > 0
    )


class SqliteNotifications(StorePart):
    """Implements `ports.NotificationStore`."""

    def __init__(self, calls: Calls) -> None:
        """`calls`: shared with the other parts."""
        super().__init__(calls)
        self._claims: Claims[str] = Claims()

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """See the port."""
        return await self._calls.read(lambda c: catch_ups(c, limit))

    async def finish_catch_up(self, done: CatchUp) -> None:
        """See the port."""
        await self._calls.write(lambda c: finish_catch_up(c, done))

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """See the port."""
        return await self._calls.write(lambda c: create(c, records, self._calls.now_ms(c)))

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """See the port."""
        return await self._calls.read(lambda c: recorded(c, notification_ids))

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """See the port."""
        claim_id, hold_ms = secrets.token_hex(8), round(hold_seconds * 1000)
        claimed = await self._calls.write(lambda c: claim(c, claim_id, limit, hold_ms, self._calls.now_ms(c)))
        self._claims.hold([record.notification_id for record in claimed], claim_id)
        return claimed

    async def mark_notifications(self, outcomes: Sequence[PushOutcome]) -> None:
        """See the port."""
        held = [(each, claim) for each in outcomes if (claim := self._claims.of(each.notification_id)) is not None]
        if held:
            await self._calls.write(lambda c: mark(c, held, self._calls.now_ms(c)))
        for each, claim in held:
            self._claims.end(each.notification_id, claim)

    async def clear_notification(self, notification_id: str) -> None:
        """See the port."""
        await self._calls.write(lambda c: clear(c, notification_id))
