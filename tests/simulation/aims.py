"""Actions of users, as aims of faults: a departure, a first message, a new member.

The parts of the simulation note each action here, in the very callback in which it happens; a fault that waits for it
acts in that callback, so a kill falls between two steps of the product that no clock would ever hit.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

EVENTS: Final = ("departure", "absence", "creation", "addition", "send")
"""A device left; a user left with the last one; a conversation was created; a member was added; a message is sent.

For calls of the store see `sqlite.aim`."""


@dataclass(slots=True, eq=False)
class Aim:
    """One that waits. `left`: how many such events are passed over. `where`: of one instance or user only, empty for any."""

    event: str
    where: str
    left: int
    act: Callable[[str], None]


class Aims:
    """Of one run. `seen`: how often each event has happened."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._armed: list[Aim] = []

    def arm(self, event: str, where: str, skip: int, act: Callable[[str], None]) -> Aim:
        """Call `act` with the place of the event, in the callback of the event after the next `skip`."""
        aim = Aim(event, where, skip, act)
        self._armed.append(aim)
        return aim

    def disarm(self, aim: Aim) -> bool:
        """Whether it was still waiting."""
        is_waiting = aim in self._armed
        if is_waiting:
            self._armed.remove(aim)
        return is_waiting

    def note(self, event: str, where: str) -> None:
        """It happens now, there: at an instance, or to a user."""
        self.seen[event] += 1
        for aim in tuple(self._armed):
            if aim.event == event and aim.where in ("", where):
                aim.left -= 1
                if aim.left < 0:
                    self._armed.remove(aim)
                    aim.act(where)
