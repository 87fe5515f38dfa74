"""Conversations as things to make, look up and change: what REST offers beside the commands it shares with the socket."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from holdfast.domain import ids
from holdfast.domain.conversations import Conversation, NewConversation, PageKey
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.domain.presence import Presence
from holdfast.errors import CommandError, InvalidRequest, StoreUnavailable
from holdfast.node.bulletins import Bulletins
from holdfast.node.commands import Caller
from holdfast.node.conversations import Conversations
from holdfast.node.delivery import Delivery
from holdfast.node.membership import Membership
from holdfast.node.tasks import Tasks, until_store_answers
from holdfast.node.views import summary
from holdfast.ports import Clock, MessageStore
from holdfast.protocol.frames import ConversationEvent, Summary
from holdfast.settings import LimitSettings

MAX_TITLE_CHARACTERS: Final = 200
_LOOKS_SECONDS: Final = (0.2, 2.0, 8.0)  # after a change whose answer was lost


class Directory:
    """Lives in the loop. Every method raises `CommandError`, and `StoreUnavailable` when the store does not answer."""

    def __init__(
        self,
        store: MessageStore,
        conversations: Conversations,
        membership: Membership,
        delivery: Delivery,
        bulletins: Bulletins,
        clock: Clock,
        tasks: Tasks,
        limits: LimitSettings,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._membership = membership
        self._delivery = delivery
        self._bulletins = bulletins
        self._clock = clock
        self._tasks = tasks
        self._limits = limits

    async def create(
        self,
        caller: Caller,
        members: Sequence[str],
        *,
        title: str | None,
        metadata_json: str | None,
        conversation_id: str | None,
    ) -> tuple[Summary, bool]:
        """Create a conversation; (its summary, whether it is new). A given id makes it idempotent.

        Raises:
            CommandError: `conversation_exists` when the id stands for other members; `limit_reached`.
        """
        everyone = tuple(dict.fromkeys((caller.user_id, *(ids.user_id(member, "members") for member in members))))
        if len(everyone) > self._limits.members:
            raise CommandError("limit_reached", f"at most {self._limits.members} members", field="members")
        _check_title(title)
        if await self._store.count_memberships(caller.user_id) >= self._limits.conversations_per_user:
            raise CommandError("limit_reached", "too many conversations", field="conversations_per_user")
        new = NewConversation(
            conversation_id=ids.conversation_id(conversation_id or secrets.token_hex(12)),
            members=everyone,
            created_by=caller.user_id,
            created_at_ms=self._clock.now_ms(),
            title=title,
            metadata_json=metadata_json,
            digest=hashlib.sha256("|".join((caller.user_id, *sorted(everyone))).encode()).hexdigest(),
        )
        async with self._told(new.conversation_id, 0, "created", caller.user_id, everyone):
            conversation, is_new = await self._store.create_conversation(new)
        if not is_new and conversation.digest != new.digest:
            raise CommandError("conversation_exists", "this id stands for another conversation", field="conversation_id")
        if is_new:
            await self._announce(conversation, "created", caller.user_id, everyone)
        return await self._summary(conversation, caller.user_id), is_new

    async def update(
        self, caller: Caller, conversation_id: str, *, title: str | None, metadata_json: str | None, keeps: frozenset[str]
    ) -> Summary:
        """Change title and metadata; those named in `keeps` stay as they are. Creator or admin."""
        conversation = await self.get(caller, conversation_id)
        if not caller.is_admin and caller.user_id != conversation.created_by:
            raise CommandError("forbidden", "only the creator or an administrator changes a conversation")
        _check_title(title)
        async with self._told(conversation.conversation_id, conversation.revision, "updated", caller.user_id, ()):
            updated = await self._store.update_conversation(
                conversation.conversation_id,
                title=conversation.title if "title" in keeps else title,
                metadata_json=conversation.metadata_json if "metadata" in keeps else metadata_json,
            )
        if updated is None:
            raise _unknown()
        await self._announce(updated, "updated", caller.user_id, ())
        return await self._summary(updated, caller.user_id)

    async def add_member(self, caller: Caller, conversation_id: str, user_id: str) -> tuple[Summary, bool]:
        """Any member adds; (the summary, whether the user is new). A new member has read everything so far."""
        newcomer = ids.user_id(user_id)
        conversation = await self.get(caller, conversation_id)
        if newcomer not in conversation.members:
            if await self._store.count_memberships(newcomer) >= self._limits.conversations_per_user:
                raise CommandError("limit_reached", "too many conversations", field="conversations_per_user")
            head = await self._head(conversation)
            await self._store.advance_cursors(conversation.conversation_id, {newcomer: head}, {})
        async with self._told(conversation.conversation_id, conversation.revision, "member_added", caller.user_id, (newcomer,)):
            changed = await self._store.change_member(
                conversation.conversation_id, newcomer, is_member=True, max_members=self._limits.members
            )
        if changed is None:
            raise _unknown()
        conversation, is_new = changed
        if is_new:
            await self._announce(conversation, "member_added", caller.user_id, (newcomer,))
        return await self._summary(conversation, caller.user_id), is_new

    async def remove_member(self, caller: Caller, conversation_id: str, user_id: str) -> None:
        """Anyone removes themselves; the creator or an administrator removes others. Idempotent."""
        leaver = ids.user_id(user_id)
        conversation = await self.get(caller, conversation_id)
        if leaver != caller.user_id and not caller.is_admin and caller.user_id != conversation.created_by:
            raise CommandError("forbidden", "only the creator or an administrator removes others")
        async with self._told(conversation.conversation_id, conversation.revision, "member_removed", caller.user_id, (leaver,)):
            changed = await self._store.change_member(
                conversation.conversation_id, leaver, is_member=False, max_members=self._limits.members
            )
        if changed is None:
            raise _unknown()
        conversation, is_news = changed
        if is_news:
            await self._announce(conversation, "member_removed", caller.user_id, (leaver,))

    async def get(self, caller: Caller, conversation_id: str) -> Conversation:
        """A conversation that the caller may see; to anybody else it does not exist."""
        conversation = await self._conversations.get(ids.conversation_id(conversation_id))
        if conversation is None or (not caller.is_admin and caller.user_id not in conversation.members):
            raise _unknown()
        return conversation

    async def describe(
        self, caller: Caller, conversation_id: str
    ) -> tuple[Summary, Conversation, dict[UserId, Seq], dict[UserId, Presence]]:
        """The summary as of now, the conversation, and, in small conversations, its members' cursors and presence."""
        await self.get(caller, conversation_id)
        conversation = await self._conversations.read(ids.conversation_id(conversation_id))
        if conversation is None:
            raise _unknown()
        view = await self._summary(conversation, caller.user_id)
        if len(conversation.members) > self._limits.indicator_members:
            return view, conversation, {}, {}
        cursors = await self._store.read_cursors(conversation.conversation_id)
        return view, conversation, cursors, await self._store.read_presence(conversation.members)

    async def page(self, caller: Caller, limit: int, after: PageKey | None) -> tuple[list[Summary], PageKey | None]:
        """The caller's conversations, newest activity first, and where the next page begins."""
        self._check_limit(limit)
        conversations = await self._store.page_conversations(caller.user_id, limit + 1, after)
        shown = conversations[:limit]
        cursors = await self._store.cursors_of(caller.user_id, [c.conversation_id for c in shown]) if shown else {}
        views = [
            summary(
                conversation,
                last_read_seq=cursors.get(conversation.conversation_id, 0),
                indicator_members=self._limits.indicator_members,
                head=self._local_head(conversation.conversation_id),
            )
            for conversation in shown
        ]
        last = shown[-1] if len(conversations) > limit else None
        return views, None if last is None else PageKey(last.last_active_at_ms, last.conversation_id)

    async def messages(
        self, caller: Caller, conversation_id: str, *, after_seq: Seq | None, before_seq: Seq | None, limit: int
    ) -> tuple[list[Message], bool, Seq, dict[UserId, Seq]]:
        """(messages ascending, whether there are more in that direction, the tail, cursors of a small conversation)."""
        self._check_limit(limit)
        conversation = await self.get(caller, conversation_id)
        found = await self._store.read_messages(
            conversation.conversation_id, after_seq=after_seq, before_seq=before_seq, limit=limit + 1
        )
        is_more = len(found) > limit
        found = found[:limit] if after_seq is not None else found[-limit:]
        known = max(conversation.last_seq, self._local_head(conversation.conversation_id))
        tail = (await self._store.heads({conversation.conversation_id: known}))[conversation.conversation_id]
        is_small = len(conversation.members) <= self._limits.indicator_members
        cursors = await self._store.read_cursors(conversation.conversation_id) if is_small and found else {}
        return found, is_more, tail, cursors

    async def presence(self, caller: Caller, user_id: str) -> Presence:
        """Whether somebody is online; only for those who share a conversation."""
        asked = ids.user_id(user_id)
        if asked != caller.user_id and not caller.is_admin:
            mine = {row.conversation_id for row in await self._store.memberships_of(caller.user_id)}
            theirs = {row.conversation_id for row in await self._store.memberships_of(asked)}
            if not mine & theirs:
                raise CommandError("user_not_found", "no such user")
        return (await self._store.read_presence([asked]))[asked]

    async def _announce(
        self, conversation: Conversation, event: ConversationEvent, by: UserId, affected: tuple[UserId, ...]
    ) -> None:
        """Here at once, elsewhere by the bus, and by our bulletin where the bus does not reach."""
        self._conversations.keep(conversation)
        if affected:
            self._bulletins.note_members(conversation.conversation_id, conversation.members_version, affected)
        envelope = self._membership.publish(conversation, event, by, affected)
        self._tasks.start(self._membership.apply(envelope))

    @asynccontextmanager
    async def _told(
        self, conversation_id: ConversationId, revision: int, event: ConversationEvent, by: UserId, affected: tuple[UserId, ...]
    ) -> AsyncIterator[None]:
        """A change whose answer is lost may be in the store all the same: who repeats it finds it done, and tells nobody."""
        try:
            yield
        except StoreUnavailable:
            self._tasks.start(self._find_out(conversation_id, revision, event, by, affected))
            raise

    async def _find_out(
        self, conversation_id: ConversationId, revision: int, event: ConversationEvent, by: UserId, affected: tuple[UserId, ...]
    ) -> None:
        """Tell of it if it is in; a slow write may land a little later than the store answers again."""

        async def look() -> None:
            nonlocal revision
            found = await self._store.read_conversation(conversation_id)
            if found is not None and found.revision > revision:
                revision = found.revision
                await self._announce(found, event, by, affected)

        for pause in _LOOKS_SECONDS:
            await asyncio.sleep(pause)
            await until_store_answers(look)

    async def _summary(self, conversation: Conversation, user_id: UserId) -> Summary:
        cursors = await self._store.cursors_of(user_id, [conversation.conversation_id])
        return summary(
            conversation,
            last_read_seq=cursors.get(conversation.conversation_id, 0),
            indicator_members=self._limits.indicator_members,
            head=self._local_head(conversation.conversation_id),
        )

    async def _head(self, conversation: Conversation) -> Seq:
        known = {conversation.conversation_id: conversation.last_seq}
        return (await self._store.heads(known))[conversation.conversation_id]

    def _local_head(self, conversation_id: ConversationId) -> Seq:
        local = self._delivery.locals.get(conversation_id)
        return (local.sequencer.head or 0) if local is not None else 0

    def _check_limit(self, limit: int) -> None:
        if not 1 <= limit <= self._limits.page_size:
            raise InvalidRequest(f"1 to {self._limits.page_size}", field="limit")


def _check_title(title: str | None) -> None:
    if title is not None and len(title) > MAX_TITLE_CHARACTERS:
        raise InvalidRequest(f"at most {MAX_TITLE_CHARACTERS} characters", field="title")


def _unknown() -> CommandError:
    return CommandError("conversation_not_found", "no such conversation")
