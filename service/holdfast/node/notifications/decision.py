"""Decides after a commit which users are notified of a message because they are away, and records it in the store.

A user who is connected here or (according to Redis) elsewhere is not notified. For the others the store decides: offline means a
record now. `offline_backfill` handles users who go offline later, those included who were filtered here a moment before.
A commit keeps its mark until this is done: if this instance dies in between, the instance that finishes its commits
(`unfinished_commits`, `stored_marks`) decides again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from holdfast.domain.buckets import TokenBucket
from holdfast.domain.chunks import chunks
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Committed, Message
from holdfast.domain.notifications import IN_FLIGHT_MS, MAX_RECORD_MEMBERS, Notification
from holdfast.domain.presence import Presence
from holdfast.errors import HoldfastError, StoreError, StoreTimeout
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.cache import Conversations
from holdfast.node.notifications.pushing import Pushing
from holdfast.node.notifications.records import Recently, large_id, record_of
from holdfast.node.notifications.second_look import KNOWN_SECONDS, SecondLooks
from holdfast.node.notifications.slow_commits import SlowCommits
from holdfast.node.sending.append import Commit
from holdfast.node.sending.own_marks import OwnMarks
from holdfast.node.tasks import Tasks
from holdfast.ports import Clock, MessageStore, NotificationStore, PresenceStore, Registry
from holdfast.telemetry import Telemetry
from holdfast.waiting import Joined

MAX_WAITING: Final = 10_000  # messages; more are left to `unfinished_commits`, which finds their marks
MAX_RECORDS: Final = 200  # per write
FIRST_PAGE: Final = 20  # messages: what comes in a grace, mostly; each further page is four times as long
_WORKERS: Final = 8
_MAX_READ: Final = 1_000  # users whose presence is read at once
BELIEVED_SECONDS: Final = 2.0
"""For so long an instance believes the answer of Redis that a user is connected. Less than any grace: when the backfill of a user
is over, no instance filters the user by an older answer."""
RESTED_SECONDS: Final = 2.0
"""A record rests on data read less than this ago, also after a thaw. There is no second fence on the last renewal of our own
lease: nothing here rests on it. Redis only filters, by other instances' leases, which its script checks at the time of the call.
The store decides about users that Redis does not filter. Without Redis no lease is renewed, and users have to be notified all the
same."""
_TRIES: Final = 240
TRIES_AT_ONCE: Final = 3  # after a thaw answers are too old once; a store that is slow for longer is asked after a pause
_RETRY_SECONDS: Final = 0.5
_LOG_NAMES: Final = 20
_LOG_PER_SECOND: Final = 50

_log = logging.getLogger(__name__)


class DecisionStore(MessageStore, PresenceStore, NotificationStore, Protocol):
    """The concepts of the store that a decision reads and writes."""


@dataclass(slots=True)
class _Work:
    """The waiting messages of one conversation.

    Attributes:
        commits: whose marks are done with when this is decided.
        only: the one member whom it concerns; None for all.
        slow: messages whose commit was answered slowly (`slow_commits`).
        has_waiting: a member without a connection is not offline in the store, or not yet.
        at_ms: when each was committed, or handed on, by the store's clock, as far as that is known: recipients may have seen it,
            and gone since.
        noted_at: after the commit of each of them; monotonic seconds.
    """

    messages: list[Message] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    at_ms: dict[Seq, int] = field(default_factory=dict)
    noted_at: float = 0.0
    only: UserId | None = None
    slow: list[Committed] = field(default_factory=list)
    has_waiting: bool = False

    def is_missed(self, message: Message, last_seen_at_ms: int) -> bool:
        """Whether a user who was last seen then, by the store's clock, may not have seen the message."""
        return message.seq not in self.at_ms or self.at_ms[message.seq] > last_seen_at_ms - IN_FLIGHT_MS


