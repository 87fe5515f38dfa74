"""Presence, bulletins and revocations in SQLite. Synchronous functions of a connection: for the threads of `lanes`."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

from holdfast.adapters.sqlite.calls import Calls, StorePart
from holdfast.adapters.sqlite.schema import note_damaged
from holdfast.domain.bulletins import Bulletin, BulletinVersion, StandingBulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId, UserId, run_id
from holdfast.domain.notifications import flagged_since
from holdfast.domain.presence import Presence, PresenceChange
from holdfast.domain.stored import Stored, is_number, is_text
from holdfast.errors import StoreConflict, Undecodable

_OF_READING: Final = frozenset(("run", "is_older", "version"))  # of a bulletin: what reading it fills in
_MAX_UNREPORTED: Final = 10_000  # far more than one deadline's worth of presence writes


def change(
    connection: sqlite3.Connection, entry: str, seen_at_ms: Mapping[UserId, int], *, is_present: bool
) -> list[PresenceChange]:
    """See `ports.PresenceStore.add_presence` and `remove_presence`; inside one transaction, so no precondition is needed."""
    changes = []
    for user_id, seen_ms in seen_at_ms.items():
        statement = (
            "INSERT OR IGNORE INTO present VALUES (?, ?)" if is_present else "DELETE FROM present WHERE user_id = ? AND entry = ?"
        )
        if connection.execute(statement, (user_id, entry)).rowcount == 0:
            continue  # it was so already
        online = bool(connection.execute("SELECT 1 FROM present WHERE user_id = ? LIMIT 1", (user_id,)).fetchone())
        row = connection.execute("SELECT is_online, catchup_since_ms FROM users WHERE id = ?", (user_id,)).fetchone()
        was_online, is_missing = bool(row and row[0]), bool(row and row[1] is not None)
        version, last_seen = connection.execute(
            "INSERT INTO users (id, is_online, last_seen_at_ms, version) VALUES (?, ?, ?, 1) "
            "ON CONFLICT DO UPDATE SET is_online = excluded.is_online, "
            "last_seen_at_ms = max(coalesce(last_seen_at_ms, 0), excluded.last_seen_at_ms), version = version + 1 "
            "RETURNING version, last_seen_at_ms",
            (user_id, online, 0 if is_present and (was_online or is_missing) else seen_ms),
        ).fetchone()
        seen = last_seen if is_number(last_seen) else seen_ms
        if was_online and not online:
            _flag(connection, user_id, seen)
        if was_online != online:
            changes.append(PresenceChange(user_id, online, version, seen))
    return changes


def read(connection: sqlite3.Connection, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
    """See `ports.PresenceStore.read_presence`."""
    found = {}
    for user_id in user_ids:
        row = connection.execute("SELECT is_online, last_seen_at_ms FROM users WHERE id = ?", (user_id,)).fetchone()
        entries = connection.execute("SELECT entry FROM present WHERE user_id = ?", (user_id,)).fetchall()
        on = tuple(entry for (entry,) in entries if is_text(entry))
        last_seen = row[1] if row and is_number(row[1]) else None
        found[user_id] = Presence(user_id, bool(row and row[0]), on, last_seen)
    return found


def users_on(connection: sqlite3.Connection, entry: str, limit: int, after: UserId | None) -> list[UserId]:
    """See `ports.PresenceStore.users_on`."""
    statement = "SELECT user_id FROM present WHERE entry = ? AND user_id > ? ORDER BY user_id LIMIT ?"
    found = connection.execute(statement, (entry, after or "", limit))
    return [UserId(user_id) for (user_id,) in found if is_text(user_id)]


def write_bulletin(connection: sqlite3.Connection, bulletin: Bulletin, now_ms: int) -> BulletinVersion:
    """See `ports.RunStore.write_bulletin`; inside one transaction."""
    standing = find_bulletin(connection, bulletin.key)
    if (standing.version if standing is not None else "") != bulletin.version:
        raise StoreConflict("the bulletin is of another version")
    version = _replace(connection, replace(bulletin, written_at_ms=now_ms))
    return BulletinVersion(version, now_ms)


def find_bulletin(connection: sqlite3.Connection, key: str) -> StandingBulletin | None:
    """See `ports.RunStore.find_bulletin`."""
    row = connection.execute("SELECT bulletin FROM instances WHERE id = ?", (key,)).fetchone()
    if row is None:
        return None
    try:
        found = _bulletin(*row)
    except Undecodable:
        return StandingBulletin(_version(row[0]), None, is_dead=False)
    return StandingBulletin(found.version, found.beat, found.is_dead, found.is_ended)


def read_bulletins(connection: sqlite3.Connection) -> list[Bulletin]:
    """See `ports.RunStore.read_bulletins`."""
    rows = connection.execute("SELECT bulletin FROM instances").fetchall()
    found = []
    for (text,) in rows:
        try:
            found.append(_bulletin(text))
        except Undecodable:
            note_damaged(connection, "bulletin")
    return found


def declare_dead(connection: sqlite3.Connection, bulletin: Bulletin) -> bool:
    """See `ports.RunStore.declare_dead`; inside one transaction."""
    standing = find_bulletin(connection, bulletin.key)
    if standing is None or standing.version != bulletin.version:
        return False
    _replace(connection, replace(bulletin, is_dead=True))
    return True


def remove_bulletin(connection: sqlite3.Connection, bulletin: Bulletin) -> None:
    """See `ports.RunStore.remove_bulletin`; inside one transaction."""
    standing = find_bulletin(connection, bulletin.key)
    if standing is not None and standing.version == bulletin.version:
        connection.execute("DELETE FROM instances WHERE id = ?", (bulletin.key,))


def _replace(connection: sqlite3.Connection, bulletin: Bulletin) -> str:
    """`instance_id` is the name of the row, as instances of an older version expect it; `name` is the instance's."""
    fields = asdict(bulletin) | {"instance_id": bulletin.key, "earlier": bulletin.stored_earlier}
    fields |= {} if bulletin.is_older else {"name": bulletin.instance_id}
    text = json.dumps({name: value for name, value in fields.items() if name not in _OF_READING})
    connection.execute("INSERT OR REPLACE INTO instances VALUES (?, ?, ?)", (bulletin.key, bulletin.epoch, text))
    return _version(text)


