"""Marks of an instance, for tests of the parts that set and end them."""

from typing import cast

from holdfast.node.sending.own_marks import OwnMarks
from holdfast.ports import Marks
from holdfast.telemetry import Telemetry
from support.identities import identity_of


class Sight:
    """Whether every instance sees what is written to this Redis."""

    def __init__(self, *, is_seen_by_all: bool = True) -> None:
        self.is_seen_by_all = is_seen_by_all


def own_marks_of(bus: object, name: str = "one", epoch: str = "0001", sight: Sight | None = None) -> OwnMarks:
    """Those of the instance of that name; `bus`: what takes its marks in Redis."""
    return OwnMarks(cast("Marks", bus), identity_of(name, epoch), sight or Sight(), Telemetry("test"))
