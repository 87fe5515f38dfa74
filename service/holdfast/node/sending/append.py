"""One batch of sends on its way into the store, until every send of it is settled or given up.

An append creates documents that must not exist yet, so losing a race is harmless. An append with unknown outcome is settled by
reading: all messages found in the store, by whichever attempt, are answered and handed on like a fresh commit. An append also
requires the message that it follows. So a wrong cached tail costs a conflict and the read that corrects it, and leaves no gap.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, InstanceId, Seq
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Draft, Message, Settlement
from holdfast.errors import CommandError, PredecessorMissing, StoreBusy, StoreConflict, StoreError, StoreRejected
from holdfast.node.identity import Identity
from holdfast.node.sending.own_marks import Marking, OwnMarks
from holdfast.node.sending.write_contention import WriteContention
from holdfast.ports import Clock, MessageStore
from holdfast.protocol.codes import CODES
from holdfast.telemetry import Received, SpanContext, Telemetry

SETTLE_SECONDS: Final = 60.0  # how long an uncertain append is pursued; its mark in Redis outlives even that
_MAX_TAILS: Final = 10_000
_BUSY_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to a send. `is_duplicate`: it was stored before, by another attempt."""

    message: Message
    is_duplicate: bool


OnSettled = Callable[[Settled | CommandError], None]


@dataclass(slots=True, eq=False)
class Waiting:
    """One send that waits for its answer, which it gets once.

    `bypass_membership`: sent by an administrator, a member or not. `trace`: of a sampled send.
    """

    draft: Draft
    accepted_at: float
    on_settled: OnSettled | None
    bypass_membership: bool
    trace: Received | None = None

    def answer(self, result: Settled | CommandError) -> bool:
        """Answer, unless that was done; whether it was done now."""
        callback, self.on_settled = self.on_settled, None
        if callback is None:
            return False
        callback(result)
        return True


@dataclass(slots=True, eq=False)
class Batch:
    """The sends of one append, by key; equal keys are answered together.

    Attributes:
        marking: its mark in Redis, until something is handed on that ends it.
        marks: what makes the mark that each of its commits carries; None where every instance can find the one in Redis.
        was_sent: an attempt may have reached the store: a later failure leaves the outcome unknown.
        latest: the highest seq at which an attempt began. When the conversation is so long, no attempt can land any more.
        has_stored: some of its messages were handed on.
        uncertain: the highest seq at which an attempt with an unknown outcome began; 0 where there is none. That attempt may
            still land until the conversation is so long, and the mark in Redis stays.
        has_forgotten: sends whose outcome is not known: nothing is handed on of them, so the mark stays.
    """

    conversation_id: ConversationId
    sends: dict[str, list[Waiting]]
    marking: Marking | None = None
    marks: OwnMarks | None = None
    was_sent: bool = False
    latest: Seq = 0
    has_stored: bool = False
    uncertain: Seq = 0
    has_forgotten: bool = False
    stamps: set[int] = field(default_factory=set)

    @property
    def log_fields(self) -> dict[str, str]:
        """What a log line about it says: of which conversation, and, where one of its sends is sampled, of which trace."""
        fields: dict[str, str] = {"conversation_id": self.conversation_id}
        for waiting in (waiting for same in self.sends.values() for waiting in same):
            if waiting.trace is not None:
                return fields | waiting.trace.exemplar
        return fields

    @property
    def is_nowhere(self) -> bool:
        """Nothing of it is in the store, and nothing of it can land there any more: its mark says nothing."""
        return not self.was_sent or not (self.sends or self.uncertain or self.has_stored or self.has_forgotten)

    def note_length(self, seq: Seq) -> None:
        """The conversation has that message: an attempt that began there has landed, or never will."""
        if seq >= self.uncertain:
            self.uncertain = 0

    def forget_answered(self) -> None:
        """Sends whose clients were told that they failed are not started, or not again."""
        for key in [key for key, same in self.sends.items() if all(waiting.on_settled is None for waiting in same)]:
            del self.sends[key]
            self.has_forgotten = self.was_sent


