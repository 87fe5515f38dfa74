"""Puts the messages of a store back to an earlier state, with instances running, as the restore of a backup does.

Memberships, presence and revocations stay as they are. With the messages go their keys, `readBy` and notifications; read cursors
go back to the last message that is left.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.adapters.sqlite.schema import connect
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import send_key
from holdfast.drills.local.target import LocalTarget, environment
from holdfast.ports import Unwatched

_LOCK_SECONDS: Final = 10.0
_WRITES: Final = 400  # of one commit; Firestore takes 500
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that was in the store and is not any more."""

    conversation: str
    seq: int
    sender: str
    key: str


async def tails_of(target: LocalTarget, conversations: list[str]) -> dict[str, int]:
    """The last seq of each conversation: what a backup would hold."""
    with environment(target.store_environ):
        store = target.store()
        try:
            await store.open(may_create=False)
            return {str(c): seq for c, seq in (await store.heads({ConversationId(each): 0 for each in conversations})).items()}
        finally:
            await store.close()


async def renew(target: LocalTarget) -> str:
    """As `holdfast store renew` does it; the new generation."""
    with environment(target.store_environ):
        store = target.store()
        try:
            await store.open(may_create=False)
            return await store.renew()
        finally:
            await store.close()


async def put_back(target: LocalTarget, tails: Mapping[str, int]) -> list[Lost]:
    """Take away what lies behind these tails; the messages that were taken away."""
    if target.emulator is None:
        return await asyncio.to_thread(_put_file_back, target.store_url.removeprefix("sqlite:///"), tails)
    with environment(target.store_environ):
        return await _put_firestore_back(target.store_url.removeprefix("firestore://"), tails)


def _put_file_back(path: str, tails: Mapping[str, int]) -> list[Lost]:
    """In one transaction, as `.restore` does it."""
    lost: list[Lost] = []
    with contextlib.closing(connect(path, _LOCK_SECONDS)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for conversation, tail in tails.items():
            behind = "WHERE conversation_id = ? AND seq > ?"
            columns = "SELECT conversation_id, seq, sender, client_message_id FROM messages"
            lost += [Lost(*row) for row in connection.execute(f"{columns} {behind}", (conversation, tail))]
            for table in ("messages", "sends", "read_by", "notifications"):
                connection.execute(f"DELETE FROM {table} {behind}", (conversation, tail))  # noqa: S608 - names of ours
            cursors = "UPDATE cursors SET last_read_seq = min(last_read_seq, ?) WHERE conversation_id = ?"
            connection.execute(cursors, (tail, conversation))
        connection.execute("COMMIT")
    return lost


async def _put_firestore_back(project: str, tails: Mapping[str, int]) -> list[Lost]:
    from holdfast.adapters.firestore import client as firestore  # here: its libraries cost 65 MB that SQLite need not pay

    client = firestore.connect(project, "(default)", Unwatched())
    limit = asyncio.Semaphore(_AT_ONCE)

    async def put(conversation: str, tail: int) -> list[Lost]:
        async with limit:
            return await _Behind(client, conversation, tail).take_away()

    try:
        found = await asyncio.gather(*(put(conversation, tail) for conversation, tail in tails.items()))
        return [each for lost in found for each in lost]
    finally:
        await client._firestore_api.transport.close()  # noqa: SLF001 - no public way


class _Behind:
    """The messages behind one conversation's tail in Firestore, while instances go on appending."""

    def __init__(self, client: Any, conversation: str, tail: int) -> None:
        self._client = client
        self._conversation = conversation
        self._tail = tail
        self._reference = client.document("conversations", conversation)

    async def take_away(self) -> list[Lost]:
        """All of it; then what was appended meanwhile to a message that is gone, until the rest has no gap."""
        lost: list[Lost] = []
        doomed = await self._messages()
        while doomed:
            for some in chunks(doomed, _WRITES // 2):
                lost += await self._delete(some)
            doomed = [each for position, each in enumerate(await self._messages(), self._tail + 1) if each.get("seq") != position]
        if lost:
            await self._forget({each.seq for each in lost})
        return lost

    async def _messages(self) -> list[Any]:
        behind = self._reference.collection("messages").order_by("seq").start_after({"seq": self._tail})
        return [snapshot async for snapshot in behind.stream()]

    async def _delete(self, doomed: Sequence[Any]) -> list[Lost]:
        """With their keys, in one commit."""
        batch, lost = self._client.batch(), []
        for snapshot in doomed:
            fields = snapshot.to_dict()
            one = Lost(self._conversation, fields["seq"], fields["sender"], fields["clientMessageId"])
            batch.delete(snapshot.reference)
            batch.delete(self._reference.collection("sends").document(send_key(UserId(one.sender), one.key)))
            lost.append(one)
        await batch.commit()
        return lost

    async def _forget(self, seqs: set[int]) -> None:
        """Read cursors, and notifications, that are of messages that are gone."""
        async for snapshot in self._reference.collection("cursors").stream():
            if snapshot.get("lastReadSeq") > self._tail:
                await snapshot.reference.update({"lastReadSeq": self._tail})
        async for snapshot in self._client.collection("notifications").stream():
            if snapshot.get("conversationId") == self._conversation and snapshot.get("seq") in seqs:
                await snapshot.reference.delete()
