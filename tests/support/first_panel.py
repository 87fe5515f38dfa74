"""Which panels of the dashboards show a fault, and how soon: all queries of some panels, asked once a second.

A panel shows a fault when one of its series enters another colour than in the calm before, or, where the panel has no colours,
appears, doubles or halves: what a person sees at a glance. Panels of seconds and bytes without colours are left out.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from support.dashboards.files import DASHBOARDS
from support.dashboards.panels import Panel
from support.prometheus import Prometheus

Series = tuple[int, tuple[tuple[str, str], ...]]
_EVENTS = 0.05  # a second: what is below stands on the axis


@dataclass
class _Calm:
    """The values of one panel before the fault."""

    steps: set[int] = field(default_factory=set)
    low: dict[Series, float] = field(default_factory=dict)
    high: dict[Series, float] = field(default_factory=dict)


def _panels(names: Sequence[str]) -> Iterator[tuple[str, Panel]]:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels():
            if f"{dashboard.title}: {panel.title}" in names:
                yield f"{dashboard.title}: {panel.title}", panel


class FirstPanels:
    """`calm` for a while, then the fault, then `watch`."""

    def __init__(self, prometheus: Prometheus, names: Sequence[str]) -> None:
        """`names`: of the panels, each behind its dashboard's."""
        self._prometheus = prometheus
        self._panels = dict(_panels(names))
        assert self._panels.keys() == set(names)
        self._calm = {name: _Calm() for name in self._panels}

    async def calm(self, seconds: float) -> None:
        """Learn what all panels show when nothing is wrong."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name, panel in self._panels.items():
                calm = self._calm[name]
                for series, value in (await self._values(panel)).items():
                    calm.steps.add(_step(panel, value))
                    calm.low[series] = min(value, calm.low.get(series, value))
                    calm.high[series] = max(value, calm.high.get(series, value))
            await asyncio.sleep(1)  # panels are asked once a second

    async def watch(self, seconds: float, began: float, told: Callable[[str, float], None]) -> None:
        """Tell each panel that shows the fault, and after how many seconds from `began` on the monotonic clock."""
        seen: set[str] = set()
        while time.monotonic() < began + seconds and len(seen) < len(self._panels):
            for name, panel in self._panels.items():
                if name not in seen and self._shows(panel, self._calm[name], await self._values(panel)):
                    seen.add(name)
                    told(name, time.monotonic() - began)
            await asyncio.sleep(1)  # panels are asked once a second

    async def _values(self, panel: Panel) -> dict[Series, float]:
        found: dict[Series, float] = {}
        for number, (query, _) in enumerate(panel.queries):
            for sample in await self._prometheus.query(query):
                value = float(sample["value"][1])
                if value == value:  # no NaN
                    found[number, tuple(sorted(sample["metric"].items()))] = value
        return found

    def _shows(self, panel: Panel, calm: _Calm, values: dict[Series, float]) -> bool:
        if panel.steps:
            return any(_step(panel, value) not in calm.steps for value in values.values())
        if panel.unit in ("s", "bytes"):
            return False
        return any(_is_new(calm, series, value) for series, value in values.items()) or any(
            series not in values and low > _EVENTS for series, low in calm.low.items()
        )


def _step(panel: Panel, value: float) -> int:
    return sum(value >= at for at, _ in panel.steps)


def _is_new(calm: _Calm, series: Series, value: float) -> bool:
    if series not in calm.high:
        return value > _EVENTS
    low, high = calm.low[series], calm.high[series]
    return value > max(2 * high, high + 2 * _EVENTS) or value < low / 2 - _EVENTS
