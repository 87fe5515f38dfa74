"""Delivers messages of commits and envelopes to local sockets, each once and in order.

Every message goes through the conversation's sequencer, whatever its path; `gap_fill` fetches what is missing. Before a message
is shown, the membership has to be valid (`cache`): a removed member must not receive later messages.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, InstanceId, Seq
from holdfast.domain.messages import Message
from holdfast.errors import CommandError, StoreError
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.encoded import Encoded, runs
from holdfast.node.connections.hub import Hub
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.gap_fill import RETRY_SECONDS, GapFill, chunks
from holdfast.node.conversations.message_timing import MessageTiming
from holdfast.node.foundation import Process
from holdfast.node.sending.append import Appender, Commit
from holdfast.ports import Bus, MessageStore, PublishedCommit, RecentMessages
from holdfast.protocol import envelopes
from holdfast.protocol.frames import Reset, text_frame

_LINGER_SECONDS: Final = 10.0  # a conversation without local members stays that long: people come back
_MAX_HELD: Final = 1_000

_log = logging.getLogger(__name__)

PublishedTails = Callable[[Mapping[ConversationId, Seq], str], Awaitable[dict[ConversationId, Seq]]]
"""The tails of conversations, given lower bounds and a roster's proof, as far as Redis can prove them."""


async def _unpublished(_known: Mapping[ConversationId, Seq], _proof: str) -> dict[ConversationId, Seq]:
    return {}


def conversation_channel(conversation_id: ConversationId) -> str:
    """The channel of everything about one conversation."""
    return f"conversation:{conversation_id}"


