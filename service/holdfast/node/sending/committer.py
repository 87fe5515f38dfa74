"""Sends become messages: one append in flight per conversation; sends that arrive meanwhile form the next batch.

The order of one connection's sends is the order of its lane. Every send is answered exactly once, within its deadline:
with its place, with a refusal, or with `store_unavailable` and an outcome. The append outlives that answer (`append`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Draft
from holdfast.errors import CommandError, StoreError
from holdfast.node.sending.append import Appender, Batch, OnSettled, Waiting, conflict, not_found, unavailable
from holdfast.node.sending.own_marks import Marking, OwnMarks
from holdfast.ports import Clock
from holdfast.telemetry import Received, Telemetry

MAX_BATCH: Final = 200  # two documents each: a Firestore commit takes 500 writes
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024  # a Firestore request takes 10 MiB
MAX_QUEUED: Final = 10_000
SEND_DEADLINE_SECONDS: Final = 2.6  # every send has its answer within 3 s, the tick of `expire` included

_log = logging.getLogger(__name__)

NonMembers = Callable[[ConversationId, Iterable[UserId]], Awaitable[set[UserId] | None]]
"""Which of these users are no members of the conversation, None where there is none. Raises `StoreError`: it cannot be told."""


@dataclass(slots=True, eq=False)
class _Lane:
    """One conversation's sends."""

    conversation_id: ConversationId
    queue: deque[Waiting] = field(default_factory=deque)
    batch: Batch | None = None


