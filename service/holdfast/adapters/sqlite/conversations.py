"""Conversations and their members in SQLite. Synchronous functions of a connection: for the threads of `lanes`."""

import sqlite3
from collections.abc import Sequence

from holdfast.adapters.sqlite import rows
from holdfast.adapters.sqlite.calls import StorePart
from holdfast.adapters.sqlite.rows import conversation
from holdfast.adapters.sqlite.schema import note_damaged
from holdfast.domain.conversations import (
    Conversation,
    LastMessage,
    MemberChange,
    MembersChanged,
    Membership,
    NewConversation,
    PageKey,
    Room,
    with_changes,
)
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.stored import is_number, is_text
from holdfast.errors import CommandError, StoreConflict


def create(connection: sqlite3.Connection, new: NewConversation, room: Room | None) -> tuple[Conversation, bool] | CommandError:
    """See `ports.ConversationStore.create_conversation`; a refusal is returned: raising it would end the group's transaction."""
    stored = conversation(connection, new.conversation_id)
    if stored is not None:
        return stored, False
    for user_id in new.members:
        if room is not None and not _has_room(connection, user_id, room, new.created_by):
            return room.refusal(is_own=user_id == new.created_by)
    connection.execute(
        "INSERT INTO conversations (id, members_version, revision, title, metadata_json, created_by, created_at_ms, digest, "
        "last_active_at_ms) VALUES (?, 1, 1, ?, ?, ?, ?, ?, ?)",
        (
            new.conversation_id,
            new.title,
            new.metadata_json,
            new.created_by,
            new.created_at_ms,
            new.digest,
            new.created_at_ms,
        ),
    )
    connection.executemany(
        "INSERT INTO members VALUES (?, ?, ?, 0)", [(new.conversation_id, user, at) for at, user in enumerate(new.members)]
    )
    return _reread(connection, new.conversation_id), True


def update(
    connection: sqlite3.Connection,
    conversation_id: ConversationId,
    title: str | None,
    metadata_json: str | None,
    keeps: frozenset[str],
) -> Conversation | None:
    """See `ports.ConversationStore.update_conversation`."""
    connection.execute(
        "UPDATE conversations SET title = iif(:keeps_title, title, :title), "
        "metadata_json = iif(:keeps_metadata, metadata_json, :metadata), revision = revision + 1 "
        "WHERE id = :id AND (title IS NOT iif(:keeps_title, title, :title) "
        "OR metadata_json IS NOT iif(:keeps_metadata, metadata_json, :metadata))",
        {
            "id": conversation_id,
            "title": title,
            "metadata": metadata_json,
            "keeps_title": "title" in keeps,
            "keeps_metadata": "metadata" in keeps,
        },
    )
    return conversation(connection, conversation_id)


def change_members(
    connection: sqlite3.Connection,
    conversation_id: ConversationId,
    changes: Sequence[MemberChange],
    max_members: int,
    room: Room | None,
) -> MembersChanged | CommandError | None:
    """See `ports.ConversationStore.change_members`; a refusal is returned: raising it would end the group's transaction."""
    stored = conversation(connection, conversation_id)
    if stored is None:
        return None
    try:
        _, made = with_changes(stored.members, changes, max_members)
    except CommandError as refusal:
        return refusal
    for each in made:
        if each.is_member and room is not None and not _has_room(connection, each.user_id, room, stored.created_by):
            return room.refusal(is_own=each.user_id == stored.created_by)
    for each in made:
        _change_member(connection, conversation_id, each)
    connection.execute(
        "UPDATE conversations SET members_version = members_version + ?, revision = revision + ? WHERE id = ?",
        (len(made), len(made), conversation_id),
    )
    revisions = {each.user_id: number for number, each in enumerate(made, stored.revision + 1)}
    return MembersChanged(_reread(connection, conversation_id), revisions)


def _change_member(connection: sqlite3.Connection, conversation_id: ConversationId, change: MemberChange) -> None:
    if not change.is_member:
        connection.execute("DELETE FROM members WHERE conversation_id = ? AND user_id = ?", (conversation_id, change.user_id))
        return
    connection.execute(
        "INSERT INTO members SELECT ?, ?, 1 + max(position), ? FROM (SELECT position FROM members WHERE conversation_id = ? "
        "UNION ALL SELECT -1)",
        (conversation_id, change.user_id, change.joined_seq, conversation_id),
    )


