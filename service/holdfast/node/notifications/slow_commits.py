"""Messages whose commit the store answered slowly: their notifications are decided once more, when a grace period is over.

The store's time of such a message lies well before its possible delivery. A user who left in between was not shown the message.
`offline_backfill` does not find it either, because it begins shortly before the user left: an earlier message counts as shown
there. Only the instance that committed the message knows when it was handed on. So it decides again by that time, once users who
had left by then are offline in the store. If the instance dies before, only the first decision is made.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.domain.ids import ConversationId
from holdfast.domain.messages import Committed
from holdfast.domain.notifications import IN_FLIGHT_MS
from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock
from holdfast.node.sending.append import Commit

_SLOW_SECONDS: Final = IN_FLIGHT_MS / 2000  # the other half of what the look through an absence allows for is for the delivery
_OFFLINE_SECONDS: Final = 5.0  # how long the end of a grace period may take to be in the store
_AGAIN_SECONDS: Final = 60.0
MAX_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    due_at: float
    conversation_id: ConversationId
    committed: list[Committed]


class SlowCommits:
    """Lives in the loop."""

    def __init__(self, store_clock: StoreClock, grace_seconds: float) -> None:
        self._clock = store_clock
        self._delay_seconds = grace_seconds + _OFFLINE_SECONDS
        self._kept: deque[_Kept] = deque()
        self._messages = 0

    def slow(self, commit: Commit) -> list[Committed]:
        """The messages of a commit that is answered now, each as committed now, if that took long; else none."""
        is_slow = self._clock.monotonic() - commit.accepted_at >= _SLOW_SECONDS
        if not is_slow or (now_ms := self._clock.now()) == UNKNOWN:
            return []
        return [Committed(message, now_ms) for message in commit.own]

    def keep(self, conversation_id: ConversationId, committed: Sequence[Committed]) -> int:
        """A member had no connection and was not offline either when these were decided: they are, for a minute, kept once more.

        Returns how many are not kept, because there are too many (10,000).
        """
        oldest_ms = self._clock.now() - int((self._delay_seconds + _AGAIN_SECONDS) * 1000)
        young = [each for each in committed if each.at_ms >= oldest_ms]
        if self._messages >= MAX_KEPT:
            return len(young)
        if young:
            self._messages += len(young)
            self._kept.append(_Kept(self._clock.monotonic() + self._delay_seconds, conversation_id, young))
        return 0

    def due(self) -> list[tuple[ConversationId, list[Committed]]]:
        """The messages to decide again now, each with the time at which it was handed on, by the store's clock."""
        now, found = self._clock.monotonic(), []
        while self._kept and self._kept[0].due_at <= now:
            kept = self._kept.popleft()
            self._messages -= len(kept.committed)
            found.append((kept.conversation_id, kept.committed))
        return found
