"""Which local connections receive a conversation, after a change of members.

An envelope about membership is a hint: the conversation is read again, until the store answers, and local connections join or
leave by its content. The event itself is told once per revision, however many channels it came on.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import UNSET

from holdfast.domain.conversations import Conversation
from holdfast.domain.conversations import Membership as MembershipRow
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import StoreError
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.local import EventKey, LocalConversation
from holdfast.node.conversations.entering import Entering, Entrance
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.views import summary
from holdfast.node.foundation import Process
from holdfast.ports import CursorStore
from holdfast.protocol import envelopes
from holdfast.protocol.frames import ConversationEvent, ConversationNotice
from holdfast.protocol.frames import frame as _frame

_MAX_PENDING: Final = 500  # events of one conversation, five batches; older events are not told, only their effect
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 2.0

_Events = Sequence[envelopes.ConversationEnvelope]
_Pending = dict[EventKey, envelopes.ConversationEnvelope]


class Membership:
    """Lives in the loop: one task for each conversation whose change is being applied."""

    def __init__(
        self,
        store: CursorStore,
        announcer: Announcer,
        local: LocalSide,
        entering: Entering,
        process: Process,
        *,
        indicator_members: int,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._hub = local.hub
        self._conversations = local.conversations
        self._delivery = local.delivery
        self._entering = entering
        self._clock = process.clock
        self._tasks = process.tasks
        self._indicator_members = indicator_members
        self._pending: dict[ConversationId, _Pending] = {}

    def publish(
        self,
        conversation: Conversation,
        event: ConversationEvent,
        by: UserId,
        affected: Iterable[UserId],
        *,
        revision: int | None = None,
    ) -> envelopes.ConversationEnvelope:
        """Tell the other instances: those that follow the conversation, and those where the affected users are.

        With it goes what Redis remembers of the affected users' conversations.
        `revision`: the one that the event made, where later ones were made in the same write.
        """
        affected, revision = tuple(affected), conversation.revision if revision is None else revision
        envelope = envelopes.ConversationEnvelope(
            v=envelopes.VERSION,
            kind="conversation",
            c=conversation.conversation_id,
            generation=self._delivery.generation,
            event=event,
            by=by,
            user=affected[0] if event in ("member_added", "member_removed") else None,
            members_version=conversation.members_version,
            revision=revision,
        )
        self._announcer.members(envelope, len(conversation.members), affected)
        return envelope

    async def publish_again(self, conversation_id: ConversationId, revision: int, user_ids: Iterable[UserId]) -> None:
        """Some instance meant to change the conversation when it had `revision`, and may not have told; these users are affected.

        Raises:
            StoreError: it cannot be read now.
        """
        conversation = await self._conversations.read(conversation_id)
        if conversation is None or conversation.revision <= revision:
            return  # not in, or not yet
        self.take(self.publish(conversation, "updated", conversation.created_by, dict.fromkeys(user_ids)))

    def take(self, envelope: envelopes.ConversationEnvelope) -> None:
        """A conversation changed: in the background read it, let connections in and out, tell the event."""
        conversation_id = ConversationId(envelope.c)
        self._conversations.hint(conversation_id, envelope.revision)
        local = self._delivery.locals.get(conversation_id)
        if local is not None and _key(envelope) in local.announced:
            return
        pending = self._pending.get(conversation_id)
        if pending is None:
            pending = self._pending[conversation_id] = {}
            self._tasks.start(self._work(conversation_id, pending))
        pending.setdefault(_key(envelope), envelope)  # it comes on several channels
        while len(pending) > _MAX_PENDING:
            del pending[next(iter(pending))]

    def enforce(self, conversation: Conversation) -> None:
        """Let go who is no member any more, at once: something is about to be shown."""
        local = self._delivery.locals.get(conversation.conversation_id)
        if local is not None:
            self._let_go(local, conversation)

    def has_left(self, user_id: UserId, row: MembershipRow) -> bool:
        """Whether the user is out of it since `row` was read."""
        known = self._conversations.peek(row.conversation_id)
        return known is not None and known.revision >= row.revision and user_id not in known.members

    async def refresh(self, conversation_id: ConversationId) -> None:
        """Read the membership again.

        Raises:
            StoreError: it cannot be read now.
        """
        events = self._events(conversation_id)
        conversation = await self._conversations.read(conversation_id)
        is_told = conversation is not None and (events or self._newcomers(conversation))
        cursors = await self._store.read_cursors(conversation_id) if is_told else {}
        # From here on nothing is awaited: of two changes at once the later reading decides.
        conversation = self._conversations.latest(conversation)
        self._entering.turn_away(conversation_id, conversation.members if conversation is not None else ())
        local = self._delivery.locals.get(conversation_id)
        if local is not None:
            self._let_go(local, conversation)
        if conversation is None:
            return
        if local is not None:
            for event in events:
                self._announce(local, conversation, event, cursors)
        for connection in self._newcomers(conversation):
            self._let_in(connection, conversation, events, cursors.get(connection.user_id, 0))

    async def _work(self, conversation_id: ConversationId, pending: _Pending) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while keys := tuple(pending):
                try:
                    await self.refresh(conversation_id)
                except StoreError:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                    continue
                for key in keys:
                    pending.pop(key, None)
        finally:
            del self._pending[conversation_id]

    def _events(self, conversation_id: ConversationId) -> _Events:
        return tuple(self._pending.get(conversation_id, {}).values())

    def _newcomers(self, conversation: Conversation) -> list[Connection]:
        """Members' connections that do not hear it yet; those still being answered their `hello` remember it."""
        conversation_id, newcomers = conversation.conversation_id, []
        for user_id in dict.fromkeys(conversation.members):
            for connection in self._hub.connections_of(user_id):
                if connection.conversations is None:
                    connection.missed[conversation_id] = None
                elif conversation_id not in connection.conversations:
                    newcomers.append(connection)
        return [each for each in newcomers if not self._entering.is_under_way(each, conversation_id)]

    def _let_in(self, connection: Connection, conversation: Conversation, events: _Events, last_read_seq: int) -> None:
        told = next((e for e in events if e.event == "created" or _names(e, "member_added", connection.user_id)), None)
        event: ConversationEvent = "created" if told is not None and told.event == "created" else "member_added"
        by = UserId(told.by) if told is not None else conversation.created_by
        self._entering.begin(Entrance(connection, conversation, event, by, last_read_seq))

    def _let_go(self, local: LocalConversation, conversation: Conversation | None) -> None:
        members = frozenset(conversation.members if conversation is not None else ())
        local.members_version = conversation.members_version if conversation is not None else 0
        for connection in [c for c in local.connections if c.user_id not in members]:
            if conversation is not None and connection.entered.get(local.conversation_id, 0) > conversation.revision:
                continue  # let in by a later reading than this one
            self._hub.leave(local, connection, self._clock.monotonic())
            connection.entered.pop(local.conversation_id, None)
            if conversation is not None:
                self._entering.note_left(connection.user_id, conversation)
            events = self._events(local.conversation_id)
            by = next((event.by for event in events if _names(event, "member_removed", connection.user_id)), "")
            connection.deliver(
                _frame(
                    ConversationNotice(
                        conversation_id=local.conversation_id,
                        event="member_removed",
                        user_id=connection.user_id,
                        by=by,
                        revision=conversation.revision if conversation is not None else 0,
                    )
                )
            )

    def _announce(
        self,
        local: LocalConversation,
        conversation: Conversation,
        event: envelopes.ConversationEnvelope,
        cursors: Mapping[UserId, Seq],
    ) -> None:
        """Tell an event to the connections that were in before it, once."""
        if not local.announce_once(_key(event)):
            return
        self._hub.flush()
        for connection in local.connections:
            if connection.entered.get(local.conversation_id, 0) >= event.revision:
                continue
            if _names(event, "member_removed", connection.user_id):
                continue  # the user is a member again by now, and the device was never out
            view = summary(
                conversation,
                connection.user_id,
                last_read_seq=cursors.get(connection.user_id, 0),
                indicator_members=self._indicator_members,
                last_seq=local.shown,
            )
            notice = ConversationNotice(
                conversation_id=conversation.conversation_id,
                event=event.event,
                user_id=event.user or UNSET,
                by=event.by,
                revision=conversation.revision,
                conversation=view,
            )
            connection.deliver(_frame(notice))


def _key(envelope: envelopes.ConversationEnvelope) -> EventKey:
    return envelope.revision, envelope.event, envelope.user


def _names(envelope: envelopes.ConversationEnvelope, event: ConversationEvent, user_id: UserId) -> bool:
    """Whether it tells of that having happened to this user."""
    return envelope.event == event and envelope.user == user_id
