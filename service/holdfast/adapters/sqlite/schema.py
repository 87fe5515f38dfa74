"""Tables of the embedded store. Created by whichever process comes first; `user_version` says which layout a file has."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Final

from holdfast.errors import StoreDenied

VERSION: Final = 4

_CHANGES: Final = {
    1: "ALTER TABLE users ADD COLUMN catchup_since_ms INTEGER",
    2: "ALTER TABLE members ADD COLUMN joined_seq INTEGER NOT NULL DEFAULT 0",
    3: "ALTER TABLE messages ADD COLUMN committed_at_ms INTEGER",
}
"""The steps from each older layout to the next one; tables that are new altogether are created afterwards."""

_STATEMENTS: Final = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, members_version INTEGER NOT NULL, revision INTEGER NOT NULL, title TEXT, metadata_json TEXT,
    created_by TEXT NOT NULL, created_at_ms INTEGER NOT NULL, digest TEXT NOT NULL, last_seq INTEGER NOT NULL DEFAULT 0,
    last_sender TEXT, last_body TEXT, last_sent_at_ms INTEGER, last_active_at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    conversation_id TEXT NOT NULL, user_id TEXT NOT NULL, position INTEGER NOT NULL, joined_seq INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, user_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_by_user ON members (user_id);
CREATE TABLE IF NOT EXISTS messages (
    conversation_id TEXT NOT NULL, seq INTEGER NOT NULL, sender TEXT NOT NULL, client_message_id TEXT NOT NULL,
    body TEXT NOT NULL, metadata_json TEXT, sent_at_ms INTEGER NOT NULL, committed_at_ms INTEGER,
    PRIMARY KEY (conversation_id, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sends (
    conversation_id TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL, PRIMARY KEY (conversation_id, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS read_by (
    conversation_id TEXT NOT NULL, seq INTEGER NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (conversation_id, seq, user_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (
    conversation_id TEXT NOT NULL, user_id TEXT NOT NULL, last_read_seq INTEGER NOT NULL, PRIMARY KEY (conversation_id, user_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS users (
    id TEXT PRIMARY KEY, is_online INTEGER NOT NULL, last_seen_at_ms INTEGER, version INTEGER NOT NULL, catchup_since_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS users_to_catch_up ON users (catchup_since_ms) WHERE catchup_since_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS notifications (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, conversation_id TEXT NOT NULL, seq INTEGER NOT NULL, sender TEXT NOT NULL,
    preview TEXT NOT NULL, created_at_ms INTEGER NOT NULL, state TEXT NOT NULL, due_at_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL, claim TEXT, expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (due_at_ms) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS notifications_expiring ON notifications (expires_at_ms);
CREATE TABLE IF NOT EXISTS present (
    user_id TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (user_id, entry)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS present_by_entry ON present (entry);
CREATE TABLE IF NOT EXISTS instances (id TEXT PRIMARY KEY, epoch TEXT NOT NULL, bulletin TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revocations (user_id TEXT PRIMARY KEY, not_before INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked (user_id TEXT PRIMARY KEY, revoked_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS revoked_by_time ON revoked (revoked_at_ms);
INSERT OR IGNORE INTO revoked SELECT user_id, (not_before - 1) * 1000 FROM revocations;
CREATE TABLE IF NOT EXISTS revoked_tokens (
    name TEXT PRIMARY KEY, revoked_at_ms INTEGER NOT NULL, ends_at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS revoked_tokens_by_time ON revoked_tokens (revoked_at_ms);
CREATE INDEX IF NOT EXISTS revoked_tokens_ending ON revoked_tokens (ends_at_ms);
CREATE TABLE IF NOT EXISTS blocks (
    user_id TEXT NOT NULL, blocked_id TEXT NOT NULL, PRIMARY KEY (user_id, blocked_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blocks_by_blocked ON blocks (blocked_id);
CREATE TABLE IF NOT EXISTS marks (
    id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Connection(sqlite3.Connection):
    """Counts damaged values that were read on it, by source, until the counts are taken; knows which file it opened."""

    def __init__(self, path: str, *arguments: Any, **named: Any) -> None:
        super().__init__(path, *arguments, **named)
        self.damaged: Counter[str] = Counter()
        self._path = path
        self._file = _file_at(path)

    @property
    def is_moved(self) -> bool:
        """Whether the path now leads to another file, or to none; SQLite itself does not notice in WAL mode."""
        return _file_at(self._path) != self._file


def note_damaged(connection: sqlite3.Connection, source: str) -> None:
    """A value of that source is none of ours."""
    if isinstance(connection, Connection):
        connection.damaged[source] += 1


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _text(raw: bytes) -> str:
    """SQLite keeps any bytes in a text column; with its own reader one that is no UTF-8 would make the whole query fail."""
    return raw.decode(errors="replace")


def connect(path: str, timeout_seconds: float) -> sqlite3.Connection:
    """A connection for one thread; it waits at most `timeout_seconds` for other processes' locks.

    `synchronous=FULL`: an acknowledged message survives a power failure. Group commit makes the flush one per transaction,
    not one per message.
    """
    connection = sqlite3.connect(path, timeout=timeout_seconds, isolation_level=None, check_same_thread=False, factory=Connection)
    connection.text_factory = _text
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA busy_timeout = {int(timeout_seconds * 1000)}")
    return connection


def create(connection: sqlite3.Connection, generation: str) -> None:
    """Create what is missing and bring an older layout up, atomically; of several processes one does it.

    Raises:
        StoreDenied: the file has a newer layout.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        _bring_up(connection)
        for statement in _STATEMENTS.split(";"):
            connection.execute(statement)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('generation', ?)", (generation,))
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def generation(connection: sqlite3.Connection) -> str:
    """The id of this store; "" where the file is not at its path any more, or has none."""
    if isinstance(connection, Connection) and connection.is_moved:
        return ""
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return ""
    return "" if row is None else str(row[0])


def renew(connection: sqlite3.Connection, new: str, expected: str | None) -> str:
    """Replace the id of this store, or only that one; inside one transaction. The id that is there then."""
    if expected is not None and (found := generation(connection)) != expected:
        return found
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (new,))
    return new


def _bring_up(connection: sqlite3.Connection) -> None:
    """Read inside the transaction: of two processes that start together, the second finds it done."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreDenied(f"the file has layout {version}, this service knows {VERSION}")
    for older in range(version or VERSION, VERSION):  # 0: a new file
        connection.execute(_CHANGES[older])
