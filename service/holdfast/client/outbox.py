"""Sends on their way: one in flight per conversation, repeated under the same id until they are answered.

Pure: time comes in, frames go out. A send lives until its answer, a definite refusal, or `GIVE_UP_SECONDS`. No more of them
are in flight on one connection than the instance announces, and they go out at the pace that it announces.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import UNSET

from holdfast.client.checks import Draft
from holdfast.client.errors import SendFailed
from holdfast.client.pace import Pace
from holdfast.protocol.frames import Ack, ErrorFrame, Limits, Send

GIVE_UP_SECONDS: Final = 24 * 3600.0  # the store keeps keys for seven days: a repetition is always safe until then
KEPT_SECONDS: Final = 6 * 24 * 3600.0  # a day less than the store keeps keys; by the wall clock: it goes on in sleeping machines
ANSWER_SECONDS: Final = 60.0  # an instance answers within seconds, be it with an error: after this a send is repeated
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024  # 4,000 texts of the largest size
_FOR_ALL: Final = frozenset(("rate_limited", "overloaded"))  # a refusal that would meet any other send, too
_FIRST_PAUSE_SECONDS: Final = 0.2
_MAX_PAUSE_SECONDS: Final = 10.0


class Answered(Protocol):
    """Where a send's end is told; an `asyncio.Future[Ack]` is one."""

    def done(self) -> bool:
        """The caller does not wait any more."""
        ...

    def set_result(self, ack: Ack, /) -> None:
        """It is stored."""
        ...

    def set_exception(self, error: SendFailed, /) -> None:
        """It failed."""
        ...


@dataclass(slots=True, eq=False)
class _Pending:
    draft: Draft
    answered: Answered
    give_up_at: float
    tries: int = 0
    written_at: float | None = None  # the first time, by the wall clock


@dataclass(slots=True, eq=False)
class _Lane:
    conversation_id: str
    queue: deque[_Pending] = field(default_factory=deque)
    connection: object | None = None  # on which the first one is in flight
    sent_at: float = 0.0
    not_before: float = 0.0


