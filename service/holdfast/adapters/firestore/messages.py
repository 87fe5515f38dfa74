"""Messages, sends and read cursors in Firestore."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.cloud.firestore_v1 import ArrayUnion, Maximum
from google.cloud.firestore_v1.async_batch import AsyncWriteBatch
from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls, is_definite, is_missing_document
from holdfast.adapters.firestore.creates import Creates
from holdfast.adapters.firestore.part import StorePart
from holdfast.adapters.firestore.reads import get_many
from holdfast.adapters.firestore.tails import Tails
from holdfast.domain.ids import MAX_SEQ, ConversationId, Seq, UserId, message_id
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Committed, Draft, Message, Settlement, StoredSend
from holdfast.domain.stored import Stored
from holdfast.errors import PredecessorMissing, StoreUnavailable, Undecodable

_WRITES_A_COMMIT: Final = 200  # Firestore takes 500 everywhere; a thousand members' cursors take five commits of about 50 ms
SENDS_LIVE: Final = timedelta(days=7)  # how long a repeated send is recognized; the TTL policy removes it then


async def append(
    calls: Calls,
    tails: Tails,
    conversation_id: ConversationId,
    first_seq: Seq,
    drafts: Sequence[Draft],
    sent_at_ms: int,
    mark: StoredMark | None = None,
) -> None:
    """See `ports.MessageStore.append`: one commit of creates, so that nothing of it exists, or all of it."""
    creates = Creates(calls.client)
    place = f"conversations/{conversation_id}"
    predecessor = f"{place}/messages/{message_id(first_seq - 1)}" if first_seq > 1 else place
    creates.require(predecessor, may_verify=calls.may_verify)
    expire_at = documents.at(sent_at_ms) + SENDS_LIVE
    for seq, draft in enumerate(drafts, first_seq):
        creates.add(f"{place}/messages/{message_id(seq)}", documents.message_fields(draft, seq, sent_at_ms))
        creates.add(f"{place}/sends/{draft.key}", {"seq": seq, "digest": draft.digest, "expireAt": expire_at})
    if mark is not None:
        creates.put(f"marks/{mark.mark_id}", documents.mark_fields(mark))
    try:
        await creates.commit(calls.unretried)
    except NotFound as error:  # a missing project or database has the same status: the reads that settle a conflict tell of it
        raise PredecessorMissing(str(error)[:200]) from error
    tails.note(conversation_id, first_seq + len(drafts) - 1)


async def settle(calls: Calls, tails: Tails, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
    """See `ports.MessageStore.settle`: the keys first, then the tail, which so covers them."""
    client = calls.client
    found = await get_many(calls, [documents.send_ref(client, conversation_id, key) for key in keys])
    sends = dict(calls.read("send", found.values(), _send))
    tail = await tails.find_one(conversation_id)
    messages = await get_many(calls, [documents.message_ref(client, conversation_id, seq) for seq, _ in sends.values()])
    by_seq = {message.seq: message for message in _messages(calls, conversation_id, messages.values())}
    return Settlement(
        tail,
        {key: StoredSend(by_seq[seq], digest) for key, (seq, digest) in sends.items() if seq in by_seq},
    )


async def page(
    calls: Calls,
    tails: Tails,
    conversation_id: ConversationId,
    after_seq: Seq | None,
    before_seq: Seq | None,
    limit: int,
) -> list[Message]:
    """See `ports.MessageStore.read_messages`; document ids are padded seqs, so their order is the order."""
    if after_seq is None:
        tail = await tails.find_one(conversation_id)
        end = tail if before_seq is None else min(before_seq - 1, tail)
        after_seq, before_seq = max(0, end - limit), end + 1
    snapshots = await _between(calls, conversation_id, after_seq, before_seq, limit)
    return _messages(calls, conversation_id, snapshots)


async def active_since(tails: Tails, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
    """See `ports.MessageStore.active_since`: the search for a tail has read the last message, which tells."""
    found = await tails.search(known)
    return {
        c: tail.seq
        for c, tail in found.items()
        if tail.created_at is not None and documents.whole_ms(tail.created_at) >= since_ms
    }


async def since(
    calls: Calls, tails: Tails, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None
) -> list[Committed]:
    """See `ports.MessageStore.messages_since`. Asked for by name, because `seq` and times are not indexed; Firestore keeps when
    it created each.
    """
    end = before_seq if before_seq is not None else await tails.find_one(conversation_id) + 1
    snapshots = await _between(calls, conversation_id, max(0, end - 1 - limit), end, limit)
    found = _messages(calls, conversation_id, snapshots)
    return [Committed(each, each.committed_at_ms) for each in found if each.committed_at_ms >= since_ms]


async def advance_cursors(
    calls: Calls,
    conversation_id: ConversationId,
    cursors: Mapping[UserId, Seq],
    read_by: Mapping[Seq, Sequence[UserId]],
) -> dict[UserId, Seq]:
    """See `ports.CursorStore.advance_cursors`. A message that does not exist is not made: its readers are left out, and cursors
    that stand there. Of many, some may be written when it raises."""
    try:
        return await _advance(calls, conversation_id, cursors, read_by)
    except NotFound as error:
        if not is_missing_document(error):
            raise
        asked = sorted({*read_by, *cursors.values()} - {0})  # a cursor at 0 stands before all messages
        existing = await get_many(calls, [documents.message_ref(calls.client, conversation_id, seq) for seq in asked], ["seq"])
        seqs = {0, *(int(snapshot.id) for snapshot in existing.values())}
        there = {user_id: seq for user_id, seq in cursors.items() if seq in seqs}
        if not there:
            return {}
        return await _advance(calls, conversation_id, there, {seq: who for seq, who in read_by.items() if seq in seqs})


async def read_cursors(calls: Calls, conversation_id: ConversationId) -> dict[UserId, Seq]:
    """See `ports.CursorStore.read_cursors`."""
    snapshots = await calls.client.collection("conversations", conversation_id, "cursors").get(**calls.unretried)
    return dict(calls.read("cursor", snapshots, _cursor))


async def cursors_of(calls: Calls, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
    """See `ports.CursorStore.cursors_of`."""
    client = calls.client
    references = {c: client.document("conversations", c, "cursors", user_id) for c in conversation_ids}
    found = await get_many(calls, list(references.values()))
    cursors = {}
    for conversation_id, reference in references.items():
        for _, seq in calls.read("cursor", [found[reference.path]] if reference.path in found else [], _cursor):
            cursors[conversation_id] = seq
    return cursors


def _messages(calls: Calls, conversation_id: ConversationId, snapshots: Iterable[DocumentSnapshot[Any]]) -> list[Message]:
    found = []
    for each in snapshots:
        decode = partial(documents.message, conversation_id, committed_at_ms=documents.whole_ms(each.create_time))
        found += calls.read("message", [each], decode)
    return found


def _send(key: str, stored: Stored) -> tuple[str, tuple[Seq, str]]:
    """Under a send's key: the position of its message, and its digest."""
    seq = stored.number("seq")
    if not 1 <= seq <= MAX_SEQ:
        raise Undecodable("no position")
    return key, (seq, stored.text("digest"))


