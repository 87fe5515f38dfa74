"""Conversations as things to make, look up and change: what REST offers beside the commands it shares with the socket."""

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from holdfast.domain import ids
from holdfast.domain.conversations import (
    Conversation,
    NewConversation,
    PageKey,
    Room,
    direct_id,
    fingerprint,
    may_be_of,
    may_join,
)
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.domain.presence import Presence
from holdfast.errors import CommandError, InvalidRequest
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.views import summary
from holdfast.node.requests.blocks import Blocks
from holdfast.node.requests.budgets import Budgets
from holdfast.node.requests.changing import MemberChanges
from holdfast.node.requests.commands import Caller
from holdfast.node.requests.marked_changes import MarkedChanges, News
from holdfast.node.users.acceptance import accepted_members, share_accepted
from holdfast.node.users.hidden import hidden_from
from holdfast.ports import BlockStore, Clock, ConversationStore, CursorStore, MessageStore, PresenceStore
from holdfast.protocol.frames import Summary
from holdfast.settings import LimitSettings

MAX_TITLE_CHARACTERS: Final = 200


class ServiceStore(MessageStore, ConversationStore, CursorStore, BlockStore, PresenceStore, Protocol):
    """The conversations that callers see and change, with their messages, members and cursors."""


class ConversationService:
    """Lives in the loop. Every method raises `CommandError`, and `StoreUnavailable` when the store does not answer."""

    def __init__(
        self,
        store: ServiceStore,
        local: LocalSide,
        marked: MarkedChanges,
        members: MemberChanges,
        clock: Clock,
        limits: LimitSettings,
    ) -> None:
        self._store = store
        self._conversations = local.conversations
        self._delivery = local.delivery
        self._marked = marked
        self._clock = clock
        self._limits = limits
        self.blocks = Blocks(store, limits.blocks_per_user)
        self._budgets = Budgets(limits, clock)
        self._members = members

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
        c = ids.conversation_id(conversation_id or secrets.token_hex(12))
        if not may_be_of(c, everyone):
            raise InvalidRequest("this is the id of a direct conversation of other members", field="conversation_id")
        stored = None if conversation_id is None else await self._store.read_conversation(c)
        conversation, is_new = (
            (stored, False) if stored is not None else await self._create(caller, c, everyone, title, metadata_json)
        )
        _check_same(conversation, everyone)
        if not _may_see(caller, conversation):
            raise _exists()
        return await self._summary(conversation, caller.user_id), is_new

    async def open_direct(self, caller: Caller, user_id: str) -> tuple[Summary, bool]:
        """The conversation of the caller and one other user, the same from both sides; (its summary, whether it is new).

        Which of the two is no member any more is added again.

        Raises:
            CommandError: as `create` and `add_member` do; `invalid_request` where the other user is the caller.
        """
        pair = (caller.user_id, ids.user_id(user_id))
        if pair[0] == pair[1]:
            raise InvalidRequest("a direct conversation is one with another user", field="user_id")
        c, is_new = direct_id(*pair), False
        conversation = await self._store.read_conversation(c)
        if conversation is None:
            conversation, is_new = await self._create(caller, c, pair, None, None)
        _check_same(conversation, pair)
        for each in pair:
            if each not in conversation.members:
                conversation, _ = await self._add(caller, conversation, each)
        return await self._summary(conversation, caller.user_id), is_new

    async def _create(
        self, caller: Caller, c: ConversationId, everyone: tuple[UserId, ...], title: str | None, metadata_json: str | None
    ) -> tuple[Conversation, bool]:
        self._budgets.spend(caller, creates=1, adds=len(everyone) - 1)
        new = NewConversation(
            conversation_id=c,
            members=everyone,
            created_by=caller.user_id,
            created_at_ms=self._clock.now_ms(),
            title=title,
            metadata_json=metadata_json,
            digest=fingerprint(caller.user_id, everyone),
        )
        if (refusal := await self.blocks.refusal(caller, everyone)) is not None:
            raise refusal
        news = News("created", caller.user_id, everyone)
        async with self._marked.told(c, 0, news) as tell:
            conversation, is_new = await self._store.create_conversation(new, self._room(caller, caller.user_id))
            tell(conversation, {news: conversation.revision} if is_new else {})
        if not is_new:
            self._budgets.give_back(caller, creates=1, adds=len(everyone) - 1)
        return conversation, is_new

    async def update(
        self, caller: Caller, conversation_id: str, *, title: str | None, metadata_json: str | None, keeps: frozenset[str]
    ) -> Summary:
        """Change title and metadata; those named in `keeps` stay as they are. Creator or admin."""
        conversation = await self.get(caller, conversation_id)
        if not caller.is_admin and caller.user_id != conversation.created_by:
            raise CommandError("forbidden", "only the creator or an administrator changes a conversation")
        _check_title(title)
        c, news = conversation.conversation_id, News("updated", caller.user_id)
        async with self._marked.told(c, conversation.revision, news) as tell:
            updated = await self._store.update_conversation(c, title=title, metadata_json=metadata_json, keeps=keeps)
            tell(updated, {} if updated is None else {news: updated.revision})
        if updated is None:
            raise _unknown()
        return await self._summary(updated, caller.user_id)

    async def add_member(self, caller: Caller, conversation_id: str, user_id: str) -> tuple[Summary, bool]:
        """Any member adds; (the summary, whether the user is new)."""
        newcomer = ids.user_id(user_id)
        conversation, is_new = await self._read(caller, conversation_id), False
        if newcomer not in conversation.members:
            if not may_join(conversation, newcomer):
                raise CommandError("forbidden", "a direct conversation has two members")
            conversation, is_new = await self._add(caller, conversation, newcomer)
        return await self._summary(conversation, caller.user_id), is_new

    async def _add(self, caller: Caller, conversation: Conversation, newcomer: UserId) -> tuple[Conversation, bool]:
        self._budgets.spend(caller, adds=1)
        if (refusal := await self.blocks.refusal(caller, [newcomer])) is not None:
            raise refusal
        c, room = conversation.conversation_id, self._room(caller, conversation.created_by)
        conversation, is_new = await self._members.make(c, newcomer, is_member=True, by=caller.user_id, room=room)
        if not is_new:
            self._budgets.give_back(caller, adds=1)
        return conversation, is_new

    async def remove_member(self, caller: Caller, conversation_id: str, user_id: str) -> None:
        """Every member may leave; the creator or an administrator removes others. Idempotent."""
        leaver = ids.user_id(user_id)
        conversation = await self.get(caller, conversation_id)
        if leaver != caller.user_id and not caller.is_admin and caller.user_id != conversation.created_by:
            raise CommandError("forbidden", "only the creator or an administrator removes others")
        await self._members.make(conversation.conversation_id, leaver, is_member=False, by=caller.user_id)

    async def get(self, caller: Caller, conversation_id: str) -> Conversation:
        """A conversation that the caller may see; for all other users it does not exist."""
        asked = () if caller.is_admin else (caller.user_id,)
        return _seen_by(caller, await self._conversations.for_members(ids.conversation_id(conversation_id), asked))

    async def _read(self, caller: Caller, conversation_id: str) -> Conversation:
        """The same as the store has it now."""
        return _seen_by(caller, await self._conversations.read(ids.conversation_id(conversation_id)))

    async def describe(
        self, caller: Caller, conversation_id: str
    ) -> tuple[Summary, Conversation, dict[UserId, Seq], dict[UserId, Presence]]:
        """The summary as of now, the conversation, and, in small conversations, its members' cursors and presence.

        The presence of members that block the caller, or that the caller blocks, is missing. So is that of other members unless
        both have accepted the conversation (`acceptance`).
        """
        conversation = await self._read(caller, conversation_id)
        view = await self._summary(conversation, caller.user_id)
        if len(conversation.members) > self._limits.indicator_members:
            return view, conversation, {}, {}
        cursors = await self._store.read_cursors(conversation.conversation_id)
        hidden = await hidden_from(self._store, caller.user_id)
        accepted = accepted_members(conversation, cursors.keys())
        mutual = {user for user in accepted if user not in hidden} if caller.user_id in accepted else set()
        shown = [user for user in conversation.members if caller.is_admin or user == caller.user_id or user in mutual]
        return view, conversation, cursors, await self._store.read_presence(shown)

    async def page(self, caller: Caller, limit: int, after: PageKey | None) -> tuple[list[Summary], list[PageKey], bool]:
        """(the caller's conversations, newest activity first; for each, where a page behind it begins; are there more?)."""
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
        keys = [PageKey(conversation.last_active_at_ms, conversation.conversation_id) for conversation in shown]
        return views, keys, len(conversations) > limit

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
        """Whether a user is online; for callers that share a conversation with the user that both have accepted
        (`acceptance`)."""
        asked = ids.user_id(user_id)
        if asked != caller.user_id and not caller.is_admin:
            is_shown = await share_accepted(self._store, caller.user_id, asked)
            if not is_shown or await self.blocks.is_between(caller.user_id, asked):
                raise CommandError("user_not_found", "no such user")
        return (await self._store.read_presence([asked]))[asked]

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

    def _room(self, caller: Caller, creator: UserId) -> Room:
        """Of the creator's doing are what the creator makes and whom the creator adds: a backend may create for everybody."""
        limits, is_limited = self._limits, not caller.is_admin and caller.user_id == creator
        by_one = limits.conversations_by_one_other if is_limited else limits.conversations_by_others
        return Room(limits.conversations_per_user, limits.conversations_by_others, by_one)

    def _check_limit(self, limit: int) -> None:
        if not 1 <= limit <= self._limits.page_size:
            raise InvalidRequest(f"1 to {self._limits.page_size}", field="limit")


def _may_see(caller: Caller, conversation: Conversation) -> bool:
    return caller.is_admin or caller.user_id in conversation.members


def _seen_by(caller: Caller, conversation: Conversation | None) -> Conversation:
    if conversation is None or not _may_see(caller, conversation):
        raise _unknown()
    return conversation


def _check_same(conversation: Conversation, members: Sequence[UserId]) -> None:
    if conversation.digest != fingerprint(conversation.created_by, members):
        raise _exists()


def _check_title(title: str | None) -> None:
    if title is not None and len(title) > MAX_TITLE_CHARACTERS:
        raise InvalidRequest(f"at most {MAX_TITLE_CHARACTERS} characters", field="title")


def _exists() -> CommandError:
    return CommandError("conversation_exists", "this id stands for another conversation", field="conversation_id")


def _unknown() -> CommandError:
    return CommandError("conversation_not_found", "no such conversation")
