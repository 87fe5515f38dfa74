"""Which changes of state are worth an Event: those that lasted, each once, and what happens to all is told once for all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.domain.ids import InstanceId

LASTING_SECONDS: Final = 5.0  # a state that is over sooner is weather
_QUIET_SECONDS: Final = 60.0  # of one pod no more than one Event within that
_UNWELL: Final = frozenset({"degraded", "saturated"})


@dataclass(slots=True)
class _Seen:
    state: str
    since: float
    told: str = "healthy"
    told_at: float | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """`instance_id` None: most of the fleet at once."""

    instance_id: InstanceId | None
    state: str

    @property
    def is_warning(self) -> bool:
        """An operator should look."""
        return self.state in _UNWELL


class Transitions:
    """Of all pods. Pure: time comes in."""

    def __init__(self) -> None:
        """Everybody is thought to be healthy."""
        self._seen: dict[InstanceId, _Seen] = {}

    def look(self, states: Mapping[InstanceId, str], now: float) -> list[Transition]:
        """What to tell, given what each pod says of itself now; those that are not named are forgotten."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in states}
        for name, state in states.items():
            seen = self._seen.setdefault(name, _Seen(state, now))
            if seen.state != state:
                seen.state, seen.since = state, now
        ripe = [name for name, seen in self._seen.items() if self._is_ripe(seen, now)]
        told = []
        for state in sorted({self._seen[name].state for name in ripe}):
            names = [name for name in ripe if self._seen[name].state == state]
            self._note(names, state, now)
            told += _summed_up(names, state, len(self._seen))
        return told

    @staticmethod
    def _is_ripe(seen: _Seen, now: float) -> bool:
        if seen.state == seen.told or seen.state == "starting" or now - seen.since < LASTING_SECONDS:
            return False
        return seen.told_at is None or now - seen.told_at >= _QUIET_SECONDS

    def _note(self, names: Iterable[InstanceId], state: str, now: float) -> None:
        for name in names:
            self._seen[name].told, self._seen[name].told_at = state, now


def _summed_up(names: list[InstanceId], state: str, pods: int) -> list[Transition]:
    if len(names) > 1 and 2 * len(names) > pods:
        return [Transition(None, state)]
    return [Transition(name, state) for name in names]