def _cursor(user_id: str, stored: Stored) -> tuple[UserId, Seq]:
    return UserId(user_id), stored.number("lastReadSeq")


async def _between(
    calls: Calls, conversation_id: ConversationId, after_seq: Seq, before_seq: Seq | None, limit: int
) -> list[DocumentSnapshot[Any]]:
    client = calls.client
    name = FieldPath.document_id()
    query: AsyncQuery = client.collection("conversations", conversation_id, "messages").order_by(name)
    query = query.where(filter=FieldFilter(name, ">", documents.message_ref(client, conversation_id, after_seq)))
    if before_seq is not None:
        query = query.where(filter=FieldFilter(name, "<", documents.message_ref(client, conversation_id, before_seq)))
    return list(await query.limit(limit).get(**calls.unretried))


async def _advance(
    calls: Calls,
    conversation_id: ConversationId,
    cursors: Mapping[UserId, Seq],
    read_by: Mapping[Seq, Sequence[UserId]],
) -> dict[UserId, Seq]:
    """In commits of a size that Firestore takes. Messages come first: where one is gone, no cursor is written there."""
    client = calls.client
    batches = [client.batch()]

    def room() -> AsyncWriteBatch:
        if len(batches[-1]) == _WRITES_A_COMMIT:
            batches.append(client.batch())
        return batches[-1]

    for seq, readers in read_by.items():
        room().update(documents.message_ref(client, conversation_id, seq), {"readBy": ArrayUnion(list(readers))})
    for user_id, seq in cursors.items():
        reference = client.document("conversations", conversation_id, "cursors", user_id)
        room().set(reference, {"lastReadSeq": Maximum(seq)}, merge=True)
    results: list[Any] = []
    for number, batch in enumerate(batches):
        try:
            results += await batch.commit(**calls.unretried)
        except GoogleAPICallError as error:
            if number and is_definite(error) and not (isinstance(error, NotFound) and is_missing_document(error)):
                raise StoreUnavailable("some read cursors are written, and others are not") from error
            raise
    # One result for each write, in order; what a Maximum answers is the value after it.
    of_cursors = results[len(read_by) :]
    return {
        user_id: max(seq, result.transform_results[0].integer_value)
        for (user_id, seq), result in zip(cursors.items(), of_cursors, strict=True)
    }


class FirestoreMessages(StorePart):
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
        await self._calls.run(append(self._calls, self._tails, conversation_id, first_seq, drafts, sent_at_ms, mark))

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """See the port."""
        return await self._calls.run(settle(self._calls, self._tails, conversation_id, keys))

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.run(self._tails.find(known))

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """See the port."""
        return await self._calls.run(page(self._calls, self._tails, conversation_id, after_seq, before_seq, limit))

    async def active_since(self, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.run(active_since(self._tails, since_ms, known))

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        """See the port."""
        return await self._calls.run(since(self._calls, self._tails, conversation_id, since_ms, limit, before_seq))


class FirestoreCursors(StorePart):
    """Implements `ports.CursorStore`."""

    async def advance_cursors(
        self, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], read_by: Mapping[Seq, Sequence[UserId]]
    ) -> dict[UserId, Seq]:
        """See the port."""
        return await self._calls.run(advance_cursors(self._calls, conversation_id, cursors, read_by))

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """See the port."""
        return await self._calls.run(read_cursors(self._calls, conversation_id))

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.run(cursors_of(self._calls, user_id, conversation_ids))
