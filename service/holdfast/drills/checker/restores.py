"""Excuses the messages that a restore of the store took away, one by one, and nothing else.

The checks ignore a message that was taken away: its acknowledgement and its deliveries do not count. Messages that a device
showed of a conversation between the restore and the `reset` under the new generation do not count either: the device discards
them. Everything after that `reset` is judged; without one, everything but the lost messages. A device
whose user is no member any more, or is one again, is told no `reset`: it forgets the conversation with its first connection under
that generation.
Nor is a device that has no such connection: what its instance let it show before it noticed the restore does not count. Positions
that an instance told before it noticed do not count either.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from holdfast.drills.history import Event

ANEW_S: Final = 5.0
"""Within so many seconds after the renewal every instance has begun anew."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A device was told `reset`, at `t`. The numbers say what came before, because events of one moment have the same time.

    Attributes:
        shown: events of the device's stream of that conversation.
        received: messages that the device received.
        cursors: read cursors that all devices heard of.
    """

    t: float
    shown: int
    received: int
    cursors: int


LostId = tuple[str, int, str, str]
"""(conversation, seq, sender, key)."""


@dataclass(slots=True)
class Restores:
    """Of one run.

    Attributes:
        at: conversation -> when its messages were put back.
        lost: the messages that were taken away.
        renewed_at: when the store was given its new `generation`; infinite where it was not.
    """

    at: dict[str, float] = field(default_factory=dict)
    lost: set[LostId] = field(default_factory=set)
    renewed_at: float = math.inf
    generation: str = ""

    def take(self, event: Event) -> None:
        """One `restored`, `lost` or `renewed` event."""
        if event.event == "restored":
            self.at[event.conversation] = event.t
        elif event.event == "lost":
            self.lost.add((event.conversation, event.seq, event.sender, event.key))
        else:
            self.renewed_at, self.generation = event.t, event.generation

    def has_lost(self, event: Event) -> bool:
        """Whether the message of this `received` or `shown` event was taken away."""
        return (event.conversation, event.seq, event.sender, event.key) in self.lost

    def is_discarded(self, event: Event, number: int, reset_from: float) -> bool:
        """Whether this `received` or `shown` event does not count.

        `number`: its place among them. `reset_from`: from which place on its device had been told `reset`, infinite without one.
        """
        if number >= reset_from:
            return False
        in_between = reset_from < math.inf and event.t >= self.at.get(event.conversation, math.inf)
        return self.has_lost(event) or (in_between and event.event in ("received", "shown"))

    def is_under_way(self, conversation: str, earliest: float, latest: float) -> bool:
        """Whether something between those times may have been done by an instance that did not know of the restore yet."""
        return self.at.get(conversation, math.inf) <= latest and earliest <= self.renewed_at + ANEW_S

    def is_unnoticed(self, conversation: str, t: float, generation: str) -> bool:
        """Whether a connection of that generation spoke before its instance began anew; never where nothing was renewed."""
        is_old = self.renewed_at < math.inf and generation != self.generation
        return is_old and self.is_under_way(conversation, t, t)
