"""Drafts, and a writer that appends as an instance does: create if absent, settle what is uncertain, try again.

Run as a program (`python appending.py FILE CONVERSATION WRITER COUNT`) it is another process on the same SQLite file.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.sqlite.database import DatabaseFile
from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.domain.conversations import Conversation, MemberChange, NewConversation, Room
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Draft, content_digest, send_key
from holdfast.errors import StoreConflict, StoreError
from holdfast.ports import Store, Unwatched

NOW_MS = 4_000_000_000_000  # in the year 2096: nothing of a test expires


def draft(name: str, body: str | None = None, *, sender: str = "alice", metadata_json: str | None = None) -> Draft:
    """A message under the client's id `name`."""
    body = f"body of {name}" if body is None else body
    metadata = None if metadata_json is None else metadata_json.encode()
    key = send_key(UserId(sender), name)
    return Draft(UserId(sender), name, body, metadata_json, key, content_digest(body, metadata))


def drafts(count: int, prefix: str = "m") -> list[Draft]:
    """`m1`, `m2` …"""
    return [draft(f"{prefix}{number}") for number in range(1, count + 1)]


def new_conversation(name: str, *members: str, created_at_ms: int = NOW_MS, title: str | None = "Title") -> NewConversation:
    """The creation of a conversation of these members, by the first one."""
    users = tuple(UserId(member) for member in members)
    metadata_json = '{"topic":"tests"}'
    return NewConversation(ConversationId(name), users, users[0], created_at_ms, title, metadata_json, digest=",".join(users))


async def begin(store: Store, *names: str) -> None:
    """Create conversations: a first message requires its conversation."""
    await asyncio.gather(*(store.create_conversation(new_conversation(name, "alice", "bob")) for name in names))


async def insist(store: Store, conversation_id: ConversationId, messages: Sequence[Draft]) -> None:
    """Append each message to an existing conversation, whatever others do and whatever is uncertain; returns once all are in."""
    left = {message.key: message for message in messages}
    tail = 0
    while left:
        key, message = next(iter(left.items()))
        try:
            await store.append(conversation_id, tail + 1, [message], NOW_MS)
        except StoreError:
            settlement = await store.settle(conversation_id, list(left))
            tail = settlement.tail
            left = {key: message for key, message in left.items() if key not in settlement.sends}
        else:
            tail += 1
            del left[key]


async def _main(path: str, conversation_id: str, writer: str, count: str) -> None:
    store = SqliteStore(DatabaseFile(Path(path), 10.0), SystemClock(), Unwatched())
    await store.open()
    await insist(store, ConversationId(conversation_id), drafts(int(count), writer))
    await store.close()


async def change_member(
    store: Store,
    conversation_id: ConversationId,
    user_id: UserId,
    *,
    is_member: bool,
    max_members: int,
    joined_seq: Seq = 0,
    room: Room | None = None,
) -> tuple[Conversation, bool] | None:
    """One change of one member, tried again where others were first; (the conversation after, whether this changed it)."""
    change = MemberChange(user_id, is_member, joined_seq)
    while True:
        try:
            done = await store.change_members(conversation_id, [change], max_members=max_members, room=room)
        except StoreConflict:
            continue
        return None if done is None else (done.conversation, user_id in done.revisions)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
