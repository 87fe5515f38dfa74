"""A drill: a rehearsed failure, what it breaks, and what has to hold beyond the invariants."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.drills.checker.run import Run
from holdfast.drills.history import Bounds
from holdfast.drills.local.target import USUAL, Layout
from holdfast.drills.stage import Expectation

BOUNDS: Final = Bounds(grace_s=5.0, offline_s=35.0, healthy_s=5.0)
STORES: Final = ("sqlite", "firestore")


@dataclass(frozen=True, slots=True)
class Drill:
    """One of the catalogue.

    Attributes:
        name: as on the command line.
        fault: one line: what breaks.
        play: breaks it, waits, and takes it back; gets the stage of its cluster.
        stores: on which it can be played; where that is one, `why` says so.
        seconds: how long the fault lasts unless the command line says otherwise.
        linger_seconds: how long users stay after the last message, for slow consequences (offline presence, notifications).
        settings: variables that its instances run with.
        clients, rate: how many, and how busy; None is the usual; the command line overrides it.
        reconnect_p99: no more than that many seconds, where the drill rehearses the clients' reconnects.
        layout: where its cluster differs from the usual.
        missing: what this machine lacks for it, in words; empty where nothing.
        lacks: features that some of its instances do not have (`history`), because they run an older version.
        looks_back: checks of the history as a whole, each a figure with its threshold.
    """

    name: str
    fault: str
    play: Callable[[Any], Awaitable[None]]
    stores: tuple[str, ...] = STORES
    why: str = ""
    seconds: float = 6.0
    linger_seconds: float = 2.0
    settings: dict[str, str] = field(default_factory=dict)
    bounds: Bounds = BOUNDS
    clients: int | None = None
    rate: float | None = None
    reconnect_p99: float | None = None
    layout: Layout = USUAL
    missing: Callable[[], str] = lambda: ""
    lacks: frozenset[str] = frozenset()
    looks_back: tuple[Callable[[Run], Expectation], ...] = ()