@dataclass(frozen=True, slots=True)
class Commit:
    """The messages that one append put, or a settlement found, in the store; ascending by seq.

    Attributes:
        accepted_at: when the oldest of its sends was accepted (monotonic seconds); sends that were given up count as well.
        marking: the mark in Redis to be ended when this is published and decided; None where it has to stay or there is none.
        stored_mark: the id of the mark in the store that came with them; None where there is none, or it has to stay.
        own: those that an attempt of this instance stored: it notifies their recipients.
        acceptances: when each of these was accepted (monotonic seconds); of others this instance does not know it.
        traces: of those that are sampled, the span that what follows comes after.
    """

    conversation_id: ConversationId
    messages: list[Message]
    accepted_at: float
    marking: Marking | None
    own: list[Message] = field(default_factory=list)
    acceptances: Mapping[Seq, float] = field(default_factory=dict)
    traces: Mapping[Seq, SpanContext] | None = None
    stored_mark: str | None = None


class Appender:
    """Appends batches. Lives in the loop; one batch per conversation at a time is its caller's duty."""

    def __init__(
        self,
        identity: Identity,
        store: MessageStore,
        clock: Clock,
        telemetry: Telemetry,
        on_commit: Callable[[Commit], None],
    ) -> None:
        self._identity = identity
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._acknowledged = telemetry.commit_latency.labels("acknowledged")
        self._on_commit = on_commit
        self._tails = BoundedDict[ConversationId, Seq](_MAX_TAILS)
        self._own_contention = WriteContention(identity.instance_id)
        self._awaited: dict[ConversationId, asyncio.Future[None]] = {}
        self._round_trip = 0.005

    @property
    def _contention(self) -> WriteContention:
        """They begin anew under another name: as the other instances know this one by it."""
        if self._own_contention.me != self._identity.instance_id:
            self._own_contention = WriteContention(self._identity.instance_id)
        return self._own_contention

    def note_tail(self, conversation_id: ConversationId, tail: Seq) -> None:
        """The conversation was read, or committed, up to `tail`. A wrong value costs one conflict, nothing else."""
        self._tails[conversation_id] = max(tail, self._tails.get(conversation_id, 0))

    def note_foreign(self, conversation_id: ConversationId, instance_id: InstanceId, first: Seq, last: Seq) -> None:
        """Another instance says that it committed messages `first … last`.

        They raise the tail only where they continue what was read or committed: a wrong or forged seq raises nothing.
        """
        if first <= self._tails.get(conversation_id, 0) + 1:
            self.note_tail(conversation_id, last)
        self._contention.won(conversation_id, instance_id, self._clock.monotonic())
        waiter = self._awaited.pop(conversation_id, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def first_of_next(self, conversation_id: ConversationId) -> Seq:
        """No message of the next append has a lower seq; 0 where that is not known.

        Only a forged envelope makes it too high. Then the messages of an instance that dies are shown with the next one.
        """
        tail = self._tails.get(conversation_id)
        return 0 if tail is None else tail + 1

    async def turn(self, conversation_id: ConversationId) -> None:
        """Return when it is our turn to append: at once where no other instance appends."""
        while wait := self._contention.wait(conversation_id, self._round_trip, self._clock.monotonic()):
            waiter = self._awaited[conversation_id] = asyncio.get_running_loop().create_future()
            await asyncio.wait((waiter,), timeout=wait)
            self._awaited.pop(conversation_id, None)

    async def run(self, batch: Batch) -> None:
        """Append the batch; returns when each of its sends is answered, or given up after `SETTLE_SECONDS`."""
        give_up_at = self._clock.monotonic() + SETTLE_SECONDS
        attempt, limit = 0, len(batch.sends)
        while batch.sends:
            tail = self._tails.get(batch.conversation_id, 0)
            error = await self._try(batch, tail, limit)
            if isinstance(error, StoreRejected):
                limit = self._isolate(batch, limit, error)
            elif isinstance(error, StoreBusy):
                batch.forget_answered()
                if self._clock.monotonic() > give_up_at:
                    break
                await asyncio.sleep(_BUSY_SECONDS * random.uniform(0.5, 1.5))
            elif error is not None:
                attempt += 1
                settlement = await self._settle(batch, give_up_at)
                if settlement is None:
                    break
                self._accept(batch, settlement, is_tail_wrong=isinstance(error, PredecessorMissing))
                batch.forget_answered()
                if isinstance(error, PredecessorMissing) and settlement.tail == tail == 0:
                    self.refuse_all(batch, not_found("unknown" if batch.uncertain else "refused"))
                if batch.sends:
                    await self._before_retry(batch.conversation_id, error, attempt)
        if batch.sends:
            _log.error("gave up on an uncertain append", extra={"fields": batch.log_fields})
            self.refuse_all(batch, unavailable("unknown"))

    async def answer_stored(self, conversation_id: ConversationId, sends: Sequence[Waiting]) -> None:
        """Answer those of `sends` that were stored by an earlier attempt; the others are left without an answer.

        Raises:
            StoreError: the store does not say.
        """
        found = (await self._store.settle(conversation_id, list({waiting.draft.key for waiting in sends}))).sends
        for waiting in sends:
            stored = found.get(waiting.draft.key)
            if stored is None:
                continue
            if stored.digest != waiting.draft.digest:
                self.refuse(waiting, conflict())
            elif waiting.answer(Settled(stored.message, is_duplicate=True)):
                self._observe(waiting, "acknowledged")

    def refuse(self, waiting: Waiting, error: CommandError) -> None:
        """Answer one send with an error."""
        if waiting.answer(error):
            self._observe(waiting, _told(error))

    def refuse_all(self, batch: Batch, error: CommandError) -> None:
        """Answer what is left of a batch with an error."""
        for waiting in (waiting for same in batch.sends.values() for waiting in same):
            self.refuse(waiting, error)
        batch.sends = {}
        batch.has_forgotten |= error.outcome != "refused"

    def _observe(self, waiting: Waiting, outcome: str) -> None:
        exemplar = None if waiting.trace is None else waiting.trace.exemplar
        self._telemetry.commit_latency.labels(outcome).observe(self._clock.monotonic() - waiting.accepted_at, exemplar)

    async def _try(self, batch: Batch, tail: Seq, limit: int) -> StoreError | None:
        """One append of up to `limit` sends; None when they are in."""
        keys = list(batch.sends)[:limit]
        drafts = [batch.sends[key][0].draft for key in keys]
        sent_at_ms = self._clock.now_ms()
        batch.stamps.add(sent_at_ms)
        mark = batch.marks.of(batch.conversation_id, tail + 1, tail + len(drafts)) if batch.marks is not None else None
        was_sent, batch.was_sent = batch.was_sent, True
        batch.latest = max(batch.latest, tail + 1)
        began = self._clock.monotonic()
        try:
            await self._store.append(batch.conversation_id, tail + 1, drafts, sent_at_ms, mark)
        except PredecessorMissing as error:
            self._telemetry.commit_conflicts.inc()
            return error
        except StoreConflict as error:
            self._telemetry.commit_conflicts.inc()
            self._contention.lost(batch.conversation_id, self._clock.monotonic())
            return error
        except StoreRejected as error:
            return error
        except StoreBusy as error:
            batch.was_sent = was_sent
            return error
        except StoreError as error:
            batch.uncertain = max(batch.uncertain, tail + 1)
            return error
        now = self._clock.monotonic()
        self._round_trip += 0.2 * (now - began - self._round_trip)
        self._contention.won(batch.conversation_id, self._identity.instance_id, now)
        messages = (_placed(batch.conversation_id, seq, draft, sent_at_ms) for seq, draft in enumerate(drafts, tail + 1))
        if batch.marks is not None and mark is not None:
            batch.marks.committed(mark, now)
        self._hand_on(batch, zip(keys, messages, (draft.digest for draft in drafts), strict=True), is_fresh=True, mark=mark)
        return None

    def _isolate(self, batch: Batch, limit: int, error: StoreRejected) -> int:
        """A definite refusal: find the culprit by going one by one, then refuse it. Returns the new limit."""
        if min(limit, len(batch.sends)) > 1:
            return 1
        for waiting in batch.sends.pop(next(iter(batch.sends))):
            self.refuse(waiting, CommandError("invalid_request", f"the store refused it: {error}"[:200], outcome="refused"))
        return 1

    async def _settle(self, batch: Batch, give_up_at: float) -> Settlement | None:
        """What became of the batch, asked until the store answers; None when it is given up."""
        pause = 0.05
        while self._clock.monotonic() < give_up_at:
            try:
                return await self._store.settle(batch.conversation_id, list(batch.sends))
            except StoreError:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(1.0, pause * 2)
        return None

    def _accept(self, batch: Batch, settlement: Settlement, *, is_tail_wrong: bool) -> None:
        """Answer what is stored. A tail that the store refused to follow is replaced, otherwise the higher one is the younger."""
        if is_tail_wrong:
            self._tails[batch.conversation_id] = settlement.tail
        self.note_tail(batch.conversation_id, settlement.tail)
        batch.note_length(settlement.tail)
        found = sorted(settlement.sends.items(), key=lambda item: item[1].message.seq)
        if found:
            self._hand_on(batch, ((key, send.message, send.digest) for key, send in found), is_fresh=False)

    def _hand_on(
        self,
        batch: Batch,
        stored: Iterable[tuple[str, Message, str]],
        *,
        is_fresh: bool,
        mark: StoredMark | None = None,
    ) -> None:
        """Answer the senders, then hand the messages on: an ack does not wait for delivery."""
        now = accepted_at = self._clock.monotonic()
        messages, own, acceptances = [], [], {}
        sampled: dict[Seq, Received] = {}
        for key, message, digest in stored:
            is_duplicate = not is_fresh and message.sent_at_ms not in batch.stamps
            same = batch.sends.pop(key)
            if not is_duplicate:
                own.append(message)
                acceptances[message.seq] = same[0].accepted_at
            for position, waiting in enumerate(same):
                if waiting.draft.digest != digest:
                    self.refuse(waiting, conflict())
                    continue
                exemplar = None
                if waiting.trace is not None:
                    sampled[message.seq], exemplar = waiting.trace, waiting.trace.exemplar
                accepted_at = min(accepted_at, waiting.accepted_at)
                if waiting.answer(Settled(message, is_duplicate or position > 0)):
                    self._acknowledged.observe(now - waiting.accepted_at, exemplar)
            messages.append(message)
        batch.has_stored = True
        self.note_tail(batch.conversation_id, messages[-1].seq)
        batch.note_length(messages[-1].seq)
        marking = None if batch.uncertain or batch.has_forgotten or batch.sends else batch.marking
        traces = self._telemetry.tracing.committed(batch.conversation_id, sampled, len(messages)) if sampled else None
        stored_mark = None if mark is None else mark.mark_id
        self._on_commit(Commit(batch.conversation_id, messages, accepted_at, marking, own, acceptances, traces, stored_mark))
        if marking is not None:
            batch.marking = None

    async def _before_retry(self, conversation_id: ConversationId, error: StoreError, attempt: int) -> None:
        if not isinstance(error, StoreConflict) or (isinstance(error, PredecessorMissing) and attempt > 1):
            await asyncio.sleep(min(1.0, 0.05 * 2.0**attempt) * random.uniform(0.5, 1.5))
        await self.turn(conversation_id)


def unavailable(outcome: str) -> CommandError:
    """The store did not answer in time; `outcome` says whether an attempt was made."""
    detail = "the store did not answer; send it again under the same id"
    return CommandError("store_unavailable", detail, outcome=outcome, retry_after_ms=1000)


def not_found(outcome: str) -> CommandError:
    """There is no such conversation, or not for this user."""
    return CommandError("conversation_not_found", "no such conversation", outcome=outcome)


def conflict() -> CommandError:
    """The key stands for other content."""
    detail = "another message was sent under this client_message_id"
    return CommandError("idempotency_conflict", detail, field="client_message_id", outcome="refused")


def _told(error: CommandError) -> str:
    """Of a refusal, as the metric says it: a client's mistake, or a fault of ours and whether the send may be stored."""
    if error.outcome == "unknown":
        return error.outcome
    return "unavailable" if (CODES[error.code].status or 0) >= 500 else "refused"


def _placed(conversation_id: ConversationId, seq: Seq, draft: Draft, sent_at_ms: int) -> Message:
    return Message(conversation_id, seq, draft.sender, draft.client_message_id, draft.body, draft.metadata_json, sent_at_ms)
