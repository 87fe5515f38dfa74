"""Write contention: which instance commits next to a conversation that several instances write to at once.

The winner of the last seq knows the tail at once and would win again and again, while the others read the tail first: they would
starve. So instances take turns: after a win the next one in the order of their ids goes first, the one after it a round trip
later, and the winner last. Every instance works that out alone, from the wins that the bus reports; an error costs one conflict.
"""

from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, InstanceId

UNKNOWN_INSTANCE: Final = InstanceId("")  # an unknown instance that won
MAX_WAIT_SECONDS: Final = 0.5
_RIVAL_SECONDS: Final = 2.0  # who committed that lately is likely to commit again
_SLOT: Final = 2.5  # round trips that one turn may take: a commit that is slow, and the word of it
_MAX_CONVERSATIONS: Final = 10_000


@dataclass(slots=True)
class _Contest:
    """The wins in one conversation: instance -> when its last one was."""

    wins: dict[InstanceId, float] = field(default_factory=dict)
    last: InstanceId = UNKNOWN_INSTANCE


class WriteContention:
    """Of one instance. Pure: time comes in."""

    def __init__(self, me: InstanceId) -> None:
        """No conversation is contested yet."""
        self.me = me
        self._contests = BoundedDict[ConversationId, _Contest](_MAX_CONVERSATIONS)

    def won(self, conversation_id: ConversationId, instance_id: InstanceId, now: float) -> None:
        """Some instance committed; wins of our own count only where another instance has won before."""
        contest = self._contests.get(conversation_id)
        if contest is None:
            if instance_id == self.me:
                return
            contest = self._contests[conversation_id] = _Contest()
        contest.wins[instance_id] = now
        contest.last = instance_id
        if instance_id != self.me:
            self._contests.move_to_end(conversation_id)

    def lost(self, conversation_id: ConversationId, now: float) -> None:
        """Another instance won. Where the bus reports wins of others it reports this win, too, sooner or later; else it was
        `UNKNOWN_INSTANCE`."""
        contest = self._contests.get(conversation_id)
        if contest is None or self._active(contest, now) <= {self.me, UNKNOWN_INSTANCE}:
            self.won(conversation_id, UNKNOWN_INSTANCE, now)

    def wait(self, conversation_id: ConversationId, round_trip: float, now: float) -> float:
        """Seconds until it is our turn; 0 where no other instance writes."""
        contest = self._contests.get(conversation_id)
        if contest is None:
            return 0.0
        active = sorted(self._active(contest, now))
        if len(active) == 1:
            del self._contests[conversation_id]
            return 0.0
        if contest.last not in active:
            return 0.0
        before_us = (active.index(self.me) - active.index(contest.last) - 1) % len(active)
        wait = min(MAX_WAIT_SECONDS, before_us * _SLOT * round_trip)
        return max(0.0, contest.wins[contest.last] + wait - now)

    def _active(self, contest: _Contest, now: float) -> set[InstanceId]:
        return {self.me} | {each for each, at in contest.wins.items() if at > now - _RIVAL_SECONDS}