class Delivery:
    """The conversations with members connected here. Lives in the loop."""

    def __init__(
        self,
        store: MessageStore,
        bus: Bus,
        recent_messages: RecentMessages,
        hub: Hub,
        conversations: Conversations,
        appender: Appender,
        announcer: Announcer,
        clock: StoreClock,
        process: Process,
        *,
        max_conversations: int,
    ) -> None:
        self.locals: dict[ConversationId, LocalConversation] = {}
        self.generation = ""
        self.on_stale_membership: Callable[[ConversationId], Coroutine[Any, Any, None]] | None = None
        self.on_newer_members: Callable[[Conversation], None] = lambda _: None
        self.published_tails: PublishedTails = _unpublished
        self._store = store
        self._bus = bus
        self._hub = hub
        self._conversations = conversations
        self._appender = appender
        self._clock = clock
        self._announcer = announcer
        self._telemetry = telemetry = process.telemetry
        self._tasks = process.tasks
        self.identity = process.identity
        self._max_conversations = max_conversations
        telemetry.local_conversations_limit.set(max_conversations)
        self.timing = MessageTiming(hub, clock, telemetry)
        self.gaps = GapFill(self, store, recent_messages, clock, telemetry, self._tasks)

    # --- in ---------------------------------------------------------------------------------------------------------

    def hand_over(self, commit: Commit) -> bool:
        """Commits of this instance: to its own sockets, then to the other instances, if the generation of the store is known;
        whether it is."""
        items = self.timing.committed(commit)
        if commit.own:
            self._suspect(commit.conversation_id, commit.own[0].seq)
        self.offer(commit.conversation_id, items)
        self._announce(commit, items)
        return bool(self.generation)

    def publish_again(self, conversation_id: ConversationId, messages: Sequence[Message]) -> None:
        """Messages that another instance may have failed to publish: an instance that has them drops them."""
        items = self.timing.stored(messages, "again")
        self.offer(conversation_id, items)
        self._announce(Commit(conversation_id, list(messages), self._clock.monotonic(), None), items)

    def receive(self, envelope: envelopes.MessagesEnvelope) -> None:
        """What another instance committed (our own, echoed, is dropped by the sequencer)."""
        conversation_id = ConversationId(envelope.c)
        if envelope.instance != self.identity.instance_id:
            first = envelope.seq - len(envelope.messages) + 1
            self._appender.note_foreign(conversation_id, InstanceId(envelope.instance), first, envelope.seq)
            self._suspect(conversation_id, first)
        local = self.locals.get(conversation_id)
        if local is None or (local.sequencer.head or 0) >= envelope.seq:
            return
        self.offer(conversation_id, self.timing.received(envelope))
        self.hint(conversation_id, envelope.seq)

    def hint(self, conversation_id: ConversationId, tail: Seq) -> None:
        """The conversation is reported to have reached `tail`."""
        local = self.locals.get(conversation_id)
        if local is not None:
            local.sequencer.hint(tail, self._clock.monotonic())

    # --- conversations become local, and stop being it ----------------------------------------------------------------

    async def activate(self, hints: Mapping[ConversationId, Seq], proof: str = "") -> None:
        """Make conversations local: subscribed, and their stream running. `hints`: lower bounds of their tails.

        `proof`: of the roster that they come from (`rosters`); while it holds, Redis knows the tails.

        Waits for the store as long as it takes; the caller's connection stays open meanwhile.

        Raises:
            CommandError: `overloaded`, when this instance has all the conversations it can.
        """
        new = [conversation_id for conversation_id in hints if conversation_id not in self.locals]
        if len(self.locals) + len(new) > self._max_conversations:
            raise CommandError("overloaded", "this instance follows as many conversations as it can", retry_after_ms=1000)
        if new:
            now = self._clock.monotonic()
            fresh = [LocalConversation(conversation_id, now) for conversation_id in new]
            self.locals.update((local.conversation_id, local) for local in fresh)
            task = self._tasks.start(self._start(fresh, {c: hints[c] for c in new}, proof))
            for local in fresh:
                local.starting = task
        starting = {local.starting for c in hints if (local := self.locals[c]).starting is not None}
        for task in starting:
            await asyncio.shield(task)

    async def _start(self, fresh: list[LocalConversation], hints: Mapping[ConversationId, Seq], proof: str) -> None:
        try:
            is_confirmed = await self._bus.subscribe(map(conversation_channel, hints))
            heads = await self._read_heads(hints, proof if is_confirmed else "")
        except Exception:
            for conversation_id in hints:  # so that the next client that needs them begins anew
                self.locals.pop(conversation_id, None)
            self._bus.unsubscribe(map(conversation_channel, hints))
            raise
        now = self._clock.monotonic()
        for local in fresh:
            local.starting = None
            local.is_unproven = not is_confirmed
            head = heads[local.conversation_id]
            self._appender.note_tail(local.conversation_id, head)
            self._show(local, local.sequencer.start(head, now))

    async def _read_heads(self, known: Mapping[ConversationId, Seq], proof: str) -> dict[ConversationId, Seq]:
        heads = await self.published_tails(known, proof)
        for chunk in chunks({c: seq for c, seq in known.items() if c not in heads}):
            while not heads.keys() >= chunk.keys():
                try:
                    heads |= await self._store.heads(chunk)
                except StoreError:
                    await asyncio.sleep(RETRY_SECONDS)
        return heads

    def is_subscribed(self, conversation_id: ConversationId) -> bool:
        """The bus has confirmed that envelopes of this conversation arrive here."""
        return bool(self._bus.subscription(conversation_channel(conversation_id)))

    def head(self, conversation_id: ConversationId) -> Seq:
        """How far a local conversation's stream is."""
        return self.locals[conversation_id].sequencer.head or 0

    def is_settled(self, conversation_id: ConversationId) -> bool:
        """The stream runs, and all that it let through has been shown."""
        local = self.locals[conversation_id]
        return local.starting is None and local.proving is None

    async def settled(self, conversation_ids: Iterable[ConversationId]) -> None:
        """Wait until these streams run and have shown what they let through."""
        for conversation_id in conversation_ids:
            local = self.locals.get(conversation_id)
            for task in (local.starting, local.proving) if local is not None else ():
                if task is not None:
                    await asyncio.shield(task)

    # --- time, and heads that may be wrong --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Close gaps that waited long enough, drop conversations without local connections; a few times a second."""
        now = self._clock.monotonic()
        idle, oldest_gap = [], 0.0
        for local in self.locals.values():
            oldest_gap = max(oldest_gap, self.gaps.close(local, now))
            if local.idle_since is not None and local.starting is None and now - local.idle_since > _LINGER_SECONDS:
                idle.append(local.conversation_id)
        for conversation_id in idle:
            del self.locals[conversation_id]
        if idle:
            self._bus.unsubscribe([conversation_channel(conversation_id) for conversation_id in idle])
        self._telemetry.local_conversations.set(len(self.locals))
        self._telemetry.oldest_gap.set(oldest_gap)

    def _suspect(self, conversation_id: ConversationId, first: Seq) -> None:
        """Message `first` was committed, and our stream has passed it: it comes again, or our head is wrong."""
        local = self.locals.get(conversation_id)
        if local is None or first > (local.sequencer.head or 0):
            return
        if local.suspected is None:
            self._tasks.start(self._check_head(local))
        local.suspected = min(first, local.suspected or first)

    async def _check_head(self, local: LocalConversation) -> None:
        """Where the store ends before our head (it was restored, or Redis named a wrong head), the stream goes back."""
        await self.gaps.afford(1)
        conversation_id, head = local.conversation_id, local.sequencer.head or 0
        tail = (await self._read_heads({conversation_id: head}, ""))[conversation_id]
        first, local.suspected = local.suspected or head, None
        if tail >= head:
            return
        _log.warning("a conversation ends before what was shown of it", extra={"fields": {"conversation_id": conversation_id}})
        local.is_filling = True
        local.sequencer.start(min(first - 1, tail), self._clock.monotonic())
        self._hub.tell(local, Reset(conversation_id=conversation_id, last_seq=local.sequencer.head or 0))
        await self.gaps.fill(local, tail, tail, path="poll")

    # --- out --------------------------------------------------------------------------------------------------------------

    def offer(self, conversation_id: ConversationId, items: Iterable[Encoded]) -> None:
        """Pass messages through the conversation's sequencer; those that have their turn are shown."""
        local = self.locals.get(conversation_id)
        if local is None:
            return
        local.active_at = now = self._clock.monotonic()
        for item in items:
            self._show(local, local.sequencer.offer(item.seq, item, now))

    def _show(self, local: LocalConversation, items: Sequence[Encoded]) -> None:
        """Fan out, unless the membership has to be read first; then everything waits for it, in order."""
        if not items or (not local.connections and local.proving is None):
            return
        conversation = self._conversations.cached(local.conversation_id)
        if local.proving is not None or conversation is None:
            self._hold(local, items)
            return
        if conversation.members_version > local.members_version:
            self.on_newer_members(conversation)
        self._fan_out(local, items)

    def _fan_out(self, local: LocalConversation, items: Sequence[Encoded]) -> None:
        for item in items:
            self.timing.fanned_out(item, self._hub.fan_out(local, text_frame(item.text)))

    def _hold(self, local: LocalConversation, items: Sequence[Encoded]) -> None:
        local.held.extend(items)
        if local.proving is None:
            local.proving = self._tasks.start(self._prove_then_show(local))

    async def _prove_then_show(self, local: LocalConversation) -> None:
        """Read the membership again, let removed members go, then show what waited."""
        while True:
            try:
                assert self.on_stale_membership is not None  # noqa: S101 - wired at construction of the node
                await self.on_stale_membership(local.conversation_id)
                break
            except Exception as error:  # noqa: BLE001 - what is held would be held for ever
                self._tasks.note_failure("tasks", error)
                if len(local.held) > _MAX_HELD:
                    break
                await asyncio.sleep(RETRY_SECONDS)
        held, local.held, local.proving = local.held, [], None
        if len(held) > _MAX_HELD:
            self._telemetry.dropped.labels("held").inc(len(held))
            self._restart_connections(local)
            return
        self._fan_out(local, held)

    def _restart_connections(self, local: LocalConversation) -> None:
        """More waited than may be kept: their clients resume by cursor, elsewhere or later."""
        for connection in tuple(local.connections):
            connection.transport.close(1013, "overloaded")

    def _announce(self, commit: Commit, items: list[Encoded]) -> None:
        """To the other instances."""
        published = [self._published(commit, run) for run in runs(items)] if self.generation else []
        self._announcer.head(commit.conversation_id, items[-1].seq, published)

    def _published(self, commit: Commit, run: list[Encoded]) -> PublishedCommit:
        envelope, kept = self.timing.enveloped(commit, run, self.generation, self.identity.instance_id)
        return PublishedCommit(commit.conversation_id, run[0].seq, kept, envelope, self.generation)
