"""What a fault of a run is, as data: a list of them can be written into a command, shortened, and played again.

A fault is armed at a time and acts at the next event that it is aimed at; one without an aim acts at its time.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

PATIENCE_SECONDS: Final = 8.0
"""So long a fault waits for its event; then it acts without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        kind: a name in `failures.FAILURES`.
        at: when it is armed, seconds into the run.
        aim: of `aims.EVENTS`; empty acts at once.
        skip: how many such events are passed over.
        place: the number of the instance, from 1; 0 is the one that the event happens at, or any.
        lasts: seconds until it is mended.
        detail: what else is drawn: kinds choose from it.
    """

    kind: str
    at: float
    aim: str = ""
    skip: int = 0
    place: int = 0
    lasts: float = 1.0
    detail: int = 0

    def __str__(self) -> str:
        told = [
            f"{each.name}={getattr(self, each.name)}" for each in fields(self)[2:] if getattr(self, each.name) != each.default
        ]
        return ",".join([f"{self.kind}@{self.at:g}", *told])

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` gives.

        Raises:
            ValueError: it is something else.
        """
        head, *rest = text.split(",")
        kind, _, at = head.partition("@")
        given = dict(part.split("=", 1) for part in rest)
        return cls(
            kind=kind,
            at=float(at),
            aim=given.get("aim", ""),
            skip=int(given.get("skip", 0)),
            place=int(given.get("place", 0)),
            lasts=float(given.get("lasts", 1.0)),
            detail=int(given.get("detail", 0)),
        )


def written(faults: Sequence[Fault]) -> str:
    """A whole list, for the command line; `none` for an empty one."""
    return ";".join(map(str, faults)) or "none"


def parsed(text: str) -> tuple[Fault, ...]:
    """What `written` gives.

    Raises:
        ValueError: it is something else.
    """
    return () if text == "none" else tuple(Fault.parse(part) for part in text.split(";"))


def rng_of(fault: Fault, seed: int) -> random.Random:
    """What a fault draws while it acts depends on itself alone, so that others can be left out."""
    return random.Random(f"{fault}-{seed}")
