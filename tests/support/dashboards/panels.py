"""Panels and dashboards as Grafana keeps them (schema 39, Grafana 10 and later)."""

from dataclasses import dataclass, field
from typing import Any

RUNBOOKS = "https://runbooks.example.com"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
FLEET = 'namespace=~"$namespace",release=~"$release"'
ONE = f'{FLEET},instance=~"$instance"'
_COLUMNS = 24
_HEIGHT = 8

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One panel. `queries`: (PromQL, legend); `steps`: (from which value on, colour); `base`: the colour below them.

    `description`: what good looks like, and what to do else. `runbook`: page and section.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    steps: tuple[tuple[float, str], ...] = ()
    base: str = "green"
    runbook: str = ""
    kind: str = "timeseries"
    width: int = 8
    is_stacked: bool = False
    limits: tuple[float | None, float | None] = (0, None)

    def as_json(self, number: int, x: int, y: int) -> Json:
        """For its place in a dashboard."""
        low, high = self.limits
        defaults: Json = {
            "unit": self.unit,
            "thresholds": {
                "mode": "absolute",
                "steps": [{"color": self.base, "value": None}, *({"color": color, "value": at} for at, color in self.steps)],
            },
            **({} if low is None else {"min": low}),
            **({} if high is None else {"max": high}),
        }
        if self.kind == "timeseries":
            defaults["custom"] = {
                "lineWidth": 1,
                "fillOpacity": 30 if self.is_stacked else 5,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.is_stacked else "none"},
                "thresholdsStyle": {"mode": "line" if self.steps else "off"},
            }
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": _HEIGHT if self.kind == "timeseries" else 4},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS[self.kind],
            "links": [{"title": "Runbook", "url": f"{RUNBOOKS}/{self.runbook}", "targetBlank": True}] if self.runbook else [],
            "targets": [
                {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for index, (query, legend) in enumerate(self.queries)
            ],
        }


_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"},
}


@dataclass(frozen=True)
class Row:
    """Panels under one heading, from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """One dashboard: `holdfast-{name}` is its address. `has_instance`: shows the instances that are chosen only."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    has_instance: bool = False
    annotations: tuple[Json, ...] = field(default=())

    def panels(self) -> tuple[Panel, ...]:
        """All of them."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def as_json(self) -> Json:
        """As Grafana imports it."""
        return {
            "uid": f"holdfast-{self.name}",
            "title": f"Holdfast / {self.title}",
            "description": self.description,
            "tags": ["holdfast"],
            "schemaVersion": 39,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": self._variables()},
            "annotations": {"list": list(self.annotations)},
            "links": [
                {"type": "dashboards", "title": "Holdfast", "tags": ["holdfast"], "asDropdown": True}
                | {"includeVars": True, "keepTime": True}
            ],
            "panels": self._laid_out(),
        }

    def _variables(self) -> list[Json]:
        chosen = [
            _variable("namespace", "Namespace", "label_values(holdfast_build_info, namespace)"),
            _variable("release", "Release", 'label_values(holdfast_build_info{namespace=~"$namespace"}, release)'),
        ]
        if self.has_instance:
            chosen.append(_variable("instance", "Instance", f"label_values(holdfast_connections{{{FLEET}}}, instance)"))
        source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}
        return [source, *chosen]

    def _laid_out(self) -> list[Json]:
        found: list[Json] = []
        y = number = 0
        for row in self.rows:
            number += 1
            place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
            found.append({"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []})
            x, y, height = 0, y + 1, 0
            for panel in row.panels:
                number += 1
                if x + panel.width > _COLUMNS:
                    x, y, height = 0, y + height, 0
                found.append(panel.as_json(number, x, y))
                x, height = x + panel.width, max(height, found[-1]["gridPos"]["h"])
            y += height
        return found


def _variable(name: str, label: str, query: str) -> Json:
    """A choice of several values, all of them by default; `.*` also matches where a label is missing."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def rate(metric: str, by: str = "", *, where: str = FLEET, more: str = "") -> str:
    """How often a counter counts a second, summed up by labels."""
    selector = f"{where},{more}" if more else where
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", *, where: str = FLEET, more: str = "") -> str:
    """A quantile of a histogram, over all instances that are chosen."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'{by}, le' if by else 'le', where=where, more=more)})"


def drained(where: str) -> str:
    """Which share of its connections has left each instance since its drain began."""
    open_now = f"sum by (instance) (holdfast_connections{{{where}}})"
    return f"1 - {open_now} / (sum by (instance) (holdfast_drain_connections{{{where}}}) > 0)"


def quantiles(metric: str, *, where: str = FLEET, more: str = "") -> tuple[tuple[str, str], ...]:
    """The middle and the slow end of a histogram."""
    return tuple((quantile(share, metric, where=where, more=more), name) for share, name in ((0.5, "p50"), (0.99, "p99")))
