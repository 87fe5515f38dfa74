"""Read receipts: cursors that only move forward, at most two writes a second per conversation.

A read is answered after its cursor is committed. All reads between two writes go into one write. Every advance of a cursor is
told: by a read, or by a message of the user's that counts as reading (`reading`). The last told position is kept apart from the
cursor: an explicit read beyond it is told, although the cursor may be there already.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import CommandError, StoreError, StoreRejected
from holdfast.node.cluster.announcer import Announcer
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery, conversation_channel
from holdfast.node.notifications.decision import Notifications
from holdfast.node.users.presence_fan_out import PresenceFanOut
from holdfast.node.users.reading import Advance, Seen, Sent, advance
from holdfast.node.users.receipt_fan_out import ReceiptFanOut
from holdfast.ports import Clock, CursorStore, MessageStore, RosterCache
from holdfast.protocol import envelopes
from holdfast.protocol.jsontext import rfc3339

WRITE_INTERVAL_SECONDS: Final = 0.5  # 2 writes a second per document: Firestore's sustained limit is about 1, short bursts pass
DEADLINE_SECONDS: Final = 2.6
_INSIST_SECONDS: Final = 60.0  # so long a cursor is written again whose write had no answer
_MAX_PENDING: Final = 10_000

_log = logging.getLogger(__name__)


class ReceiptStore(CursorStore, MessageStore, Protocol):
    """Read cursors, and the tails that they may not pass."""


@dataclass(frozen=True, slots=True)
class ReadDone:
    """The cursor as committed."""

    seq: Seq
    read_at: str


OnRead = Callable[[ReadDone | CommandError], None]


@dataclass(slots=True, eq=False)
class _Reader:
    """An explicit read, or with `seen` the user's own message at `seq`."""

    user_id: UserId
    seq: Seq
    asked_at: float
    on_done: OnRead | None = None
    bypass_membership: bool = False
    seen: Seen | None = None

    def answer(self, result: ReadDone | CommandError) -> None:
        callback, self.on_done = self.on_done, None
        if callback is not None:
            callback(result)


@dataclass(slots=True, eq=False)
class _Lane:
    conversation_id: ConversationId
    readers: list[_Reader] = field(default_factory=list)
    under_way: list[_Reader] = field(default_factory=list)


