"""Rows to domain objects, and the reads that several operations share. Synchronous: for the threads of `lanes`."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.adapters.sqlite.schema import note_damaged
from holdfast.domain.conversations import Conversation, LastMessage
from holdfast.domain.ids import MAX_SEQ, ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.domain.stored import Stored, is_number, is_text

MESSAGE_COLUMNS = "conversation_id, seq, sender, client_message_id, body, metadata_json, sent_at_ms, committed_at_ms"
_MESSAGE_NAMES = tuple(MESSAGE_COLUMNS.split(", "))
_CONVERSATION_COLUMNS = (
    "id, members_version, revision, title, metadata_json, created_by, created_at_ms, digest, last_seq, "
    "last_sender, last_body, last_sent_at_ms, last_active_at_ms"
)
_CONVERSATION_NAMES = tuple(_CONVERSATION_COLUMNS.split(", "))


def message(connection: sqlite3.Connection, row: Sequence[Any]) -> Message:
    """One row of `MESSAGE_COLUMNS`. A damaged one keeps its place: without it no client could show the messages behind it."""
    conversation_id, seq, *_, committed_at_ms = row
    stored = Stored(dict(zip(_MESSAGE_NAMES, row, strict=True)))
    found = Message(
        conversation_id=conversation_id,
        seq=seq,
        sender=UserId(stored.text("sender")),
        client_message_id=stored.text("client_message_id"),
        body=stored.text("body"),
        metadata_json=_json_object(stored, "metadata_json"),
        sent_at_ms=stored.number("sent_at_ms"),
        committed_at_ms=committed_at_ms if is_number(committed_at_ms) else 0,  # none in a row of an early layout
    )
    if stored.is_damaged:
        note_damaged(connection, "message")
    return found


def conversation(connection: sqlite3.Connection, conversation_id: ConversationId) -> Conversation | None:
    """A conversation with its members in their order."""
    row = connection.execute(f"SELECT {_CONVERSATION_COLUMNS} FROM conversations WHERE id = ?", (conversation_id,)).fetchone()  # noqa: S608 - column names of ours
    if row is None:
        return None
    members = connection.execute(
        "SELECT user_id, joined_seq FROM members WHERE conversation_id = ? ORDER BY position", (conversation_id,)
    )
    stored = Stored(dict(zip(_CONVERSATION_NAMES, row, strict=True)))
    found = _conversation(conversation_id, stored, {UserId(u): seq for u, seq in members if is_text(u) and is_number(seq)})
    if stored.is_damaged:
        note_damaged(connection, "conversation")
    return found


def tail(connection: sqlite3.Connection, conversation_id: ConversationId) -> Seq:
    """Seq of the last message, 0 without one."""
    # SQLite takes text for a number, and sorts it behind all numbers: that is no position.
    query = "SELECT max(seq) FROM messages WHERE conversation_id = ? AND seq <= ?"
    (seq,) = connection.execute(query, (conversation_id, MAX_SEQ)).fetchone()
    return int(seq or 0)


def marks(count: int) -> str:
    """`?, ?, ?` for an `IN`."""
    return ", ".join("?" * count)


def _conversation(conversation_id: ConversationId, stored: Stored, members: Mapping[UserId, Seq]) -> Conversation:
    return Conversation(
        conversation_id=conversation_id,
        members=tuple(members),
        members_version=stored.number("members_version"),
        revision=stored.number("revision"),
        title=stored.optional_text("title"),
        metadata_json=_json_object(stored, "metadata_json"),
        created_by=UserId(stored.text("created_by")),
        created_at_ms=stored.number("created_at_ms"),
        digest=stored.text("digest"),
        last_seq=stored.number("last_seq"),
        last_message=_last_message(stored),
        last_active_at_ms=stored.number("last_active_at_ms"),
        joined={user_id: joined_seq for user_id, joined_seq in members.items() if joined_seq},
    )


def _last_message(stored: Stored) -> LastMessage | None:
    if stored.of("last_sender") is None:
        return None
    sender, body = UserId(stored.text("last_sender")), stored.text("last_body")
    return LastMessage(stored.number("last_seq"), sender, body, stored.number("last_sent_at_ms"))


def _json_object(stored: Stored, name: str) -> str | None:
    """A client's object as text, None where it cannot be one: frames carry it verbatim."""
    text = stored.optional_text(name)
    if text is None:
        return None
    try:
        is_object = isinstance(msgspec.json.decode(text), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        is_object = False
    stored.is_damaged |= not is_object
    return text if is_object else None
