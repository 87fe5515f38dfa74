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
from holdfast.adapters.firestore.part import StorePart
from holdfast.adapters.firestore.room import Rooms
from holdfast.adapters.firestore.tails import Tails
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
from holdfast.domain.stored import Stored
from holdfast.errors import CommandError, StoreConflict, StoreUnavailable

_TRIES: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 0.2  # eight tries are over within the deadline of a call
_MAX_MEMBERSHIPS: Final = 11_000
_SAME_MOMENT: Final = 50  # conversations that share a millisecond with a page's end: fetched again, and left out


async def create(calls: Calls, new: NewConversation) -> tuple[Conversation, bool]:
    """See `ports.ConversationStore.create_conversation`; an uncertain create is settled by reading."""
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
    """See `ports.ConversationStore.read_conversation`."""
    snapshot = await documents.conversation_ref(calls.client, conversation_id).get(**calls.unretried)
    return _decoded(calls, snapshot)


async def update(calls: Calls, conversation_id: ConversationId, wanted: Fields) -> Conversation | None:
    """See `ports.ConversationStore.update_conversation`. `wanted`: the fields that do not stay as they are."""

    def change(fields: Fields) -> Fields | None:
        if all(fields.get(name) == value for name, value in wanted.items()):
            return None
        return {**wanted, "revision": Stored(fields).number("revision") + 1}

    changed = await _change(calls, conversation_id, change)
    return None if changed is None else documents.conversation(conversation_id, Stored(changed[0]))


async def change_members(
    calls: Calls, conversation_id: ConversationId, changes: Sequence[MemberChange], max_members: int
) -> MembersChanged | CommandError | None:
    """See `ports.ConversationStore.change_members`; the refusal is returned: it is no answer of the store's."""
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
    """See `ports.ConversationStore.memberships_of`."""
    query: AsyncQuery = calls.client.collection("conversations").where(filter=FieldFilter("members", "array_contains", user_id))
    wanted = (*documents.MEMBERSHIP_FIELDS, FieldPath("joined", user_id).to_api_repr())
    snapshots = await query.select(wanted).limit(_MAX_MEMBERSHIPS).get(**calls.unretried)
    rows = calls.read("conversation", snapshots, lambda name, stored: documents.membership(name, user_id, stored))
    return sorted(rows, key=lambda row: (row.last_active_at_ms, row.conversation_id), reverse=True)


async def page(calls: Calls, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
    """See `ports.ConversationStore.page_conversations`. Keys are whole milliseconds, Firestore's order is finer."""
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
    """See `ports.ConversationStore.note_activity`. A plain `Maximum` would keep `lastSeq` right but not the preview beside it."""

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


class FirestoreConversations(StorePart):
    """Implements `ports.ConversationStore`."""

    def __init__(self, calls: Calls, tails: Tails) -> None:
        """`calls` and `tails`: shared with the other parts."""
        super().__init__(calls, tails)
        self._rooms = Rooms(calls)

    async def create_conversation(self, new: NewConversation, room: Room | None = None) -> tuple[Conversation, bool]:
        """See the port."""
        try:
            async with self._rooms.taken(new.members, new.created_by, room):
                return await self._calls.run(create(self._calls, new))
        except CommandError:
            if (stored := await self.read_conversation(new.conversation_id)) is not None:
                return stored, False
            raise

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """See the port."""
        return await self._calls.run(read(self._calls, conversation_id))

    async def update_conversation(
        self,
        conversation_id: ConversationId,
        *,
        title: str | None,
        metadata_json: str | None,
        keeps: frozenset[str] = frozenset(),
    ) -> Conversation | None:
        """See the port."""
        wanted = ("title", "title", title), ("metadata", "metadataJson", metadata_json)
        fields = {field: value for name, field, value in wanted if name not in keeps}
        return await self._calls.run(update(self._calls, conversation_id, fields))

    async def change_members(
        self,
        conversation_id: ConversationId,
        changes: Sequence[MemberChange],
        *,
        max_members: int,
        room: Room | None = None,
    ) -> MembersChanged | None:
        """See the port."""
        added, creator = [each.user_id for each in changes if each.is_member], UserId("")
        if added and room is not None:
            known = await self.read_conversation(conversation_id)
            if known is None:
                return None
            added, creator = [user_id for user_id in added if user_id not in known.members], known.created_by
        async with self._rooms.taken(added, creator, room if added else None):
            result = await self._calls.run(change_members(self._calls, conversation_id, changes, max_members))
        if isinstance(result, CommandError):
            raise result
        return result

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """See the port."""
        return await self._calls.run(memberships_of(self._calls, user_id))

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """See the port."""
        return await self._calls.run(page(self._calls, user_id, limit, after))

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """See the port."""
        await self._calls.run(note_activity(self._calls, conversation_id, last))
