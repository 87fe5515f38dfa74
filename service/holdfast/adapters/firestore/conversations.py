"""Conversations and their members in Firestore: read, then written on condition that no other write came between."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, GoogleAPICallError
from google.cloud.firestore_v1 import SERVER_TIMESTAMP
from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls, is_definite
from holdfast.adapters.firestore.documents import Fields
from holdfast.domain.conversations import (
    Conversation,
    LastMessage,
    MemberChange,
    MembersChanged,
    Membership,
    NewConversation,
    PageKey,
    with_changes,
)
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.stored import Stored
from holdfast.errors import CommandError, StoreConflict, StoreUnavailable

_TRIES: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 0.2  # eight tries are over within the deadline of a call
_MAX_MEMBERSHIPS: Final = 11_000
_SAME_MOMENT: Final = 50  # conversations that share a millisecond with a page's end: fetched again, and left out


async def create(calls: Calls, new: NewConversation) -> tuple[Conversation, bool]:
    """See `ports.MessageStore.create_conversation`; an uncertain create is settled by reading."""
    is_new, is_uncertain = True, False
    try:
        await documents.conversation_ref(calls.client, new.conversation_id).create(
            documents.conversation_fields(new), **calls.unretried
        )
    except AlreadyExists:
        is_new = False
    except GoogleAPICallError as error:
        if is_definite(error):
            raise
        is_uncertain = True
    stored = await _settle(calls, new.conversation_id) if is_uncertain else await read(calls, new.conversation_id)
    if stored is None:
        raise StoreUnavailable("it may be created yet" if is_uncertain else "the conversation was removed meanwhile")
    if is_uncertain:
        is_new = (stored.digest, stored.created_by, stored.created_at_ms) == (new.digest, new.created_by, new.created_at_ms)
    return stored, is_new


async def read(calls: Calls, conversation_id: ConversationId) -> Conversation | None:
    """See `ports.MessageStore.read_conversation`."""
    snapshot = await documents.conversation_ref(calls.client, conversation_id).get(**calls.unretried)
    return _decoded(calls, snapshot)


async def update(
    calls: Calls, conversation_id: ConversationId, title: str | None, metadata_json: str | None
) -> Conversation | None:
    """See `ports.MessageStore.update_conversation`."""

    def change(fields: Fields) -> Fields | None:
        if (fields.get("title"), fields.get("metadataJson")) == (title, metadata_json):
            return None
        return {"title": title, "metadataJson": metadata_json, "revision": Stored(fields).number("revision") + 1}

    changed = await _change(calls, conversation_id, change)
    return None if changed is None else documents.conversation(conversation_id, Stored(changed[0]))


async def change_members(
    calls: Calls, conversation_id: ConversationId, changes: Sequence[MemberChange], max_members: int
) -> MembersChanged | CommandError | None:
    """See `ports.MessageStore.change_members`; the refusal is returned: it is no answer of the store's."""
    refusal: CommandError | None = None
    revisions: dict[UserId, int] = {}

    def change(fields: Fields) -> Fields | None:
        nonlocal refusal, revisions
        stored = Stored(fields)
        try:
            members, made = with_changes(map(UserId, stored.texts("members")), changes, max_members)
        except CommandError as error:
            refusal = error
            return None
        if not made:
            return None
        revision = stored.number("revision")
        revisions = {each.user_id: number for number, each in enumerate(made, revision + 1)}
        # Not only of present members: an instance of an older version removes members without their positions.
        joined = {member: seq for member, seq in fields.get("joined", {}).items() if member not in revisions}
        return {
            "members": members,
            "joined": joined | {each.user_id: each.joined_seq for each in made if each.is_member and each.joined_seq},
            "memberCount": len(members),
            "membersVersion": stored.number("membersVersion") + len(made),
            "revision": revision + len(made),
        }

    changed = await _change(calls, conversation_id, change)
    if changed is None or refusal is not None:
        return refusal
    fields, was_written = changed
    return MembersChanged(documents.conversation(conversation_id, Stored(fields)), revisions if was_written else {})


