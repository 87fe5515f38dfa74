"""Failures drawn at random, one after the other, on one cluster; what chance drew is said, and its seed repeats it."""

from typing import Final

from holdfast.drills.drill import Drill
from holdfast.drills.local.target import USUAL
from holdfast.drills.scenarios import CATALOGUE
from holdfast.drills.stage import LocalStage

LEFT_OUT: Final = frozenset(("load", "hot-conversation", "drain", "freeze-long", "pod-kill-three", "flood", "storm"))
"""Drills without faults, made of others, or about limits that many busy users do not keep."""

ONCE: Final = frozenset(("store-restore",))
"""Each is drawn once at most: the checker judges one restore of the store in a run."""

_FAULT_SECONDS: Final = (1.0, 8.0)
_REST_SECONDS: Final = (1.0, 6.0)


def drawn_on(store: str) -> list[Drill]:
    """What chance may draw: all that the usual cluster can be put through, with what this machine has."""
    played = [drill for name, drill in sorted(CATALOGUE.items()) if name not in LEFT_OUT and store in drill.stores]
    return [drill for drill in played if drill.layout == USUAL and not drill.missing()]


def soak(store: str, minutes: float, settings: dict[str, str] | None = None) -> Drill:
    """A drill that goes on for that long, on instances that have the settings of all drills that may be drawn."""
    played = drawn_on(store)
    needed = {name: value for drill in played for name, value in drill.settings.items()}

    async def play(stage: LocalStage) -> None:
        until, drawn = stage.history.now + minutes * 60, list(played)
        while stage.history.now < until:
            drill = stage.random.choice(drawn)
            if drill.name in ONCE:
                drawn.remove(drill)
            stage.seconds = stage.random.uniform(*_FAULT_SECONDS)
            stage.say(f"{drill.name} for {stage.seconds:.1f} s")
            await drill.play(stage)
            await stage.pause(stage.random.uniform(*_REST_SECONDS))

    return Drill(f"soak-{minutes:g}m", "failures drawn at random", play, linger_seconds=10.0, settings=needed | (settings or {}))