class Outbox:
    """All sends of one client that are not answered yet."""

    def __init__(self) -> None:
        """Empty."""
        self._lanes: dict[str, _Lane] = {}
        self._refs: dict[str, str] = {}  # of a send -> its conversation
        self._in_flight: dict[str, _Lane] = {}
        self._later: list[tuple[float, str]] = []
        self._pace = Pace()
        self._paced_until: float | None = None
        self._waiting_bytes = 0

    def add(self, draft: Draft, answered: Answered, now: float) -> None:
        """Queue one.

        Raises:
            SendFailed: `overloaded`, when too many wait already.
        """
        if len(self._refs) >= MAX_WAITING or self._waiting_bytes + draft.frame_bytes > MAX_WAITING_BYTES:
            raise SendFailed("overloaded", f"{len(self._refs)} sends with {self._waiting_bytes} bytes are waiting")
        conversation_id = draft.frame.conversation_id
        self._refs[_ref(draft)] = conversation_id
        self._waiting_bytes += draft.frame_bytes
        lane = self._lanes.setdefault(conversation_id, _Lane(conversation_id))
        lane.queue.append(_Pending(draft, answered, now + GIVE_UP_SECONDS))

    def due(self, connection: object, now: float, limits: Limits, wall: float) -> list[Draft]:
        """The frames to write to `connection` now; conversations take turns. A send over the limits fails, the next is tried.

        A send that was written so long ago that the store may have forgotten its key fails, too: it would be stored twice.
        `wall`: seconds of the wall clock.
        """
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)
        self._paced_until = None
        drafts: list[Draft] = []
        free = limits.inflight_sends - sum(lane.connection is connection for lane in self._in_flight.values())
        while len(drafts) < free and (lane := self._next_lane(now)) is not None:
            if self._pace.next_at > now:
                self._paced_until = self._pace.next_at
                break
            self._drop_expired(lane, wall)
            self._drop_excess(lane, limits)
            if lane.queue:
                self._pace.sent(now, limits)
                self._begin(lane, connection, now, wall)
                drafts.append(lane.queue[0].draft)
        return drafts

    def expire(self, now: float) -> None:
        """Give up sends that are too old; a send without an answer for a minute is due again. To be called now and then."""
        for lane in tuple(self._lanes.values()):
            if lane.connection is not None and lane.sent_at + ANSWER_SECONDS <= now:
                self._end(lane)
            while lane.queue and lane.connection is None and lane.queue[0].give_up_at <= now:
                self._fail(lane, SendFailed("store_unavailable", "given up after a day", outcome="unknown"))

    def next_at(self) -> float | None:
        """When something becomes due by itself, as of the last `due`."""
        paced = () if self._paced_until is None else (self._paced_until,)
        return min((*paced, *(at for at, _ in self._later[:1])), default=None)

    def has_in_flight(self, connection: object) -> bool:
        """Whether something has no answer yet that was written to this connection."""
        return any(lane.connection is connection for lane in self._in_flight.values())

    def acknowledged(self, ack: Ack) -> bool:
        """Whether it answers one of ours; the next one of its conversation is due then."""
        lane = self._lanes.get(ack.conversation_id)
        if lane is None or lane.queue[0].draft.frame.client_message_id != ack.client_message_id:
            return False
        pending = self._take(lane)
        if not pending.answered.done():
            pending.answered.set_result(ack)
        return True

    def failed(self, error: ErrorFrame, now: float) -> tuple[Send, SendFailed] | None:
        """A refusal: for good, then of what and why; or to be tried again after a pause, then None. Unknown ones are ignored."""
        lane = self._lane_of(error)
        if lane is None:
            return None
        if error.retryable or error.code == "invalid_state":  # before the instance accepted our hello: the send is not to blame
            self._try_later(lane, error, now)
            return None
        outcome = "refused" if error.outcome is UNSET else error.outcome
        frame, failure = lane.queue[0].draft.frame, SendFailed(error.code, error.detail, outcome=outcome, retryable=False)
        self._fail(lane, failure)
        return frame, failure

    def lost(self, connection: object) -> None:
        """The connection ended: what was in flight on it is due again."""
        for lane in tuple(self._in_flight.values()):
            if lane.connection is connection:
                self._end(lane)

    def blamed(self, connection: object, code: str, detail: str) -> None:
        """The connection ended because of what was written to it: what was in flight is not written again."""
        for lane in tuple(self._in_flight.values()):
            if lane.connection is connection:
                self._fail(lane, SendFailed(code, detail, outcome="unknown", retryable=False))

    def close(self, code: str, detail: str) -> None:
        """End all waiting calls with an error: no answer will come, and why."""
        for lane in tuple(self._lanes.values()):
            while lane.queue:
                outcome = "unknown" if lane.queue[0].tries else "refused"
                self._fail(lane, SendFailed(code, detail, outcome=outcome))

    def _lane_of(self, error: ErrorFrame) -> _Lane | None:
        """Whose first send the error is about: found by its ref, which instances always repeat where they can read it."""
        conversation_id = self._refs.get(error.ref) if error.ref is not UNSET else None
        if conversation_id is None and error.conversation_id is not UNSET:
            conversation_id = error.conversation_id
        lane = self._lanes.get(conversation_id) if conversation_id is not None else None
        if lane is None:
            return None
        first = lane.queue[0].draft
        is_it = error.ref == _ref(first) if error.ref is not UNSET else error.client_message_id == first.frame.client_message_id
        return lane if is_it else None

    def _next_lane(self, now: float) -> _Lane | None:
        return next((lane for lane in self._lanes.values() if lane.connection is None and lane.not_before <= now), None)

    def _begin(self, lane: _Lane, connection: object, now: float, wall: float) -> None:
        """Its first send is in flight, and the other conversations are before it the next time."""
        lane.connection, lane.sent_at = connection, now
        first = lane.queue[0]
        first.tries += 1
        first.written_at = wall if first.written_at is None else first.written_at
        self._in_flight[lane.conversation_id] = lane
        self._lanes[lane.conversation_id] = self._lanes.pop(lane.conversation_id)

    def _end(self, lane: _Lane) -> None:
        lane.connection = None
        self._in_flight.pop(lane.conversation_id, None)

    def _drop_expired(self, lane: _Lane, wall: float) -> None:
        written_at = lane.queue[0].written_at  # what waits behind the first one was never written
        if written_at is not None and wall - written_at >= KEPT_SECONDS:
            detail = "written six days ago: a repetition might be stored twice"
            self._fail(lane, SendFailed("expired", detail, outcome="unknown", retryable=False))

    def _drop_excess(self, lane: _Lane, limits: Limits) -> None:
        while lane.queue and (excess := lane.queue[0].draft.excess(limits)) is not None:
            code, detail = excess
            outcome = "unknown" if lane.queue[0].tries else "refused"
            self._fail(lane, SendFailed(code, detail, outcome=outcome, retryable=False))

    def _try_later(self, lane: _Lane, error: ErrorFrame, now: float) -> None:
        tries = lane.queue[0].tries
        pause = random.uniform(0, min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10)))
        if error.retry_after_ms is not UNSET:
            pause += min(_MAX_PAUSE_SECONDS, error.retry_after_ms / 1000)  # and not its maximum: all would come at one instant
        self._end(lane)
        if error.code in _FOR_ALL:
            self._pace.pause(now + pause)
            return
        lane.not_before = now + pause
        heapq.heappush(self._later, (lane.not_before, lane.conversation_id))

    def _fail(self, lane: _Lane, failure: SendFailed) -> None:
        pending = self._take(lane)
        if not pending.answered.done():
            pending.answered.set_exception(failure)

    def _take(self, lane: _Lane) -> _Pending:
        """The first of a lane, which is over."""
        self._end(lane)
        lane.not_before = 0.0
        pending = lane.queue.popleft()
        self._refs.pop(_ref(pending.draft), None)
        self._waiting_bytes -= pending.draft.frame_bytes
        if not lane.queue:
            del self._lanes[lane.conversation_id]
        return pending


def _ref(draft: Draft) -> str:
    return str(draft.frame.ref)
