"""Messages, sends and read cursors in Firestore."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from google.api_core.exceptions import NotFound
from google.cloud.firestore_v1 import ArrayUnion, Maximum
from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.field_path import FieldPath

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.reads import get_many
from holdfast.domain.ids import ConversationId, Seq, UserId, message_id
from holdfast.domain.messages import Draft, Message, Settlement, StoredSend

SENDS_LIVE: Final = timedelta(days=7)  # how long a repeated send is recognized; the TTL policy removes it then
_CONCURRENT_TAILS: Final = 16


async def append(calls: Calls, conversation_id: ConversationId, first_seq: Seq, drafts: Sequence[Draft], sent_at_ms: int) -> None:
    """See `ports.MessageStore.append`: one commit of creates, so that nothing of it exists, or all of it."""
    client = calls.client
    batch = client.batch()
    expire_at = documents.at(sent_at_ms) + SENDS_LIVE
    for seq, draft in enumerate(drafts, first_seq):
        batch.create(documents.message_ref(client, conversation_id, seq), documents.message_fields(draft, seq, sent_at_ms))
        batch.create(
            documents.send_ref(client, conversation_id, draft.key),
            {"seq": seq, "digest": draft.digest, "expireAt": expire_at},
        )
    await batch.commit(**calls.unretried)


async def settle(calls: Calls, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
    """See `ports.MessageStore.settle`."""
    client = calls.client
    references = [documents.send_ref(client, conversation_id, key) for key in keys]
    found, tail = await asyncio.gather(get_many(calls, references), _tail(calls, conversation_id))
    sends = {snapshot.id: snapshot.to_dict() or {} for snapshot in found.values()}
    if sends:
        # A send that was found may lie beyond a tail that was read at the same time: the tail is read again after it.
        tail = max(tail, await _tail(calls, conversation_id))
    messages = await get_many(calls, [documents.message_ref(client, conversation_id, fields["seq"]) for fields in sends.values()])
    by_id = {snapshot.id: documents.message(conversation_id, snapshot.to_dict() or {}) for snapshot in messages.values()}
    return Settlement(
        tail,
        {
            key: StoredSend(by_id[message_id(fields["seq"])], fields["digest"])
            for key, fields in sends.items()
            if message_id(fields["seq"]) in by_id
        },
    )


async def heads(calls: Calls, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
    """See `ports.MessageStore.heads`: where `known` is right, its message exists and the next one does not."""
    client = calls.client
    wanted = {c: (documents.message_ref(client, c, seq), documents.message_ref(client, c, seq + 1)) for c, seq in known.items()}
    references = [ref for c, (this, after) in wanted.items() for ref in ((this, after) if known[c] else (after,))]
    found = await get_many(calls, references, ["seq"])
    result: dict[ConversationId, Seq] = {}
    unknown = []
    for conversation_id, (this, after) in wanted.items():
        is_tail = after.path not in found and (not known[conversation_id] or this.path in found)
        if is_tail:
            result[conversation_id] = known[conversation_id]
        else:
            unknown.append(conversation_id)
    gate = asyncio.Semaphore(_CONCURRENT_TAILS)

    async def ask(conversation_id: ConversationId) -> None:
        async with gate:
            result[conversation_id] = await _tail(calls, conversation_id)

    await asyncio.gather(*(ask(conversation_id) for conversation_id in unknown))
    return result


async def page(
    calls: Calls, conversation_id: ConversationId, after_seq: Seq | None, before_seq: Seq | None, limit: int
) -> list[Message]:
    """See `ports.MessageStore.read_messages`; document ids are padded seqs, so their order is the order."""
    client = calls.client
    query: AsyncQuery = client.collection("conversations", conversation_id, "messages").order_by(
        FieldPath.document_id(), direction=AsyncQuery.ASCENDING if after_seq is not None else AsyncQuery.DESCENDING
    )
    bounds = {}
    if after_seq is not None:
        bounds[">"] = after_seq
    if before_seq is not None:
        bounds["<"] = before_seq
    for operator, seq in bounds.items():
        query = query.where(FieldPath.document_id(), operator, documents.message_ref(client, conversation_id, seq))
    snapshots = await query.limit(limit).get(**calls.unretried)
    found = [documents.message(conversation_id, snapshot.to_dict() or {}) for snapshot in snapshots]
    return found if after_seq is not None else found[::-1]


async def advance_cursors(
    calls: Calls,
    conversation_id: ConversationId,
    cursors: Mapping[UserId, Seq],
    read_by: Mapping[Seq, Sequence[UserId]],
) -> dict[UserId, Seq]:
    """See `ports.MessageStore.advance_cursors`. A message that does not exist is not made: its readers are left out."""
    try:
        return await _advance(calls, conversation_id, cursors, read_by)
    except NotFound:
        existing = await get_many(calls, [documents.message_ref(calls.client, conversation_id, seq) for seq in read_by], ["seq"])
        seqs = {(snapshot.to_dict() or {})["seq"] for snapshot in existing.values()}
        return await _advance(calls, conversation_id, cursors, {seq: who for seq, who in read_by.items() if seq in seqs})


async def read_cursors(calls: Calls, conversation_id: ConversationId) -> dict[UserId, Seq]:
    """See `ports.MessageStore.read_cursors`."""
    snapshots = await calls.client.collection("conversations", conversation_id, "cursors").get(**calls.unretried)
    return {UserId(snapshot.id): (snapshot.to_dict() or {})["lastReadSeq"] for snapshot in snapshots}


async def cursors_of(calls: Calls, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
    """See `ports.MessageStore.cursors_of`."""
    client = calls.client
    references = {c: client.document("conversations", c, "cursors", user_id) for c in conversation_ids}
    found = await get_many(calls, list(references.values()))
    return {
        c: (found[reference.path].to_dict() or {})["lastReadSeq"]
        for c, reference in references.items()
        if reference.path in found
    }


async def _advance(
    calls: Calls,
    conversation_id: ConversationId,
    cursors: Mapping[UserId, Seq],
    read_by: Mapping[Seq, Sequence[UserId]],
) -> dict[UserId, Seq]:
    client = calls.client
    batch = client.batch()
    for user_id, seq in cursors.items():
        batch.set(
            client.document("conversations", conversation_id, "cursors", user_id), {"lastReadSeq": Maximum(seq)}, merge=True
        )
    for seq, readers in read_by.items():
        batch.update(documents.message_ref(client, conversation_id, seq), {"readBy": ArrayUnion(list(readers))})
    results = await batch.commit(**calls.unretried)
    # One write per cursor comes first, and what a Maximum answers is the value after it.
    return {
        user_id: max(seq, results[index].transform_results[0].integer_value)
        for index, (user_id, seq) in enumerate(cursors.items())
    }


async def _tail(calls: Calls, conversation_id: ConversationId) -> Seq:
    """The last message by name, never a hint."""
    query: AsyncQuery = calls.client.collection("conversations", conversation_id, "messages").order_by(
        FieldPath.document_id(), direction=AsyncQuery.DESCENDING
    )
    snapshots = await query.select(["seq"]).limit(1).get(**calls.unretried)
    return int(snapshots[0].id) if snapshots else 0
