"""Rows to domain objects, and the reads that several operations share. Synchronous: for the threads of `lanes`."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from holdfast.domain.conversations import Conversation, LastMessage
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message

MESSAGE_COLUMNS = "conversation_id, seq, sender, client_message_id, body, metadata_json, sent_at_ms"
_CONVERSATION_COLUMNS = (
    "id, members_version, revision, title, metadata_json, created_by, created_at_ms, digest, last_seq, "
    "last_sender, last_body, last_sent_at_ms, last_active_at_ms"
)


def message(row: tuple[Any, ...]) -> Message:
    """One row of `MESSAGE_COLUMNS`."""
    return Message(*row)


def conversation(connection: sqlite3.Connection, conversation_id: ConversationId) -> Conversation | None:
    """A conversation with its members in their order."""
    row = connection.execute(f"SELECT {_CONVERSATION_COLUMNS} FROM conversations WHERE id = ?", (conversation_id,)).fetchone()  # noqa: S608 - column names of ours
    if row is None:
        return None
    members = connection.execute(
        "SELECT user_id, joined_seq FROM members WHERE conversation_id = ? ORDER BY position", (conversation_id,)
    )
    return _conversation(row, {UserId(user_id): joined_seq for user_id, joined_seq in members})


def tail(connection: sqlite3.Connection, conversation_id: ConversationId) -> Seq:
    """Seq of the last message, 0 without one."""
    (seq,) = connection.execute("SELECT max(seq) FROM messages WHERE conversation_id = ?", (conversation_id,)).fetchone()
    return seq or 0


def marks(count: int) -> str:
    """`?, ?, ?` for an `IN`."""
    return ", ".join("?" * count)


def _conversation(row: tuple[Any, ...], members: Mapping[UserId, Seq]) -> Conversation:
    (
        identity,
        members_version,
        revision,
        title,
        metadata_json,
        created_by,
        created_at_ms,
        digest,
        last_seq,
        last_sender,
        last_body,
        last_sent_at_ms,
        last_active_at_ms,
    ) = row
    last = None if last_sender is None else LastMessage(last_seq, last_sender, last_body, last_sent_at_ms)
    return Conversation(
        conversation_id=identity,
        members=tuple(members),
        members_version=members_version,
        revision=revision,
        title=title,
        metadata_json=metadata_json,
        created_by=created_by,
        created_at_ms=created_at_ms,
        digest=digest,
        last_seq=last_seq,
        last_message=last,
        last_active_at_ms=last_active_at_ms,
        joined={user_id: joined_seq for user_id, joined_seq in members.items() if joined_seq},
    )
