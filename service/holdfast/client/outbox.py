"""Sends on their way: one in flight per conversation, repeated under the same id until they are answered.

Pure: time comes in, frames go out. A send lives until its answer, a definite refusal, or `GIVE_UP_SECONDS`.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import UNSET

from holdfast.client.errors import SendFailed
from holdfast.protocol.frames import Ack, ErrorFrame, Send

GIVE_UP_SECONDS: Final = 24 * 3600.0  # the store keeps keys for seven days: a repetition is always safe until then
MAX_WAITING: Final = 10_000
_FIRST_PAUSE_SECONDS: Final = 0.2
_MAX_PAUSE_SECONDS: Final = 10.0


class Answered(Protocol):
    """Where a send's end is told; an `asyncio.Future[Ack]` is one."""

    def done(self) -> bool:
        """Nobody waits any more."""
        ...

    def set_result(self, ack: Ack, /) -> None:
        """It is stored."""
        ...

    def set_exception(self, error: SendFailed, /) -> None:
        """It failed."""
        ...


@dataclass(slots=True, eq=False)
class _Pending:
    frame: Send
    answered: Answered
    give_up_at: float
    tries: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    conversation_id: str
    queue: deque[_Pending] = field(default_factory=deque)
    connection: object | None = None  # on which the first one is in flight
    not_before: float = 0.0


class Outbox:
    """All sends of one client that are not answered yet."""

    def __init__(self) -> None:
        """Empty."""
        self._lanes: dict[str, _Lane] = {}
        self._later: list[tuple[float, str]] = []
        self._waiting = 0

    def add(self, frame: Send, answered: Answered, now: float) -> None:
        """Queue one.

        Raises:
            SendFailed: `overloaded`, when too many wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise SendFailed("overloaded", f"{MAX_WAITING} sends are waiting")
        self._waiting += 1
        lane = self._lanes.setdefault(frame.conversation_id, _Lane(frame.conversation_id))
        lane.queue.append(_Pending(frame, answered, now + GIVE_UP_SECONDS))

    def due(self, connection: object, now: float) -> list[Send]:
        """What to write to `connection` now."""
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)
        frames = []
        for lane in tuple(self._lanes.values()):
            self._drop_overdue(lane, now)
            if lane.queue and lane.connection is None and lane.not_before <= now:
                lane.connection = connection
                lane.queue[0].tries += 1
                frames.append(lane.queue[0].frame)
        return frames

    def next_at(self) -> float | None:
        """When something becomes due by itself."""
        return self._later[0][0] if self._later else None

    def acknowledged(self, ack: Ack) -> bool:
        """Whether it answers one of ours; the next one of its conversation is due then."""
        pending = self._take(ack.conversation_id, ack.client_message_id)
        if pending is None:
            return False
        if not pending.answered.done():
            pending.answered.set_result(ack)
        return True

    def failed(self, error: ErrorFrame, now: float) -> SendFailed | None:
        """A refusal: for good, then the error; or to be tried again after a pause, then None. Unknown ones are ignored."""
        if error.conversation_id is UNSET or error.client_message_id is UNSET:
            return None
        lane = self._lanes.get(error.conversation_id)
        if lane is None or not lane.queue or lane.queue[0].frame.client_message_id != error.client_message_id:
            return None
        if error.retryable:
            self._try_later(lane, error, now)
            return None
        pending = self._take(error.conversation_id, error.client_message_id)
        outcome = "refused" if error.outcome is UNSET else error.outcome
        failure = SendFailed(error.code, error.detail, outcome=outcome, retryable=False)
        if pending is not None and not pending.answered.done():
            pending.answered.set_exception(failure)
        return failure

    def lost(self, connection: object) -> None:
        """The connection ended: what was in flight on it is due again."""
        for lane in self._lanes.values():
            if lane.connection is connection:
                lane.connection = None

    def close(self, code: str, detail: str) -> None:
        """Tell everybody who waits that nobody will answer, and why."""
        for lane in self._lanes.values():
            for pending in lane.queue:
                if not pending.answered.done():
                    outcome = "unknown" if pending.tries else "refused"
                    pending.answered.set_exception(SendFailed(code, detail, outcome=outcome))
        self._lanes.clear()
        self._waiting = 0

    def _try_later(self, lane: _Lane, error: ErrorFrame, now: float) -> None:
        tries = lane.queue[0].tries
        pause = random.uniform(0, min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10)))
        if error.retry_after_ms is not UNSET:
            pause = max(pause, min(_MAX_PAUSE_SECONDS, error.retry_after_ms / 1000))
        lane.connection = None
        lane.not_before = now + pause
        heapq.heappush(self._later, (lane.not_before, lane.conversation_id))

    def _take(self, conversation_id: str, client_message_id: str) -> _Pending | None:
        lane = self._lanes.get(conversation_id)
        if lane is None or not lane.queue or lane.queue[0].frame.client_message_id != client_message_id:
            return None
        lane.connection = None
        lane.not_before = 0.0
        self._waiting -= 1
        pending = lane.queue.popleft()
        if not lane.queue:
            del self._lanes[conversation_id]
        return pending

    def _drop_overdue(self, lane: _Lane, now: float) -> None:
        while lane.queue and lane.connection is None and lane.queue[0].give_up_at <= now:
            pending = self._take(lane.conversation_id, lane.queue[0].frame.client_message_id)
            if pending is not None and not pending.answered.done():
                pending.answered.set_exception(SendFailed("store_unavailable", "given up after a day", outcome="unknown"))