def memberships_of(connection: sqlite3.Connection, user_id: UserId) -> list[Membership]:
    """See `ports.ConversationStore.memberships_of`."""
    rows = connection.execute(
        "SELECT c.id, c.members_version, c.revision, c.last_seq, c.last_active_at_ms, "
        "(SELECT count(*) FROM members n WHERE n.conversation_id = c.id), m.joined_seq "
        "FROM members m JOIN conversations c ON c.id = m.conversation_id WHERE m.user_id = ? "
        "ORDER BY c.last_active_at_ms DESC, c.id DESC LIMIT 11000",
        (user_id,),
    )
    found = []
    for conversation_id, *numbers in rows:
        if is_text(conversation_id) and all(map(is_number, numbers)):
            found.append(Membership(ConversationId(conversation_id), *numbers))
        else:
            note_damaged(connection, "conversation")
    return found


def count_memberships(connection: sqlite3.Connection, user_id: UserId) -> int:
    """How many conversations a user is in."""
    (count,) = connection.execute("SELECT count(*) FROM members WHERE user_id = ?", (user_id,)).fetchone()
    return int(count)


def _has_room(connection: sqlite3.Connection, user_id: UserId, room: Room, creator: UserId) -> bool:
    """Whether the user may be in one more that `creator` created. Most users are in few altogether: one index is read then."""
    total = count_memberships(connection, user_id)
    if user_id == creator:
        return total < room.own or _created_by(connection, user_id, user_id) < room.own
    has_room = total < room.added or total - _created_by(connection, user_id, user_id) < room.added
    return has_room and (total < room.by_one or _created_by(connection, user_id, creator) < room.by_one)


def _created_by(connection: sqlite3.Connection, user_id: UserId, creator: UserId) -> int:
    """How many of the user's conversations `creator` created."""
    (count,) = connection.execute(
        "SELECT count(*) FROM members m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.user_id = ? AND c.created_by = ?",
        (user_id, creator),
    ).fetchone()
    return int(count)


def page(connection: sqlite3.Connection, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
    """See `ports.ConversationStore.page_conversations`."""
    at, last_id = (after.last_active_at_ms, after.conversation_id) if after is not None else (1 << 62, "")
    rows = connection.execute(
        "SELECT c.id FROM members m JOIN conversations c ON c.id = m.conversation_id WHERE m.user_id = ? "
        "AND (c.last_active_at_ms < ? OR (c.last_active_at_ms = ? AND c.id < ?)) "
        "ORDER BY c.last_active_at_ms DESC, c.id DESC LIMIT ?",
        (user_id, at, at, last_id, limit),
    ).fetchall()
    return [_reread(connection, conversation_id) for (conversation_id,) in rows]


def note_activity(connection: sqlite3.Connection, conversation_id: ConversationId, last: LastMessage) -> None:
    """See `ports.ConversationStore.note_activity`."""
    connection.execute(
        "UPDATE conversations SET last_seq = ?, last_sender = ?, last_body = ?, last_sent_at_ms = ?, "
        "last_active_at_ms = max(last_active_at_ms, ?) WHERE id = ? AND last_seq < ?",
        (last.seq, last.sender, last.body, last.sent_at_ms, last.sent_at_ms, conversation_id, last.seq),
    )


def _reread(connection: sqlite3.Connection, conversation_id: ConversationId) -> Conversation:
    stored = conversation(connection, conversation_id)
    if stored is None:
        raise StoreConflict("the conversation was removed meanwhile")
    return stored


class SqliteConversations(StorePart):
    """Implements `ports.ConversationStore`."""

    async def create_conversation(self, new: NewConversation, room: Room | None = None) -> tuple[Conversation, bool]:
        """See the port."""
        result = await self._calls.write(lambda c: create(c, new, room))
        if isinstance(result, CommandError):
            raise result
        return result

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """See the port."""
        return await self._calls.read(lambda c: rows.conversation(c, conversation_id))

    async def update_conversation(
        self,
        conversation_id: ConversationId,
        *,
        title: str | None,
        metadata_json: str | None,
        keeps: frozenset[str] = frozenset(),
    ) -> Conversation | None:
        """See the port."""
        return await self._calls.write(lambda c: update(c, conversation_id, title, metadata_json, keeps))

    async def change_members(
        self,
        conversation_id: ConversationId,
        changes: Sequence[MemberChange],
        *,
        max_members: int,
        room: Room | None = None,
    ) -> MembersChanged | None:
        """See the port."""
        result = await self._calls.write(lambda c: change_members(c, conversation_id, changes, max_members, room))
        if isinstance(result, CommandError):
            raise result
        return result

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """See the port."""
        return await self._calls.read(lambda c: memberships_of(c, user_id))

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """See the port."""
        return await self._calls.read(lambda c: page(c, user_id, limit, after))

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """See the port."""
        await self._calls.write(lambda c: note_activity(c, conversation_id, last))
