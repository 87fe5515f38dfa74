"""The known conditions of each pod, when each was seen, and which are to be written now.

A condition carries the time of its last observation. It is renewed every minute, so a reader can tell a condition that holds
from one that no controller has observed since. A pod that was not observed for half a minute has conditions `Unknown`.
Pure: time comes in.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from holdfast.domain.ids import InstanceId
from holdfast.ports import Pod, PodCondition, PodHealth

PREFIX: Final = "holdfast.dev/"
TOLD: Final = ("RedisConnected", "BusLive", "StoreReachable", "Draining", "LoopsRunning", "Isolated")
UNKNOWN_SECONDS: Final = 30.0  # fifteen looks
RENEW_SECONDS: Final = 60.0  # one write a minute and pod


_SILENT: Final = f"the pod has not answered the controller for {UNKNOWN_SECONDS:.0f} s"


class Observations:
    """Of all pods, by uid: a pod that is replaced under its name is another one."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, PodHealth | None]] = {}
        self._written_at: dict[str, float] = {}

    def note(self, pods: Mapping[InstanceId, Pod], healths: Mapping[InstanceId, PodHealth], now: float) -> None:
        """The conditions as read now. Pods that are not named are forgotten; a new one counts as observed when it is first
        known."""
        living = {pod.uid for pod in pods.values()}
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in living}
        self._written_at = {uid: at for uid, at in self._written_at.items() if uid in living}
        for name, pod in pods.items():
            health = healths.get(name)
            if health is not None:
                self._seen[pod.uid] = (now, health)
            else:
                self._seen.setdefault(pod.uid, (now, None))

    def due(self, pod: Pod, now: float) -> list[PodCondition]:
        """The conditions to write on this pod now; `written` is to be told when they are."""
        if pod.uid not in self._seen:
            return []
        at, health = self._seen[pod.uid]
        if now - at >= UNKNOWN_SECONDS:
            unknown = [replace(each, status=None, reason="NotObserved", message=_SILENT) for each in pod.conditions.values()]
            return [each for each in unknown if _differs(pod.conditions.get(each.type), each)]
        if health is None or at != now:
            return []  # not observed this time: nothing says that it still holds
        wanted = [
            PodCondition(f"{PREFIX}{name}", condition.status, condition.reason, condition.message)
            for name in TOLD
            if (condition := health.conditions.get(name)) is not None
        ]
        if now - self._written_at.get(pod.uid, float("-inf")) >= RENEW_SECONDS:
            return wanted
        return [each for each in wanted if _differs(pod.conditions.get(each.type), each)]

    def written(self, pod: Pod, now: float) -> None:
        """Something is written. A write of all begins the next minute; a change within it moves nothing."""
        if now - self._written_at.get(pod.uid, float("-inf")) >= RENEW_SECONDS:
            self._written_at[pod.uid] = now


def _differs(known: PodCondition | None, wanted: PodCondition) -> bool:
    """A message alone (a latency, an error's text) is not worth a write."""
    return known is None or (known.status, known.reason) != (wanted.status, wanted.reason)