def _version(text: object) -> str:
    """Of a row: what stands in it."""
    return hashlib.sha256(str(text).encode(errors="replace")).hexdigest()


def revoke(connection: sqlite3.Connection, user_id: UserId, now_ms: int) -> int:
    """See `ports.RevocationStore.revoke`."""
    connection.execute(
        "INSERT INTO revoked VALUES (?, ?) ON CONFLICT DO UPDATE SET revoked_at_ms = max(revoked_at_ms, excluded.revoked_at_ms)",
        (user_id, now_ms),
    )
    (revoked_at_ms,) = connection.execute("SELECT revoked_at_ms FROM revoked WHERE user_id = ?", (user_id,)).fetchone()
    return revoked_at_ms if is_number(revoked_at_ms) else now_ms


def read_revocations(connection: sqlite3.Connection, since_ms: int) -> dict[UserId, int]:
    """See `ports.RevocationStore.read_revocations`."""
    rows = connection.execute("SELECT user_id, revoked_at_ms FROM revoked WHERE revoked_at_ms >= ?", (since_ms,))
    return {UserId(user_id): at_ms for user_id, at_ms in rows if is_text(user_id) and is_number(at_ms)}


def revoke_token(connection: sqlite3.Connection, name: str, ends_at_ms: int, now_ms: int) -> None:
    """See `ports.RevocationStore.revoke_token`. Expired entries are deleted on this occasion: there is no TTL policy."""
    connection.execute("DELETE FROM revoked_tokens WHERE ends_at_ms <= ?", (now_ms,))
    connection.execute("INSERT OR REPLACE INTO revoked_tokens VALUES (?, ?, ?)", (name, now_ms, ends_at_ms))


def read_revoked_tokens(connection: sqlite3.Connection, since_ms: int, limit: int) -> dict[str, int]:
    """See `ports.RevocationStore.read_revoked_tokens`."""
    rows = connection.execute(
        "SELECT name, ends_at_ms FROM revoked_tokens WHERE revoked_at_ms >= ? ORDER BY ends_at_ms DESC LIMIT ?", (since_ms, limit)
    )
    return {name: ends_at_ms for name, ends_at_ms in rows if is_text(name) and is_number(ends_at_ms)}


def _flag(connection: sqlite3.Connection, user_id: UserId, last_seen_at_ms: int) -> None:
    """A user went offline: what came since is to be looked through (`flagged_since`)."""
    (stored,) = connection.execute("SELECT catchup_since_ms FROM users WHERE id = ?", (user_id,)).fetchone()
    since_ms = flagged_since(stored if is_number(stored) else None, last_seen_at_ms)
    connection.execute("UPDATE users SET catchup_since_ms = ? WHERE id = ?", (since_ms, user_id))