class Receipts:
    """Lives in the loop."""

    def __init__(
        self,
        store: ReceiptStore,
        announcer: Announcer,
        fan_out: ReceiptFanOut,
        conversations: Conversations,
        delivery: Delivery,
        rosters: RosterCache,
        presence_fan_out: PresenceFanOut,
        notifications: Notifications,
        clock: Clock,
        *,
        indicator_members: int,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._fan_out = fan_out
        self._positions = fan_out.positions
        self._conversations = conversations
        self._delivery = delivery
        self._rosters = rosters
        self._presence_fan_out = presence_fan_out
        self._notifications = notifications
        self._clock = clock
        self._indicator_members = indicator_members
        self._lanes: dict[ConversationId, _Lane] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._pending = 0

    def read(
        self, conversation_id: ConversationId, user_id: UserId, seq: Seq, on_done: OnRead, *, bypass_membership: bool = False
    ) -> None:
        """Move a cursor; `on_done` is called once, in the loop."""
        if self._pending >= _MAX_PENDING:
            on_done(CommandError("overloaded", "too many receipts are waiting", retry_after_ms=1000))
            return
        self._enqueue(conversation_id, _Reader(user_id, seq, self._clock.monotonic(), on_done, bypass_membership))

    def note_sent(self, conversation_id: ConversationId, user_id: UserId, seq: Seq, seen: Seen) -> None:
        """A user's own message is stored. No client waits for what follows; under pressure it is left to the next message."""
        if self._pending < _MAX_PENDING // 2 and seq > self._positions.of(conversation_id, user_id).cursor:
            self._enqueue(conversation_id, _Reader(user_id, seq, self._clock.monotonic(), seen=seen))

    def expire(self) -> None:
        """Answer reads whose deadline has passed; a few times a second."""
        overdue = self._clock.monotonic() - DEADLINE_SECONDS
        error = _unavailable()
        for lane in tuple(self._lanes.values()):
            for reader in (*lane.under_way, *lane.readers):
                if reader.asked_at <= overdue:
                    reader.answer(error)

    async def close(self, timeout_seconds: float) -> None:
        """Wait for what is under way, at most that long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout_seconds)
        for task in tuple(self._tasks):
            task.cancel()

    def _enqueue(self, conversation_id: ConversationId, reader: _Reader) -> None:
        self._pending += 1
        lane = self._lanes.get(conversation_id)
        if lane is None:
            lane = self._lanes[conversation_id] = _Lane(conversation_id)
            self._start(self._run(lane))
        lane.readers.append(reader)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _run(self, lane: _Lane) -> None:
        try:
            while lane.readers:
                lane.under_way, lane.readers = lane.readers, []
                try:
                    await self._write(lane.conversation_id, lane.under_way)
                except StoreError as failure:
                    _log.info("cursors could not be written: %s", failure)
                    _answer_all(lane.under_way, _unavailable())
                    is_refused = isinstance(failure, StoreRejected)  # for good: it would be refused again
                    lane.readers[:0] = kept = [] if is_refused else self._kept(lane.under_way)
                    self._pending += len(kept)
                except Exception:  # noqa: BLE001 - a lane must not die with reads in it: whatever it is, they are answered
                    _log.exception("receipts failed")
                    _answer_all(lane.under_way, CommandError("internal_error", "this read failed"))
                self._pending -= len(lane.under_way)
                lane.under_way = []
                await asyncio.sleep(WRITE_INTERVAL_SECONDS)
        finally:
            self._pending -= len(lane.readers) + len(lane.under_way)
            del self._lanes[lane.conversation_id]

    def _kept(self, readers: list[_Reader]) -> list[_Reader]:
        """What to write again: the write may be in, and its advance is not told yet.

        Of a user's reads it is the highest. Own messages are all kept: one that is missing would lie unread before the next.
        """
        since = self._clock.monotonic() - _INSIST_SECONDS
        recent = [reader for reader in readers if reader.asked_at > since]
        reads = sorted((reader for reader in recent if reader.seen is None), key=lambda each: each.seq)
        highest = {reader.user_id: reader for reader in reads}
        return [*highest.values(), *(reader for reader in recent if reader.seen is not None)]

    async def _write(self, conversation_id: ConversationId, readers: list[_Reader]) -> None:
        conversation = await self._conversations.for_members(conversation_id, {reader.user_id for reader in readers})
        readers = await self._admit(conversation, conversation_id, readers)
        if not readers or conversation is None:
            return
        is_small = len(conversation.members) <= self._indicator_members
        advances = await self._advances(conversation, readers)
        cursors = {user_id: made.cursor for user_id, made in advances.items()}
        if not cursors:
            return
        first = await self._first_time(conversation, cursors) if is_small else frozenset()
        writing = await self._rosters.begin_reads(conversation_id, list(cursors))
        committed = await self._store.advance_cursors(conversation_id, cursors, _read_by(advances) if is_small else {})
        self._rosters.end_reads(writing, conversation_id, committed, self._delivery.generation)
        read_at = rfc3339(self._clock.now_ms())
        for user_id in cursors.keys() - committed.keys():  # the store was restored, and ends before these cursors
            self._positions.forget(conversation_id, user_id)
        for reader in (each for each in readers if each.seen is None):
            if (cursor := committed.get(reader.user_id)) is not None:
                reader.answer(ReadDone(cursor, read_at))
            else:
                reader.answer(_gone() if reader.seq >= cursors[reader.user_id] else _unavailable())
        for user_id, seq in committed.items():
            position = self._positions.of(conversation_id, user_id)
            position.note(seq)
            is_news = min(advances[user_id].to_tell, seq) > position.told  # not `owed`: the position may have had to go meanwhile
            if is_news:
                position.told = seq
                self._notifications.note_read(conversation_id, user_id, seq)
                self._fan_out.show(conversation_id, user_id, seq, read_at, is_small=is_small)
            if is_first := user_id in first:
                self._presence_fan_out.accepted(conversation_id, user_id)
            if is_news or is_first:
                self._publish(conversation_id, user_id, seq if is_news else 0, read_at, is_small=is_small, is_first=is_first)

    async def _first_time(self, conversation: Conversation, cursors: Mapping[UserId, Seq]) -> frozenset[UserId]:
        """Which of these members have not accepted the conversation before (`acceptance`)."""
        c = conversation.conversation_id
        unknown = {u for u in cursors if u in conversation.members and not self._positions.of(c, u).cursor}
        return frozenset(unknown.difference(await self._presence_fan_out.acceptances.of(c)) if unknown else ())

    async def _advances(self, conversation: Conversation, readers: list[_Reader]) -> dict[UserId, Advance]:
        """By user. Where an own message follows one that this instance does not know to be read, the store is asked.

        A user's first message makes a cursor wherever it stands: that is how the store knows who has accepted the conversation.
        """
        advances = {}
        c = conversation.conversation_id
        by_user: dict[UserId, list[_Reader]] = {}
        for reader in readers:
            by_user.setdefault(reader.user_id, []).append(reader)
        for user_id, of_user in by_user.items():
            reads = [reader.seq for reader in of_user if reader.seen is None]
            sent = [Sent(reader.seq, reader.seen) for reader in of_user if reader.seen is not None]
            position, start = self._positions.of(c, user_id), conversation.joined_seq(user_id)
            made, has_cursor = advance(position, start, reads, sent), True
            if made.unread:
                position.owed = max(position.owed, made.to_tell)  # the stored cursor may be of a write whose answer was lost
                stored = await self._store.cursors_of(user_id, [c])
                has_cursor = bool(stored)
                made = advance(position, max([start, *stored.values()]), reads, sent)
            for seq in made.unread:
                position.note_own(seq)
            made.to_tell = position.owed = max(position.owed, made.to_tell)
            if reads or made.cursor > position.cursor or not has_cursor or position.owed > position.told:
                advances[user_id] = made
        return advances

    async def _admit(
        self, conversation: Conversation | None, conversation_id: ConversationId, readers: list[_Reader]
    ) -> list[_Reader]:
        """Refuse non-members, and cursors beyond the end (after reading the tail again)."""
        members = frozenset(conversation.members if conversation is not None else ())
        admitted = []
        for reader in readers:
            if reader.user_id in members or (reader.bypass_membership and conversation is not None):
                admitted.append(reader)
            else:
                reader.answer(CommandError("conversation_not_found", "no such conversation"))
        local = self._delivery.locals.get(conversation_id)
        tail = (local.sequencer.head or 0) if local is not None else 0
        if any(reader.seq > tail and reader.seen is None for reader in admitted):
            tail = (await self._store.heads({conversation_id: tail}))[conversation_id]
        for reader in admitted:
            if reader.seq > tail and reader.seen is None:
                reader.answer(_gone())
                reader.seq = -1
        return [reader for reader in admitted if reader.seq >= 0]

    def _publish(
        self, conversation_id: ConversationId, user_id: UserId, seq: Seq, read_at: str, *, is_small: bool, is_first: bool
    ) -> None:
        envelope = envelopes.ReceiptEnvelope(
            v=envelopes.VERSION,
            kind="receipt",
            c=conversation_id,
            seq=seq,
            generation=self._delivery.generation,
            user=user_id,
            read_at=read_at,
            is_first=is_first,
        )
        channel = conversation_channel(conversation_id) if is_small else f"user:{user_id}"
        self._announcer.receipt(envelope, channel)


def _gone() -> CommandError:
    """It was not written yet, or a restored store has it no more."""
    return CommandError("message_not_found", "there is no such message yet", field="message_id")


def _unavailable() -> CommandError:
    """The same read succeeds later."""
    return CommandError("store_unavailable", "the store did not answer", retry_after_ms=1000)


def _read_by(advances: Mapping[UserId, Advance]) -> dict[Seq, list[UserId]]:
    """Which users are added to which messages' `readBy`."""
    read_by: dict[Seq, list[UserId]] = {}
    for user_id, made in advances.items():
        for seq in made.read:
            read_by.setdefault(seq, []).append(user_id)
    return read_by


def _answer_all(readers: list[_Reader], error: CommandError) -> None:
    for reader in readers:
        reader.answer(error)