class Notifications:
    """Lives in the loop."""

    def __init__(
        self,
        store: DecisionStore,
        own_marks: OwnMarks,
        registry: Registry,
        hub: Hub,
        conversations: Conversations,
        clock: Clock,
        store_clock: StoreClock,
        telemetry: Telemetry,
        tasks: Tasks,
        pushing: Pushing,
        grace_seconds: float,
    ) -> None:
        self._store = store
        self._own_marks = own_marks
        self._registry = registry
        self._hub = hub
        self._conversations = conversations
        self._clock = clock
        self._store_clock = store_clock
        self._telemetry = telemetry
        self._filtered = telemetry.notifications.labels("filtered")
        self._tasks = tasks
        self._pushing = pushing
        self._waiting: OrderedDict[ConversationId, _Work] = OrderedDict()
        self._waiting_messages = 0
        self._busy: set[ConversationId] = set()
        self._workers = 0
        self._presence = Joined(self._read_presence, _MAX_READ)
        self._connected = Recently(BELIEVED_SECONDS)
        self._recorded = Recently(KNOWN_SECONDS)
        self._slow = SlowCommits(store_clock, grace_seconds)
        self._second_looks = SecondLooks(tasks, telemetry, self._clear, self._look_after)
        self._log_bucket = TokenBucket(_LOG_PER_SECOND, 4 * _LOG_PER_SECOND, clock.monotonic())

    def note(self, commit: Commit) -> None:
        """This instance has committed messages; their mark is removed when it is decided which users are notified.

        That is at once where all members are known to be connected: no user is notified, and nothing is asked.
        """
        slow = self._slow.slow(commit)
        if not slow and self._are_all_connected(commit.conversation_id):
            self._own_marks.decided(commit)
            return
        work = self._enqueue(commit.conversation_id, commit.own)
        if work is not None:
            work.slow += slow
            work.commits.append(commit)
            if self._store_clock.is_known:
                work.at_ms |= dict.fromkeys((message.seq for message in commit.own), self._store_clock.now())
        else:
            self._own_marks.leave(commit.marking)

    def tick(self) -> None:
        """Decide once more about commits that were answered slowly (`slow_commits`); once a second is enough."""
        for conversation_id, committed in self._slow.due():
            work = self._enqueue(conversation_id, [each.message for each in committed])
            if work is not None:
                work.slow += committed
                work.at_ms |= {each.message.seq: each.at_ms for each in committed}

    def _are_all_connected(self, conversation_id: ConversationId) -> bool:
        """Whether every member is connected here, or was elsewhere a moment ago, as Redis said; else False."""
        now = self._clock.monotonic()
        conversation = self._conversations.cached_as_of(conversation_id, now)
        if conversation is None:
            return False
        if not all(self._connected.holds(user_id, now) for user_id in self._hub.absent(conversation.members)):
            return False
        self._tell_filtered(conversation_id, conversation.members)
        return True

    def _enqueue(self, conversation_id: ConversationId, messages: Sequence[Message]) -> _Work | None:
        """The waiting messages of the conversation, with these; None when too many wait."""
        if self._waiting_messages >= MAX_WAITING:
            self._telemetry.dropped.labels("notifications").inc(len(messages))
            return None
        work = self._waiting.setdefault(conversation_id, _Work())
        work.messages += messages
        work.noted_at = self._clock.monotonic()
        self._waiting_messages += len(messages)
        self._work_soon()
        return work

    async def decide_again(self, conversation_id: ConversationId, found: Sequence[Committed]) -> None:
        """These messages may have been left undecided by an instance that died, however long ago.

        Raises: StoreError: not all is written.
        """
        await self._decide(conversation_id, self._work_of(found))

    async def _look_after(self, conversation_id: ConversationId, user_id: UserId, after_seq: Seq) -> None:
        """The messages after a message, for one user alone. Mostly there are none, or the user is here: that costs no page."""
        if self._hub.count_of(user_id) or (await self._store.heads({conversation_id: after_seq}))[conversation_id] <= after_seq:
            return
        async for found in self._pages(conversation_id):
            later = [each for each in found if each.message.seq > after_seq]
            if later:
                await self._decide(conversation_id, self._work_of(later, user_id))
            if len(later) < len(found):
                return

    async def _pages(self, conversation_id: ConversationId) -> AsyncIterator[list[Committed]]:
        """The commits, page by page from the end; each page is four times as long as the one before."""
        before_seq: Seq | None = None
        limit = FIRST_PAGE
        while found := await self._store.messages_since(conversation_id, 0, limit, before_seq):
            yield found
            if len(found) < limit:
                return
            before_seq, limit = found[0].message.seq, min(4 * limit, MAX_RECORDS)

    def note_read(self, conversation_id: ConversationId, user_id: UserId, seq: Seq) -> None:
        """A cursor moved: in a large conversation the next message may notify its user again."""
        conversation = self._conversations.peek(conversation_id)
        if conversation is not None and len(conversation.members) > MAX_RECORD_MEMBERS:
            self._recorded.forget(large_id(conversation_id, user_id))
            self._second_looks.begin(conversation_id, user_id, seq, has_read=True)

    def note_added(self, conversation_id: ConversationId, user_id: UserId, joined_seq: Seq) -> None:
        """A member was added here: the next message may be committed by an instance that has not heard of it yet."""
        self._second_looks.begin(conversation_id, user_id, joined_seq, has_read=False)

    def _work_of(self, found: Sequence[Committed], only: UserId | None = None) -> _Work:
        """To decide about messages that were not committed here, or long ago."""
        at_ms = {each.message.seq: each.at_ms for each in found}
        return _Work([each.message for each in found], at_ms=at_ms, noted_at=self._clock.monotonic(), only=only)

    def _work_soon(self) -> None:
        if self._workers < _WORKERS:
            self._workers += 1
            self._tasks.start(self._work())

    async def _work(self) -> None:
        """One of a few workers: none per message. A conversation is one worker's at a time."""
        try:
            while (conversation_id := next((c for c in self._waiting if c not in self._busy), None)) is not None:
                work = self._waiting.pop(conversation_id)
                self._waiting_messages -= len(work.messages)
                self._busy.add(conversation_id)
                try:
                    await self._insist(conversation_id, work)
                finally:
                    self._busy.discard(conversation_id)
        finally:
            self._workers -= 1

    async def _insist(self, conversation_id: ConversationId, work: _Work) -> None:
        for _ in range(_TRIES):
            try:
                await self._decide(conversation_id, work)
            except StoreError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - the worker has others to see to
                self._tasks.note_failure("notifications", error)
                break
            for commit in work.commits:
                self._own_marks.decided(commit)
            if work.has_waiting:
                self._telemetry.dropped.labels("notifications").inc(self._slow.keep(conversation_id, work.slow))
            return
        for commit in work.commits:
            self._own_marks.leave(commit.marking)
        _log.warning("notifications are not decided: left to the sweep", extra={"fields": {"conversation_id": conversation_id}})

    async def _decide(self, conversation_id: ConversationId, work: _Work) -> None:
        """Raises: StoreError: not all is written, also because answers were too old when they came."""
        for _ in range(TRIES_AT_ONCE):
            if not work.messages:
                return
            work.has_waiting = False
            conversation = await self._conversations.as_of(conversation_id, work.noted_at)
            if conversation is None or await self._record(conversation, work):
                return
        raise StoreTimeout("the store answers too slowly: its answers are too old when records are to be written")

    async def _record(self, conversation: Conversation, work: _Work) -> bool:
        """Write what is due, some users at a time; False where an answer had become too old before all was written."""
        asked = [u for u in conversation.members if work.only in (None, u)]
        away = await self._away(conversation, asked, is_asked_anew=bool(work.slow))
        due = [user_id for user_id in away if any(self._unwritten(user_id, conversation, work))]
        is_whole = True
        for some in chunks(due, MAX_RECORDS):
            read_at, offline = await self._offline_since(some, work)
            records: dict[str, Notification] = {}
            for user_id, since_ms in offline.items():
                for message, record in self._unwritten(user_id, conversation, work):
                    if work.is_missed(message, since_ms):
                        records.setdefault(record.notification_id, record)
            is_whole &= await self.create(list(records.values()), read_at)
        return is_whole

    async def create(self, records: Sequence[Notification], read_at: float) -> bool:
        """Write records; those that exist stay as they are.

        Args:
            read_at: when what they rest on was read, or later; monotonic seconds.

        Returns:
            False when that has become too old, because it took long or we stood still: some are missing, decide again.

        Raises:
            StoreError: some may be missing; doing it again is harmless.
        """
        for batch in chunks(records, MAX_RECORDS):
            if self._clock.monotonic() - read_at >= RESTED_SECONDS:
                return False
            created = await self._store.create_notifications(batch)
            for record in batch:  # from before the write: a read elsewhere may have cleared it since
                self._recorded.add(record.notification_id, read_at)
            self._telemetry.notifications.labels("created").inc(len(created))
            if created:
                self._pushing.look_soon()
        return True

    def _unwritten(self, user_id: UserId, conversation: Conversation, work: _Work) -> Iterator[tuple[Message, Notification]]:
        """The messages for a user, the last one first, with the record of each that this instance has not written lately.

        In a large conversation one record stands for all messages: the last one is told. For one member alone (`work.only`) every
        record is written once more: what the user has read meanwhile was taken away.
        """
        now, size = self._clock.monotonic(), len(conversation.members)
        for message in reversed(work.messages):
            if user_id != message.sender and message.seq > conversation.joined_seq(user_id):
                record = record_of(message, user_id, size)
                if work.only is not None or not self._recorded.holds(record.notification_id, now):
                    yield message, record

    async def _away(self, conversation: Conversation, user_ids: Sequence[UserId], *, is_asked_anew: bool) -> list[UserId]:
        """Those of these members who are connected nowhere, as far as this instance and Redis know.

        `is_asked_anew`: no earlier answer of Redis is used; a user may have left since.
        """
        rest = self._hub.absent(user_ids)
        now = self._clock.monotonic()
        unknown = [user_id for user_id in rest if is_asked_anew or not self._connected.holds(user_id, now)]
        try:
            found = await self._registry.connected(unknown) if unknown else set()
            for user_id in unknown:
                if user_id in found:
                    self._connected.add(user_id, now)
                else:
                    self._connected.forget(user_id)
        except HoldfastError:
            pass  # the store is asked about all of them
        away = [user_id for user_id in rest if not self._connected.holds(user_id, now)]
        nowhere = frozenset(away)
        self._tell_filtered(conversation.conversation_id, [user_id for user_id in user_ids if user_id not in nowhere])
        return away

    async def presence_of(self, *user_ids: UserId) -> tuple[float, dict[UserId, Presence]]:
        """As the store has it now, of some users at least these; since when it is known (monotonic seconds).

        Decisions of many conversations ask at once for the same user who is away: their reads are one.

        Raises:
            StoreError: it cannot be read.
        """
        return await self._presence.of(*user_ids)

    async def _read_presence(self, user_ids: list[UserId]) -> tuple[float, dict[UserId, Presence]]:
        return self._clock.monotonic(), await self._store.read_presence(list(dict.fromkeys(user_ids)))

    async def _offline_since(self, user_ids: Sequence[UserId], work: _Work) -> tuple[float, dict[UserId, int]]:
        """When the store was asked, and whom it calls offline: from which time on they are to be notified.

        No earlier answer is used: Redis does not show that a user has come and gone since, and is within the grace.
        A message may have been seen before its reader left: it was committed long ago, or a busy store made this decision late.
        """
        since: dict[UserId, int] = {}
        read_at, found = await self.presence_of(*user_ids)
        for user_id in user_ids:
            if found[user_id].online:
                work.has_waiting = True
            else:
                since[user_id] = found[user_id].last_seen_at_ms or 0
        return read_at, since

    def _tell_filtered(self, conversation_id: ConversationId, connected: Sequence[UserId]) -> None:
        self._filtered.inc(len(connected))
        if connected and not self._log_bucket.take(self._clock.monotonic()):
            names = ",".join(sorted(connected)[:_LOG_NAMES]) + (",…" if len(connected) > _LOG_NAMES else "")
            fields = {"users": names, "count": len(connected), "conversation_id": conversation_id}
            _log.info("filtered out of offline notifications: active connection", extra={"fields": fields})

    async def _clear(self, conversation_id: ConversationId, user_id: UserId) -> None:
        record_id = large_id(conversation_id, user_id)
        await self._store.clear_notification(record_id)
        self._recorded.forget(record_id)
