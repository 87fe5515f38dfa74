"""Whom a scale-in should remove: the pod whose end moves the fewest people."""

from collections.abc import Mapping
from typing import Final

from holdfast.domain.ids import InstanceId

_PAUSE_SECONDS: Final = 60.0  # of one pod at most one change within that: each is a write of the API server


class Costs:
    """Deletion costs of all pods, by rank of their connections. Pure: time comes in."""

    def __init__(self) -> None:
        """Nothing was written yet."""
        self._written_at: dict[InstanceId, float] = {}

    def due(
        self, connections: Mapping[InstanceId, int], current: Mapping[InstanceId, int | None], now: float
    ) -> dict[InstanceId, int]:
        """Which costs to write now. `current`: those on the pods; a pod that is not among them is gone."""
        self._written_at = {name: at for name, at in self._written_at.items() if name in current}
        ranked = sorted((count, name) for name, count in connections.items() if name in current)
        due = {}
        for rank, (_, name) in enumerate(ranked):
            if current[name] != rank and now - self._written_at.get(name, -_PAUSE_SECONDS) >= _PAUSE_SECONDS:
                self._written_at[name] = now
                due[name] = rank
        return due
