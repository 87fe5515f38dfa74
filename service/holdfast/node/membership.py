"""Who hears which conversation, after a change of members.

An envelope about membership is a hint: the conversation is read again, and local connections join or leave by what it says.
The event itself is told once per revision, however many channels it came on.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from holdfast.domain.conversations import Conversation
from holdfast.domain.conversations import Membership as MembershipRow
from holdfast.domain.ids import ConversationId, UserId
from holdfast.node.connection import Connection
from holdfast.node.conversations import Conversations
from holdfast.node.delivery import Delivery
from holdfast.node.hub import Hub
from holdfast.node.local import LocalConversation
from holdfast.node.views import summary
from holdfast.ports import Clock, ClusterBus, MessageStore, PublishedChange
from holdfast.protocol import envelopes
from holdfast.protocol.frames import ConversationEvent, ConversationNotice
from holdfast.protocol.frames import frame as _frame


class Membership:
    """Lives in the loop."""

    def __init__(
        self,
        store: MessageStore,
        bus: ClusterBus,
        hub: Hub,
        conversations: Conversations,
        delivery: Delivery,
        clock: Clock,
        *,
        indicator_members: int,
        on_membership: Callable[[UserId, Conversation, bool], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._hub = hub
        self._conversations = conversations
        self._delivery = delivery
        self._clock = clock
        self._indicator_members = indicator_members
        self._on_membership = on_membership
        self._applying: dict[ConversationId, envelopes.ConversationEnvelope] = {}

    def publish(
        self,
        conversation: Conversation,
        event: ConversationEvent,
        by: UserId,
        affected: Iterable[UserId],
        marks: Sequence[str] = (),
    ) -> envelopes.ConversationEnvelope:
        """Tell the other instances: those that follow the conversation, and those where the affected users are.

        With it goes what Redis remembers of the affected users' conversations, and the `marks` that said that it would.
        """
        affected = tuple(affected)
        envelope = envelopes.ConversationEnvelope(
            v=envelopes.VERSION,
            kind="conversation",
            c=conversation.conversation_id,
            generation=self._delivery.generation,
            event=event,
            by=by,
            user=affected[0] if event in ("member_added", "member_removed") else None,
            members_version=conversation.members_version,
            revision=conversation.revision,
        )
        self._bus.publish_change(
            PublishedChange(
                conversation.conversation_id,
                conversation.revision,
                len(conversation.members),
                envelopes.encode(envelope),
                affected,
                marks,
                self._delivery.generation,
            )
        )
        return envelope

    async def publish_again(self, conversation_id: ConversationId, revision: int, user_ids: Iterable[UserId]) -> None:
        """Somebody meant to change the conversation when it had `revision`, and may not have told; these users are affected.

        Raises:
            StoreError: it cannot be read now.
        """
        conversation = await self._conversations.read(conversation_id)
        if conversation is None or conversation.revision <= revision:
            return  # not in, or not yet
        await self.apply(self.publish(conversation, "updated", conversation.created_by, dict.fromkeys(user_ids)))

    async def apply(self, envelope: envelopes.ConversationEnvelope) -> None:
        """Something changed: read it, let people in and out, tell the event.

        Raises:
            StoreError: the conversation cannot be read now.
        """
        conversation_id = ConversationId(envelope.c)
        self._conversations.hint(conversation_id, envelope.revision)
        local = self._delivery.locals.get(conversation_id)
        if local is not None and envelope.revision in local.announced:
            return
        if (applying := self._applying.get(conversation_id)) is not None and applying.revision == envelope.revision:
            return  # it comes on several channels
        self._applying[conversation_id] = envelope
        try:
            await self._apply(conversation_id, envelope)
        finally:
            if self._applying.get(conversation_id) is envelope:
                del self._applying[conversation_id]

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
        """Read the membership again, without an event.

        Raises:
            StoreError: it cannot be read now.
        """
        await self._apply(conversation_id, None)

    async def _apply(self, conversation_id: ConversationId, envelope: envelopes.ConversationEnvelope | None) -> None:
        conversation = await self._conversations.read(conversation_id)
        envelope = envelope or self._applying.get(conversation_id)  # who is let in for another reason is told of it all the same
        members = conversation.members if conversation is not None else ()
        cursors = await self._store.read_cursors(conversation_id) if envelope is not None and conversation else {}
        newcomers = self._newcomers(conversation_id, members)
        if newcomers and conversation is not None:
            await self._delivery.activate({conversation_id: conversation.last_seq})
        local = self._delivery.locals.get(conversation_id)
        if local is None:
            return
        # From here on nothing is awaited: who joins hears everything after the head that the notice names, and of two
        # changes at once the later reading decides.
        conversation = self._conversations.latest(conversation)
        members = conversation.members if conversation is not None else ()
        self._let_go(local, conversation)
        if conversation is None:
            return
        if envelope is not None and local.announce_once(envelope.revision):
            for connection in local.connections:
                if connection.entered.get(conversation_id, 0) < envelope.revision:
                    self._tell(connection, local, conversation, envelope, cursors.get(connection.user_id, 0))
        as_newcomer = envelope if envelope is not None and envelope.event != "updated" else None
        for connection in self._newcomers(conversation_id, members):
            self._tell(connection, local, conversation, as_newcomer, cursors.get(connection.user_id, 0))
            self._hub.join(local, connection)
            connection.entered[conversation_id] = conversation.revision
            self._on_membership(connection.user_id, conversation, True)

    def _newcomers(self, conversation_id: ConversationId, members: Sequence[UserId]) -> list[Connection]:
        """Members' connections that do not hear it yet; those still being answered their `hello` remember it."""
        newcomers = []
        for user_id in members:
            for connection in self._hub.connections_of(user_id):
                if connection.conversations is None:
                    connection.missed[conversation_id] = None
                elif conversation_id not in connection.conversations:
                    newcomers.append(connection)
        return newcomers

    def _let_go(self, local: LocalConversation, conversation: Conversation | None) -> None:
        members = frozenset(conversation.members if conversation is not None else ())
        local.members_version = conversation.members_version if conversation is not None else 0
        envelope = self._applying.get(local.conversation_id)
        for connection in [c for c in local.connections if c.user_id not in members]:
            self._hub.leave(local, connection, self._clock.monotonic())
            connection.entered.pop(local.conversation_id, None)
            if conversation is not None:
                self._on_membership(connection.user_id, conversation, False)
            connection.deliver(
                _frame(
                    ConversationNotice(
                        conversation_id=local.conversation_id,
                        event="member_removed",
                        user_id=connection.user_id,
                        by=envelope.by if envelope is not None else "",
                        revision=conversation.revision if conversation is not None else 0,
                    )
                )
            )

    def _tell(
        self,
        connection: Connection,
        local: LocalConversation,
        conversation: Conversation,
        envelope: envelopes.ConversationEnvelope | None,
        last_read_seq: int,
    ) -> None:
        view = summary(
            conversation,
            last_read_seq=last_read_seq,
            indicator_members=self._indicator_members,
            head=local.sequencer.head or 0,
        )
        view = replace(view, last_seq=local.shown, unread_count=max(0, local.shown - last_read_seq))
        self._hub.flush()
        connection.deliver(
            _frame(
                ConversationNotice(
                    conversation_id=conversation.conversation_id,
                    event=envelope.event if envelope is not None else "member_added",
                    user_id=connection.user_id if envelope is None else envelope.user or UNSET,
                    by=envelope.by if envelope is not None else conversation.created_by,
                    revision=conversation.revision,
                    conversation=view,
                )
            )
        )