class Committer:
    """All lanes of one instance. Lives in the loop; `close` waits for what is under way."""

    def __init__(
        self,
        appender: Appender,
        own_marks: OwnMarks,
        clock: Clock,
        telemetry: Telemetry,
        non_members: NonMembers,
    ) -> None:
        self._appender = appender
        self._own_marks = own_marks
        self._clock = clock
        self._telemetry = telemetry
        self._non_members = non_members
        self._lanes: dict[ConversationId, _Lane] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._queued = 0

    def submit(
        self,
        conversation_id: ConversationId,
        draft: Draft,
        on_settled: OnSettled,
        *,
        bypass_membership: bool = False,
        trace: Received | None = None,
    ) -> None:
        """Queue one send; `on_settled` is called once, in the loop, possibly before this returns. `trace`: of a sampled send."""
        if self._queued >= MAX_QUEUED:
            on_settled(CommandError("overloaded", "too many sends are waiting", outcome="refused", retry_after_ms=1000))
            return
        self._queued += 1
        lane = self._lanes.get(conversation_id)
        if lane is None:
            lane = self._lanes[conversation_id] = _Lane(conversation_id)
            self._start(self._run(lane))
        lane.queue.append(Waiting(draft, self._clock.monotonic(), on_settled, bypass_membership, trace))

    def expire(self) -> None:
        """Answer every send whose deadline has passed; to be called a few times a second."""
        overdue = self._clock.monotonic() - SEND_DEADLINE_SECONDS
        for lane in tuple(self._lanes.values()):
            if lane.batch is not None:
                error = unavailable("unknown" if lane.batch.was_sent else "refused")
                for waiting in [w for same in lane.batch.sends.values() for w in same if w.accepted_at <= overdue]:
                    self._appender.refuse(waiting, error)
            while lane.queue and lane.queue[0].accepted_at <= overdue:
                self._queued -= 1
                self._appender.refuse(lane.queue.popleft(), unavailable("refused"))
        self._telemetry.commit_queue.set(self._queued)

    async def close(self, timeout_seconds: float) -> None:
        """Wait for what is under way, at most that long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout_seconds)
        for task in tuple(self._tasks):
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _run(self, lane: _Lane) -> None:
        try:
            while lane.queue:
                await self._appender.turn(lane.conversation_id)
                lane.batch = self._take(lane)
                await self._commit(lane.batch)
        except Exception:  # noqa: BLE001 - as in `_commit`: whatever it is, what is queued has its answer
            _log.exception("a lane failed")
            self._telemetry.loop_failures.labels("committer").inc()
            for waiting in lane.queue:
                self._appender.refuse(waiting, CommandError("internal_error", "this send failed", outcome="refused"))
        finally:
            self._queued -= len(lane.queue)
            del self._lanes[lane.conversation_id]

    async def _commit(self, batch: Batch) -> None:
        try:
            await self._exclude_non_members(batch)
            batch.forget_answered()
            if batch.sends:
                await self._mark(batch)
                batch.forget_answered()  # `refused` was said of what was overdue by now: it must not be stored after that
                await self._appender.run(batch)
        except StoreError:
            self._appender.refuse_all(batch, unavailable("refused"))
        except Exception:  # noqa: BLE001 - a lane must not die with sends in it: whatever it is, they are answered
            _log.exception("a batch failed", extra={"fields": batch.log_fields})
            self._telemetry.loop_failures.labels("committer").inc()
            outcome = "unknown" if batch.was_sent else "refused"
            self._appender.refuse_all(batch, CommandError("internal_error", "this send failed", outcome=outcome))
        finally:
            if batch.marking is not None:
                self._end_or_leave(batch, batch.marking)

    def _end_or_leave(self, batch: Batch, marking: Marking) -> None:
        """The mark of a batch of which nothing that was handed on ends it."""
        if batch.is_nowhere:
            self._own_marks.end(marking)
        else:
            self._own_marks.leave(marking, batch.latest)

    def _take(self, lane: _Lane) -> Batch:
        """The next batch. A batch holds each key once: two creates of one document are refused for ever."""
        batch = Batch(lane.conversation_id, {})
        size = 0
        while lane.queue and len(batch.sends) < MAX_BATCH and size < MAX_BATCH_BYTES:
            waiting = lane.queue.popleft()
            self._queued -= 1
            if waiting.trace is not None:
                waiting.trace.taken_at = self._clock.monotonic()
            same = batch.sends.setdefault(waiting.draft.key, [])
            if same and same[0].draft.digest != waiting.draft.digest:
                self._appender.refuse(waiting, conflict())
            else:
                same.append(waiting)
                size += 4 * len(waiting.draft.body) + len(waiting.draft.metadata_json or "")
        return batch

    async def _exclude_non_members(self, batch: Batch) -> None:
        """Membership is checked once per batch, and fresh: the lane waits for it, so that order holds.

        A send that was stored while its sender was a member is still answered with its place; the lane does not wait for that.
        """
        non_members = await self._non_members(batch.conversation_id, {same[0].draft.sender for same in batch.sends.values()})
        if non_members is not None and not non_members:
            return
        excluded = []
        for key, same in tuple(batch.sends.items()):
            admitted = []
            for waiting in same:
                # An administrator's send in a user's name admits that one send, not the user's own sends.
                if non_members is not None and (waiting.bypass_membership or waiting.draft.sender not in non_members):
                    admitted.append(waiting)
                else:
                    excluded.append(waiting)
            if admitted:
                batch.sends[key] = admitted
            else:
                del batch.sends[key]
        if excluded:
            self._start(self._answer_excluded(batch.conversation_id, excluded))

    async def _answer_excluded(self, conversation_id: ConversationId, excluded: list[Waiting]) -> None:
        time_left = min(waiting.accepted_at for waiting in excluded) + SEND_DEADLINE_SECONDS - self._clock.monotonic()
        try:
            async with asyncio.timeout(time_left):
                await self._appender.answer_stored(conversation_id, excluded)
            error = not_found("refused")
        except (StoreError, TimeoutError):
            error = unavailable("unknown")
        except Exception:  # noqa: BLE001 - whatever it is, these sends are answered
            _log.exception("sends of non-members could not be looked up")
            error = CommandError("internal_error", "this send failed", outcome="unknown")
        for waiting in excluded:
            self._appender.refuse(waiting, error)

    async def _mark(self, batch: Batch) -> None:
        """Where a mark in Redis is not certain to be found, the commit carries one."""
        first = self._appender.first_of_next(batch.conversation_id)
        batch.marking = await self._own_marks.set_for_commit(batch.conversation_id, first, self._clock.monotonic())
        batch.marks = None if batch.marking.is_found else self._own_marks
        self._telemetry.commit_batch.observe(len(batch.sends))