def _bulletin(text: object) -> Bulletin:
    """A stored bulletin; another version's may have more fields, or fewer.

    Raises:
        Undecodable: it is not a bulletin.
    """
    try:
        stored = Stored(json.loads(text) if isinstance(text, str) else None)
    except (ValueError, RecursionError):
        raise Undecodable("no JSON") from None
    epoch, key, name = Epoch(stored.required_text("epoch")), stored.required_text("instance_id"), stored.of("name")
    is_older = not is_text(name) or not name
    run = run_id(InstanceId(key), epoch) if is_older else RunId(key)
    return Bulletin(
        instance_id=InstanceId(key if is_older else name),
        epoch=epoch,
        beat=stored.number("beat"),
        mode=stored.required_text("mode"),
        heads=stored.numbers("heads"),
        members=stored.numbers("members"),
        users=tuple(UserId(user_id) for user_id in stored.texts("users")),
        receipts=stored.numbers("receipts"),
        left=stored.numbers("left"),
        earlier={entry: alive_ms for entry, alive_ms in stored.numbers("earlier").items() if entry != run},
        overflow=stored.flag("overflow"),
        server=stored.text("server"),
        is_cut=stored.flag("is_cut"),
        is_out=stored.flag("is_out"),
        run=run,
        is_ended=stored.flag("is_ended"),
        beats=stored.flag("beats"),
        is_dead=stored.flag("is_dead"),
        is_older=is_older,
        version=_version(text),
        written_at_ms=stored.number("written_at_ms"),
    )


class SqlitePresence(StorePart):
    """Implements `ports.PresenceStore`."""

    def __init__(self, calls: Calls) -> None:
        """`calls`: shared with the other parts."""
        super().__init__(calls)
        self._unreported: dict[UserId, PresenceChange] = {}

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=True)

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=False)

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """See the port."""
        return await self._calls.read(lambda c: read(c, user_ids))

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        """See the port."""
        return await self._calls.read(lambda c: users_on(c, entry, limit, after))

    async def _change_presence(self, entry: str, seen_at_ms: Mapping[UserId, int], *, is_present: bool) -> list[PresenceChange]:
        """A change that landed after its caller had left is returned by the next call for that user, which finds it done."""
        changes = await self._calls.write(lambda c: change(c, entry, seen_at_ms, is_present=is_present), self._remember_late)
        late = [turn for user_id in seen_at_ms if (turn := self._unreported.pop(user_id, None)) is not None]
        told = {turn.user_id for turn in changes}
        return changes + [turn for turn in late if turn.user_id not in told and turn.online == is_present]

    def _remember_late(self, changes: list[PresenceChange]) -> None:
        self._unreported.update((change.user_id, change) for change in changes)
        while len(self._unreported) > _MAX_UNREPORTED:
            del self._unreported[next(iter(self._unreported))]


class SqliteRuns(StorePart):
    """Implements `ports.RunStore`."""

    async def write_bulletin(self, bulletin: Bulletin) -> BulletinVersion:
        """See the port."""
        return await self._calls.write(lambda c: write_bulletin(c, bulletin, self._calls.follow(c)))

    async def find_bulletin(self, run: RunId) -> StandingBulletin | None:
        """See the port."""
        return await self._calls.read(lambda c: find_bulletin(c, run))

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """See the port."""
        found = await self._calls.read(read_bulletins)
        return [bulletin for bulletin in found if bulletin.mode != "ok" or not only_unwell]

    async def declare_dead(self, bulletin: Bulletin) -> bool:
        """See the port."""
        return await self._calls.write(lambda c: declare_dead(c, bulletin))

    async def remove_bulletin(self, bulletin: Bulletin) -> None:
        """See the port."""
        await self._calls.write(lambda c: remove_bulletin(c, bulletin))


class SqliteRevocations(StorePart):
    """Implements `ports.RevocationStore`."""

    async def revoke(self, user_id: UserId) -> int:
        """See the port."""
        return await self._calls.write(lambda c: revoke(c, user_id, self._calls.now_ms(c)))

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        """See the port."""
        return await self._calls.read(lambda c: read_revocations(c, since_ms))

    async def revoke_token(self, name: str, ends_at_ms: int) -> None:
        """See the port."""
        await self._calls.write(lambda c: revoke_token(c, name, ends_at_ms, self._calls.now_ms(c)))

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        """See the port."""
        return await self._calls.read(lambda c: read_revoked_tokens(c, since_ms, limit))
