"""The fleet as Kubernetes and the pods tell it; the leases from Redis, where that can be reached."""

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from holdfast.cli.status import leases
from holdfast.domain.health import BAD_CONDITIONS
from holdfast.settings import RedisSettings

if TYPE_CHECKING:
    from holdfast.adapters.kubernetes.pods import PodState, PodView

_INTERNAL_PORT: Final = 9_000
_SELECTOR: Final = "app.kubernetes.io/instance={},app.kubernetes.io/component=chat"


@dataclass(frozen=True, slots=True)
class PodStatus:
    """One pod.

    Attributes:
        state: as its health; `unreachable` when it does not answer.
        conditions: its own, by type (`BusLive`).
        loop_lag_ms: how late its loop's last tick was; None when it does not answer.
        lease: its lease in Redis; None when Redis was not asked, or has none.
    """

    name: str
    node: str
    is_ready: bool
    is_ending: bool
    restarts: int
    age_seconds: int
    state: str
    connections: int
    conditions: dict[str, bool]
    loop_lag_ms: float | None
    lease: leases.InstanceStatus | None

    @property
    def unwell(self) -> list[str]:
        """The conditions that are not as they should be."""
        return [name for name, status in self.conditions.items() if status == (name in BAD_CONDITIONS)]


@dataclass(frozen=True, slots=True)
class PodFleet:
    """All of them. `has_leases`: whether Redis was asked."""

    pods: list[PodStatus]
    connections: int
    has_leases: bool


def open_view(context: str | None, namespace: str, release: str) -> "PodView":
    """Of a release of the chart.

    Raises:
        ConfigurationError: there is no access to Kubernetes.
    """
    from holdfast.adapters.kubernetes.pods import PodView  # here: 40 MB that the other commands need not pay

    return PodView(context, namespace, _SELECTOR.format(release))


async def read(view: "PodView", redis: RedisSettings | None) -> PodFleet:
    """The state of the pods now.

    Raises: OrchestratorUnavailable, RedisUnavailable: no answer.
    """
    states = await view.pods()
    known = {each.instance_id: each for each in (await leases.read(redis)).instances} if redis is not None else {}
    found = await asyncio.gather(*(_pod(view, state, known.get(state.name)) for state in states))
    pods = sorted(found, key=lambda pod: pod.name)
    return PodFleet(pods, sum(each.connections for each in pods), redis is not None)


async def _pod(view: "PodView", state: "PodState", lease: leases.InstanceStatus | None) -> PodStatus:
    health, metrics = await asyncio.gather(
        view.get(state.name, _INTERNAL_PORT, "api/health"), view.get(state.name, _INTERNAL_PORT, "metrics")
    )
    body = _decoded(health)
    gauges = _gauges(metrics)
    lag = gauges.get("holdfast_loop_lag_seconds")
    return PodStatus(
        name=state.name,
        node=state.node,
        is_ready=state.is_ready,
        is_ending=state.is_ending,
        restarts=state.restarts,
        age_seconds=state.age_seconds,
        state=str(body.get("status", "unreachable")),
        connections=int(gauges.get("holdfast_connections", 0)),
        conditions={each["type"]: each["status"] == "True" for each in body.get("conditions", ())},
        loop_lag_ms=None if lag is None else max(0.0, round(lag * 1000, 1)),
        lease=lease,
    )


def _decoded(body: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "conditions" in found else {}


def _gauges(text: bytes | None) -> dict[str, float]:
    """Those without labels."""
    try:
        families = list(text_string_to_metric_families((text or b"").decode()))
    except ValueError:
        return {}
    return {each.name: each.samples[0].value for each in families if each.type == "gauge" and len(each.samples) == 1}


def table(fleet: PodFleet) -> Table:
    """For people."""
    told = f"{len(fleet.pods)} pods, {fleet.connections} connections"
    shown = Table(title=told, title_justify="left", box=None, pad_edge=False)
    columns = ["pod", "node", "ready", "state", "connections", "not well", "lag", "restarts", "age"]
    for column in [*columns, "lease renewed"] if fleet.has_leases else columns:
        right = column in ("connections", "lag", "restarts", "age")
        shown.add_column(column, justify="right" if right else "left", no_wrap=column == "pod")
    for pod in fleet.pods:
        cells = [
            pod.name,
            pod.node,
            "ending" if pod.is_ending else "yes" if pod.is_ready else "no",
            pod.state,
            str(pod.connections),
            ", ".join(pod.unwell),
            "" if pod.loop_lag_ms is None else f"{pod.loop_lag_ms:.0f} ms",
            str(pod.restarts),
            f"{pod.age_seconds} s",
        ]
        if fleet.has_leases:
            renewed = pod.lease.renewed_ms if pod.lease is not None else None
            cells.append("none" if renewed is None else f"{renewed / 1000:.1f} s ago")
        shown.add_row(*cells, style="" if pod.state == "healthy" and pod.is_ready and not pod.is_ending else "yellow")
    return shown
