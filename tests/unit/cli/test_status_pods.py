"""`holdfast status --namespace`: what is made of what pods say of themselves."""

import io
import json
from dataclasses import dataclass, field

from rich.console import Console

from holdfast.adapters.kubernetes.pods import PodState
from holdfast.cli.status.leases import InstanceStatus
from holdfast.cli.status.pods import PodFleet, PodStatus, read, table

METRICS = b"""# TYPE holdfast_connections gauge
holdfast_connections 12.0
# TYPE holdfast_loop_lag_seconds gauge
holdfast_loop_lag_seconds 0.0042
# TYPE holdfast_dependency_up gauge
holdfast_dependency_up{dependency="redis"} 1.0
holdfast_dependency_up{dependency="sqlite"} 1.0
"""
HEALTH = {
    "status": "degraded",
    "conditions": [
        {"type": "BusLive", "status": "False"},
        {"type": "StoreReachable", "status": "True"},
        {"type": "Draining", "status": "False"},
        {"type": "Saturated", "status": "True"},
    ],
}


@dataclass
class View:
    """A `PodView` of pods that answer so."""

    answers: dict[tuple[str, str], bytes]
    names: list[str] = field(default_factory=lambda: ["chat-b", "chat-a"])

    async def pods(self) -> list[PodState]:
        return [PodState(name, "node1", is_ready=True, is_ending=False, restarts=1, age_seconds=60) for name in self.names]

    async def get(self, pod: str, port: int, path: str) -> bytes | None:
        assert port == 9_000
        return self.answers.get((pod, path))


async def test_each_pod_tells_of_itself_and_one_that_does_not_answer_is_named() -> None:
    """A pod that is silent is what one is looking for: it must be in the list."""
    view = View({("chat-a", "api/health"): json.dumps(HEALTH).encode(), ("chat-a", "metrics"): METRICS})
    fleet = await read(view, None)  # type: ignore[arg-type]  # stands for a PodView
    first, second = fleet.pods
    assert (first.name, first.state, first.connections, first.loop_lag_ms) == ("chat-a", "degraded", 12, 4.2)
    assert first.unwell == ["BusLive", "Saturated"]
    assert (second.name, second.state, second.connections, second.loop_lag_ms, second.conditions) == (
        *("chat-b", "unreachable", 0, None),
        {},
    )
    assert fleet.connections == 12


async def test_an_answer_that_is_none_of_ours_is_no_answer() -> None:
    """A proxy's page, half an answer, another service."""
    for body in (b"<html>", b"[]", b"{}", b"\xff", b""):
        view = View({("chat-a", "api/health"): body, ("chat-a", "metrics"): body}, ["chat-a"])
        (pod,) = (await read(view, None)).pods  # type: ignore[arg-type]  # stands for a PodView
        assert (pod.state, pod.connections) == ("unreachable", 0)


def test_leases_are_shown_where_redis_was_asked() -> None:
    """`none` beside a pod that runs is the beginning of a reaping."""
    lease = InstanceStatus("chat-a", "healthy", 1, True, 1_500, 60, "e")
    pods = [
        PodStatus(name, "node1", True, False, 0, 60, "healthy", 1, {}, 1.0, held)
        for name, held in (("chat-a", lease), ("chat-b", None))
    ]
    console = Console(file=io.StringIO(), width=160)
    console.print(table(PodFleet(pods, 2, has_leases=True)))
    told = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "2 pods, 2 connections" in told
    assert "1.5 s ago" in told
    assert "none" in told
    console = Console(file=io.StringIO(), width=160)
    console.print(table(PodFleet(pods, 2, has_leases=False)))
    assert "lease" not in console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
