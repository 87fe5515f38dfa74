"""What the people and the faults of one run share."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from holdfast.drills.history import History
from simulation.aims import Aims
from simulation.loop import SimulatedLoop

AWAY: Final = "away"
"""A user who never connects: members of every other conversation that is created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many, and how busy.

    Attributes:
        instances, users: how many.
        pause_seconds: between two acts of one user, on average.
        conversations: at most so many are created.
        grace_seconds: of the instances' settings.
        settle_seconds: how long the run goes on after the last act and fault.
        leaving: the share of acts in which a device leaves, the user's absence included.
        gone: the share of absences that last until the end of the run.
    """

    instances: int = 3
    users: int = 6
    pause_seconds: float = 1.4
    conversations: int = 14
    grace_seconds: float = 15.0
    settle_seconds: float = 30.0
    leaving: float = 0.04
    gone: float = 0.0


@dataclass(slots=True, kw_only=True)
class Context:
    """Of one run.

    Attributes:
        urls: of the places where instances are, running or not.
        token: a new token for a user, as an issuer with a right clock hands it out.
        is_stopping: no user begins anything more.
    """

    loop: SimulatedLoop
    history: History
    seed: int
    size: Size
    urls: Callable[[], list[str]]
    token: Callable[[str], str]
    aims: Aims = field(default_factory=Aims)
    is_stopping: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def has_stopped(self) -> bool:
        """Whether no user begins anything more, asked anew after a wait."""
        return self.is_stopping

    def randomness(self, name: str) -> random.Random:
        """One source for each part, so that a part that draws more often changes no other."""
        return random.Random(f"{name}-{self.seed}")
