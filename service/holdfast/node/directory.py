"""Conversations as things to make, look up and change: what REST offers beside the commands it shares with the socket."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from holdfast.domain import ids
from holdfast.domain.changes import change_mark
from holdfast.domain.conversations import Conversation, NewConversation, PageKey, Room
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.domain.presence import Presence
from holdfast.errors import CommandError, InvalidRequest, StoreUnavailable
from holdfast.node.budgets import Budgets
from holdfast.node.bulletins import Bulletins
from holdfast.node.commands import Caller
from holdfast.node.conversations import Conversations
from holdfast.node.delivery import Delivery
from holdfast.node.membership import Membership
from holdfast.node.rosters import Rosters
from holdfast.node.split import Split
from holdfast.node.tasks import Tasks, until_store_answers
from holdfast.node.views import summary
from holdfast.ports import Clock, ClusterBus, MessageStore
from holdfast.protocol.frames import ConversationEvent, Summary
from holdfast.settings import LimitSettings

MAX_TITLE_CHARACTERS: Final = 200
_MARK_SECONDS: Final = 0.5  # without a mark the lists of all users are read from the store again
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
        split: Split,
        rosters: Rosters,
        bus: ClusterBus,
        clock: Clock,
        tasks: Tasks,
        limits: LimitSettings,
        dirty_prefix: Callable[[], str],
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._membership = membership
        self._delivery = delivery
        self._bulletins = bulletins
        self._split = split
        self._rosters = rosters
        self._bus = bus
        self._dirty_prefix = dirty_prefix
        self._changes = 0
        self._clock = clock
        self._tasks = tasks
        self._limits = limits
        self._budgets = Budgets(limits, clock)
        self._room = Room(limits.conversations_per_user, limits.conversations_by_others)

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
            CommandError: `conversation_exists` when the id stands for other members; `limit_reached`, `rate_limited`.
        """
        everyone = tuple(dict.fromkeys((caller.user_id, *(ids.user_id(member, "members") for member in members))))
        if len(everyone) > self._limits.members:
            raise CommandError("limit_reached", f"at most {self._limits.members} members", field="members")
        _check_title(title)
        self._budgets.spend(caller, creates=1, adds=len(everyone) - 1)
        new = NewConversation(
            conversation_id=ids.conversation_id(conversation_id or secrets.token_hex(12)),
            members=everyone,
            created_by=caller.user_id,
            created_at_ms=self._clock.now_ms(),
            title=title,
            metadata_json=metadata_json,
            digest=hashlib.sha256("|".join((caller.user_id, *sorted(everyone))).encode()).hexdigest(),
        )
        async with self._told(new.conversation_id, 0, "created", caller.user_id, everyone) as told:
            conversation, is_new = await self._store.create_conversation(new, self._room)
            told(conversation if is_new else None)
        if not is_new:
            self._budgets.give_back(caller, creates=1, adds=len(everyone) - 1)
        if not is_new and (conversation.digest != new.digest or not _may_see(caller, conversation)):
            raise CommandError("conversation_exists", "this id stands for another conversation", field="conversation_id")
        return await self._summary(conversation, caller.user_id), is_new

    async def update(
        self, caller: Caller, conversation_id: str, *, title: str | None, metadata_json: str | None, keeps: frozenset[str]
    ) -> Summary:
        """Change title and metadata; those named in `keeps` stay as they are. Creator or admin."""
        conversation = await self.get(caller, conversation_id)
        if not caller.is_admin and caller.user_id != conversation.created_by:
            raise CommandError("forbidden", "only the creator or an administrator changes a conversation")
        _check_title(title)
        async with self._told(conversation.conversation_id, conversation.revision, "updated", caller.user_id, ()) as told:
            updated = await self._store.update_conversation(
                conversation.conversation_id,
                title=conversation.title if "title" in keeps else title,
                metadata_json=conversation.metadata_json if "metadata" in keeps else metadata_json,
            )
            told(updated)
        if updated is None:
            raise _unknown()
        return await self._summary(updated, caller.user_id)

    async def add_member(self, caller: Caller, conversation_id: str, user_id: str) -> tuple[Summary, bool]:
        """Any member adds; (the summary, whether the user is new).

        The membership begins at the tail as it is now, before the change: later messages are delivered, earlier ones are read.
        """
        newcomer = ids.user_id(user_id)
        conversation = await self._read(caller, conversation_id)
        if newcomer in conversation.members:
            return await self._summary(conversation, caller.user_id), False
        self._budgets.spend(caller, adds=1)
        c, revision = conversation.conversation_id, conversation.revision
        joined_seq = (await self._store.heads({c: conversation.last_seq}))[c]
        await self._store.advance_cursors(c, {newcomer: joined_seq}, {})
        async with self._told(c, revision, "member_added", caller.user_id, (newcomer,)) as told:
            changed = await self._store.change_member(
                c, newcomer, is_member=True, max_members=self._limits.members, joined_seq=joined_seq, room=self._room
            )
            told(changed[0] if changed is not None and changed[1] else None)
        if changed is None:
            raise _unknown()
        conversation, is_new = changed
        if not is_new:
            self._budgets.give_back(caller, adds=1)
        return await self._summary(conversation, caller.user_id), is_new

    async def remove_member(self, caller: Caller, conversation_id: str, user_id: str) -> None:
        """Anyone removes themselves; the creator or an administrator removes others. Idempotent."""
        leaver = ids.user_id(user_id)
        conversation = await self.get(caller, conversation_id)
        if leaver != caller.user_id and not caller.is_admin and caller.user_id != conversation.created_by:
            raise CommandError("forbidden", "only the creator or an administrator removes others")
        c, revision = conversation.conversation_id, conversation.revision
        async with self._told(c, revision, "member_removed", caller.user_id, (leaver,)) as told:
            changed = await self._store.change_member(c, leaver, is_member=False, max_members=self._limits.members)
            told(changed[0] if changed is not None and changed[1] else None)
        if changed is None:
            raise _unknown()

    async def get(self, caller: Caller, conversation_id: str) -> Conversation:
        """A conversation that the caller may see; to anybody else it does not exist."""
        asked = () if caller.is_admin else (caller.user_id,)
        return _seen_by(caller, await self._conversations.for_members(ids.conversation_id(conversation_id), asked))

    async def _read(self, caller: Caller, conversation_id: str) -> Conversation:
        """The same as the store has it now."""
        return _seen_by(caller, await self._conversations.read(ids.conversation_id(conversation_id)))

    async def describe(
        self, caller: Caller, conversation_id: str
    ) -> tuple[Summary, Conversation, dict[UserId, Seq], dict[UserId, Presence]]:
        """The summary as of now, the conversation, and, in small conversations, its members' cursors and presence."""
        conversation = await self._read(caller, conversation_id)
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
                caller.user_id,
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
    ) -> tuple[list[Message], bool, Seq, dict[UserId, tuple[Seq, Seq]]]:
        """(messages ascending, whether there are more in that direction, the tail, what users of a small conversation have read).

        The last: from where the membership begins (exclusive) to the read cursor. History is nothing that a new member has read.
        """
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
        return found, is_more, tail, {user_id: (conversation.joined_seq(user_id), seq) for user_id, seq in cursors.items()}

    async def presence(self, caller: Caller, user_id: str) -> Presence:
        """Whether somebody is online; only for those who share a conversation."""
        asked = ids.user_id(user_id)
        if asked != caller.user_id and not caller.is_admin:
            mine = {row.conversation_id for row in await self._store.memberships_of(caller.user_id)}
            theirs = {row.conversation_id for row in await self._store.memberships_of(asked)}
            if not mine & theirs:
                raise CommandError("user_not_found", "no such user")
        return (await self._store.read_presence([asked]))[asked]

    def _announce(
        self,
        conversation: Conversation,
        event: ConversationEvent,
        by: UserId,
        affected: tuple[UserId, ...],
        marks: Sequence[str] = (),
    ) -> None:
        """Here at once, elsewhere by the bus, and by our bulletin where the bus does not reach."""
        self._conversations.keep(conversation)
        if affected:
            self._bulletins.note_members(conversation.conversation_id, conversation.members_version, affected)
        self._membership.take(self._membership.publish(conversation, event, by, affected, marks))

    def _forget(self, marks: Sequence[str]) -> None:
        self._bus.clear_dirty(*marks)

    @asynccontextmanager
    async def _told(
        self, conversation_id: ConversationId, revision: int, event: ConversationEvent, by: UserId, affected: tuple[UserId, ...]
    ) -> AsyncIterator[Callable[[Conversation | None], None]]:
        """A change, marked until it is told: inside, call what this gives with what was changed, None where nothing was.

        A change whose answer is lost may be in the store all the same: who repeats it finds it done, and tells nobody. Its
        marks stay, for whoever sweeps.
        """
        self._changes += 1
        number, owner = self._changes, self._dirty_prefix()
        marks = [change_mark(user_id, owner, number, conversation_id, revision) for user_id in affected or (by,)]

        def told(changed: Conversation | None) -> None:
            if changed is not None:
                self._announce(changed, event, by, affected, marks)
            else:
                self._forget(marks)

        with ExitStack() as doubts:
            is_marked = await self._bus.mark_dirty(*marks, within_seconds=_MARK_SECONDS)
            if self._split.is_suspected or not is_marked:  # a mark that not all can see is none
                doubts.enter_context(self._rosters.unmarked())
                await self._bulletins.write_first(conversation_id, affected or (by,))
            try:
                yield told
            except CommandError:
                self._forget(marks)
                raise
            except StoreUnavailable:
                self._tasks.start(self._find_out(conversation_id, revision, event, by, affected, marks, doubts.pop_all()))
                raise

    async def _find_out(
        self,
        conversation_id: ConversationId,
        revision: int,
        event: ConversationEvent,
        by: UserId,
        affected: tuple[UserId, ...],
        marks: Sequence[str],
        doubts: ExitStack,
    ) -> None:
        """Tell of it if it is in; a slow write may land a little later than the store answers again."""

        async def look() -> None:
            nonlocal revision
            found = await self._store.read_conversation(conversation_id)
            if found is not None and found.revision > revision:
                revision = found.revision
                self._announce(found, event, by, affected)

        with doubts:
            for pause in _LOOKS_SECONDS:
                await asyncio.sleep(pause)
                await until_store_answers(look)
        self._forget(marks)

    async def _summary(self, conversation: Conversation, user_id: UserId) -> Summary:
        cursors = await self._store.cursors_of(user_id, [conversation.conversation_id])
        return summary(
            conversation,
            user_id,
            last_read_seq=cursors.get(conversation.conversation_id, 0),
            indicator_members=self._limits.indicator_members,
            head=self._local_head(conversation.conversation_id),
        )

    def _local_head(self, conversation_id: ConversationId) -> Seq:
        local = self._delivery.locals.get(conversation_id)
        return (local.sequencer.head or 0) if local is not None else 0

    def _check_limit(self, limit: int) -> None:
        if not 1 <= limit <= self._limits.page_size:
            raise InvalidRequest(f"1 to {self._limits.page_size}", field="limit")


def _may_see(caller: Caller, conversation: Conversation) -> bool:
    return caller.is_admin or caller.user_id in conversation.members


def _seen_by(caller: Caller, conversation: Conversation | None) -> Conversation:
    if conversation is None or not _may_see(caller, conversation):
        raise _unknown()
    return conversation


def _check_title(title: str | None) -> None:
    if title is not None and len(title) > MAX_TITLE_CHARACTERS:
        raise InvalidRequest(f"at most {MAX_TITLE_CHARACTERS} characters", field="title")


def _unknown() -> CommandError:
    return CommandError("conversation_not_found", "no such conversation")
