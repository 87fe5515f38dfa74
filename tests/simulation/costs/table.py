"""The expectations: what each event costs, exactly. A test compares them with the service, and `page` makes a table of them.

Each figure is a pair: what it costs in any case, and what it costs more for each one of its size (a conversation, a member, …).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from simulation.costs import cases
from simulation.costs.counting import COLUMNS, Count
from simulation.costs.measuring import Event, idle, measured

Figure = tuple[int, int]
_NOTHING: Final = (0, 0)
IDLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one event."""

    reads: Figure = _NOTHING
    writes: Figure = _NOTHING
    deletes: Figure = _NOTHING
    expiring: Figure = _NOTHING
    commands: Figure = _NOTHING
    scripted: Figure = _NOTHING
    inside: Figure = _NOTHING

    def at(self, size: int) -> dict[str, int]:
        """Column -> figure, for that size."""
        return {column: base + each * size for column, (base, each) in self.figures()}

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """In the order of the columns."""
        return ((column, getattr(self, column)) for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the table.

    Attributes:
        what: as the page says it.
        cost: what is expected.
        event: what is measured; None for an idle instance.
        sizes: at which it is measured.
        letter: of the size, on the page.
        has_redis: an idle instance reaches Redis.
    """

    what: str
    cost: Cost
    event: Event | None = None
    sizes: tuple[int, int] = (2, 5)
    letter: str = "M"
    has_redis: bool = field(default=True, kw_only=True)

    def count(self, size: int) -> Count:
        """What it costs now, operation by operation; of an idle instance in a minute."""
        if self.event is not None:
            return measured(self.event, size)
        count = idle(size, IDLE_SECONDS, has_redis=self.has_redis)
        assert all(number % size == 0 for number in count.values()), f"not the same at each of {size} instances: {count}"
        return Counter({key: number // size for key, number in count.items()})


ROWS: Final[Mapping[str, Row]] = {
    "connect_cold": Row(
        "a user with M conversations connects; they are in no cache",
        Cost(reads=(3, 3), writes=(1, 0), commands=(7, 1), scripted=(3, 0), inside=(33, 7)),
        Event(cases.connect_cold),
    ),
    "connect_listed": Row(
        "the same; Redis has the list",
        Cost(reads=(3, 0), writes=(1, 0), commands=(8, 1), scripted=(4, 0), inside=(29, 3)),
        Event(cases.connect_listed),
    ),
    "connect_without_redis": Row(
        "the same, while Redis is away", Cost(reads=(3, 3), writes=(1, 0)), Event(cases.connect_without_redis)
    ),
    "reconnect_same": Row(
        "the user reconnects within the grace, to the same instance",
        Cost(commands=(6, 0), scripted=(4, 0), inside=(30, 2)),
        Event(cases.reconnect_same, 25.0),
    ),
    "reconnect_other": Row(
        "the same, to another instance",
        Cost(reads=(2, 0), writes=(2, 0), commands=(12, 0), scripted=(5, 0), inside=(35, 3)),
        Event(cases.reconnect_other, 25.0, 62.0),
    ),
    "leave": Row(
        "the last connection of the user ends, and the grace passes",
        Cost(reads=(6, 2), writes=(2, 0), commands=(4, 1), scripted=(1, 0), inside=(6, 0)),
        Event(cases.leave, 40.0),
    ),
    "send": Row(
        "a message to S connected members",
        Cost(reads=(1, 0), writes=(4, 0), expiring=(1, 0), commands=(6, 0), scripted=(5, 0), inside=(20, 1)),
        Event(cases.send),
        (2, 6),
        "S",
    ),
    "send_without_redis": Row(
        "a message to S connected members, while Redis is away",
        Cost(reads=(4, 1), writes=(5, 0), deletes=(1, 0), expiring=(1, 0)),
        Event(cases.send_without_redis, 15.0),
        (2, 6),
        "S",
    ),
    "send_at_once": Row(
        "B messages in one batch",
        Cost(reads=(1, 0), writes=(2, 2), expiring=(0, 1), commands=(6, 0), scripted=(5, 0), inside=(22, 0)),
        Event(cases.send_at_once),
        (3, 10),
        "B",
    ),
    "send_in_a_row": Row(
        "B messages of one user, each as soon as the one before is acknowledged",
        Cost(reads=(1, 0), writes=(3, 2), expiring=(0, 1), commands=(7, 1), scripted=(6, 1), inside=(21, 9)),
        Event(cases.send_in_a_row),
        (3, 10),
        "B",
    ),
    "send_to_absent": Row(
        "a message to A offline members, who are notified",
        Cost(reads=(4, 2), writes=(4, 3), expiring=(1, 1), commands=(6, 0), scripted=(5, 0), inside=(22, 1)),
        Event(cases.send_to_absent),
        (1, 3),
        "A",
    ),
    "accept": Row(
        "the first message of a member whom another one added, to S members",
        Cost(reads=(10, 2), writes=(4, 0), expiring=(1, 0), commands=(7, 0), scripted=(5, 0), inside=(22, 0)),
        Event(cases.accept),
        (2, 6),
        "S",
    ),
    "receipt": Row(
        "a member reads the messages, S members",
        Cost(writes=(2, 0), commands=(3, 0), scripted=(2, 0), inside=(8, 0)),
        Event(cases.receipt),
        (2, 6),
        "S",
    ),
    "create": Row(
        "a conversation of S members is created",
        Cost(reads=(5, 2), writes=(1, 0), commands=(6, 0), scripted=(2, 0), inside=(7, 3)),
        Event(cases.create),
        (2, 6),
        "S",
    ),
    "add_member": Row(
        "a member more in a conversation of S",
        Cost(reads=(11, 2), writes=(1, 0), commands=(3, 0), scripted=(2, 0), inside=(8, 0)),
        Event(cases.add_member),
        (2, 6),
        "S",
    ),
    "kill": Row(
        "an instance with U users dies, and they stay away",
        Cost(reads=(7, 10), writes=(1, 2), deletes=(1, 0), commands=(6, 1), scripted=(4, 0), inside=(14, 4)),
        Event(cases.kill, 50.0),
        letter="U",
    ),
    "kill_and_return": Row(
        "the same, and they connect again at once",
        Cost(reads=(7, 4), writes=(1, 2), deletes=(1, 0), commands=(6, 9), scripted=(4, 5), inside=(14, 41)),
        Event(cases.kill_and_return, 50.0),
        letter="U",
    ),
    "drain": Row(
        "an instance with U users is drained, and they connect to another one",
        Cost(reads=(2, 3), writes=(1, 2), deletes=(1, 0), commands=(6, 10), scripted=(4, 5), inside=(15, 39)),
        Event(cases.drain, 30.0, 62.0),
        letter="U",
    ),
    "flush": Row(
        "`FLUSHALL` with U users online",
        Cost(commands=(13, 0), scripted=(5, 0), inside=(35, 4)),
        Event(cases.flush, 20.0),
        (5, 50),
        letter="U",
    ),
    "idle": Row(
        "an idle instance, a minute, N instances in all",
        Cost(reads=(143, 8), writes=(20, 0), commands=(360, 0), scripted=(180, 0), inside=(660, 80)),
        None,
        (1, 3),
        "N",
    ),
    "idle_without_redis": Row(
        "the same, while Redis is away", Cost(reads=(115, 60), writes=(20, 0)), None, (1, 3), "N", has_redis=False
    ),
}
