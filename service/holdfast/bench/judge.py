"""What the members of a room received, against what was sent to it: losses, duplicates, and order. Pure.

A message is a number of 32 bits, `SENDER << 24 | NUMBER`; a sender's numbers begin with 0 and have no gap.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_BITS: Final = 24
_NUMBER: Final = (1 << _BITS) - 1


@dataclass(frozen=True, slots=True)
class Room:
    """One room and one load: how many messages each sender sent, and the messages that each member received, in order."""

    sent: Mapping[int, int]
    heard: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many deliveries failed, over all members.

    `disordered`: a message after a later one of the same sender. `foreign`: a message that was never sent to that room.
    `orders`: in how many different orders members of one room saw its messages, 1 where all saw the same.
    """

    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    foreign: int = 0
    orders: int = 1

    @property
    def is_clean(self) -> bool:
        """Each member received each message once, and each sender's messages in their order."""
        return not (self.lost or self.doubled or self.disordered or self.foreign)

    def __str__(self) -> str:
        """For a report."""
        told = [f"{count} {name}" for name, count in self.counts().items() if count]
        return ", ".join(told) or "no loss, no duplicate, in order"

    def counts(self) -> dict[str, int]:
        """The failures by their names."""
        return {"lost": self.lost, "doubled": self.doubled, "disordered": self.disordered, "foreign": self.foreign}


def message(sender: int, number: int) -> int:
    """A message as members record it."""
    return sender << _BITS | number


def judge(rooms: Iterable[Room]) -> Verdict:
    """Over all rooms. Members that received the very same are looked at once: mostly all of them did."""
    found: Counter[str] = Counter()
    orders = 1
    for room in rooms:
        kinds = Counter(bytes(each) for each in room.heard)
        orders = max(orders, len(kinds))
        for heard, members in kinds.items():
            for name, count in _judge_one(array("I", heard), room.sent).items():
                found[name] += count * members
    return Verdict(found["lost"], found["doubled"], found["disordered"], found["foreign"], orders)


def _judge_one(heard: Sequence[int], sent: Mapping[int, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    seen: set[int] = set()
    latest: dict[int, int] = {}
    for each in heard:
        sender, number = each >> _BITS, each & _NUMBER
        if number >= sent.get(sender, 0):
            found["foreign"] += 1
        elif each in seen:
            found["doubled"] += 1
        else:
            seen.add(each)
            if number < latest.get(sender, -1):
                found["disordered"] += 1
            else:
                latest[sender] = number
    found["lost"] = sum(sent.values()) - len(seen)
    return found