async def memberships_of(calls: Calls, user_id: UserId) -> list[Membership]:
    """See `ports.MessageStore.memberships_of`."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    wanted = (*documents.MEMBERSHIP_FIELDS, FieldPath("joined", user_id).to_api_repr())
    snapshots = await query.select(wanted).limit(_MAX_MEMBERSHIPS).get(**calls.unretried)
    rows = calls.read("conversation", snapshots, lambda name, stored: documents.membership(name, user_id, stored))
    return sorted(rows, key=lambda row: (row.last_active_at_ms, row.conversation_id), reverse=True)


async def count_memberships(calls: Calls, user_id: UserId) -> int:
    """How many conversations a user is in."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    ((result,),) = await query.count().get(**calls.unretried)
    return int(result.value)


async def count_created_by(calls: Calls, user_id: UserId, creator: UserId) -> int:
    """How many of the user's conversations `creator` created."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    ((result,),) = await query.where(filter=FieldFilter("createdBy", "==", creator)).count().get(**calls.unretried)
    return int(result.value)


async def page(calls: Calls, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
    """See `ports.MessageStore.page_conversations`. Keys are whole milliseconds, Firestore's order is finer."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    if after is not None:
        bound = documents.at(after.last_active_at_ms) + timedelta(milliseconds=1)
        query = query.where(filter=FieldFilter("lastMessageAt", "<", bound))
    query = query.order_by("lastMessageAt", direction=AsyncQuery.DESCENDING)
    query = query.order_by(FieldPath.document_id(), direction=AsyncQuery.DESCENDING)
    snapshots = await query.limit(limit + _SAME_MOMENT).get(**calls.unretried)
    found = calls.read("conversation", snapshots, documents.conversation)
    found.sort(key=_place, reverse=True)
    if after is not None:
        key = (after.last_active_at_ms, after.conversation_id)
        found = [conversation for conversation in found if _place(conversation) < key]
    return found[:limit]


async def note_activity(calls: Calls, conversation_id: ConversationId, last: LastMessage) -> None:
    """See `ports.MessageStore.note_activity`. A plain `Maximum` would keep `lastSeq` right but not the preview beside it."""

    def change(fields: Fields) -> Fields | None:
        if Stored(fields).number("lastSeq") >= last.seq:
            return None
        return {"lastSeq": last.seq, "lastMessage": documents.last_message_fields(last), "lastMessageAt": SERVER_TIMESTAMP}

    await _change(calls, conversation_id, change)


async def _settle(calls: Calls, conversation_id: ConversationId) -> Conversation | None:
    """Read until there is an answer: what broke a write's reply often breaks the next call on the same channel too."""
    for attempt in range(_TRIES):
        try:
            return await read(calls, conversation_id)
        except GoogleAPICallError as error:
            if is_definite(error):
                raise
            await asyncio.sleep(0.01 * 2**attempt * random.uniform(0.5, 1.5))
    raise StoreUnavailable("it may be created; Firestore does not say")


async def _change(
    calls: Calls, conversation_id: ConversationId, change: Callable[[Fields], Fields | None]
) -> tuple[Fields, bool] | None:
    """Read, decide, write if no other write came between; (the fields after, whether this wrote), None without the conversation.

    A write with unknown outcome is settled by the next read: a change that was written leaves nothing to do.
    """
    client = calls.client
    reference = documents.conversation_ref(client, conversation_id)
    is_uncertain = False
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, 0.01 * 2**attempt) * random.uniform(0.5, 1.5))
        try:
            snapshot = await reference.get(**calls.unretried)
            if not (fields := snapshot.to_dict()):
                return None
            if (changes := change(fields)) is None:
                return fields, is_uncertain
        except GoogleAPICallError as error:
            if is_uncertain and not is_definite(error):
                continue
            raise
        try:
            option = client.write_option(last_update_time=snapshot.update_time)
            await reference.update(changes, option=option, **calls.unretried)
        except (FailedPrecondition, Aborted):
            continue
        except GoogleAPICallError as error:
            if is_definite(error):
                raise
            is_uncertain = True
        else:
            return {**fields, **changes}, True
    if is_uncertain:
        raise StoreUnavailable("the conversation may be written yet; Firestore did not answer")
    raise StoreConflict("others wrote the conversation first, each time")


def _place(conversation: Conversation) -> tuple[int, str]:
    return conversation.last_active_at_ms, conversation.conversation_id


def _decoded(calls: Calls, snapshot: DocumentSnapshot[Any]) -> Conversation | None:
    found = calls.read("conversation", [snapshot] if snapshot.to_dict() else [], documents.conversation)
    return found[0] if found else None
