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

    `description`: what good looks like, and what to do else. `runbook`: page and section. `roof`: up to where the axis reaches
    at least, so that noise near 0 does not look like a fault; by default the first of `steps`, and one a second of what is rare.
    `colors`: legend -> colour; `values`: of a state timeline, value -> text and colour. `has_table`: the legend is a table.
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
    roof: float | None = None
    colors: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[float, str, str], ...] = ()
    has_table: bool = False

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
                # Nothing of 0 has a line or a point: on top of a stack it would look like what its colour says.
                "lineWidth": 0 if self.is_stacked else 1,
                "fillOpacity": 60 if self.is_stacked else 5,
                "showPoints": "never" if self.is_stacked else "auto",  # a value alone between two gaps is no line
                "stacking": {"mode": "normal" if self.is_stacked else "none"},
                "thresholdsStyle": {"mode": "line" if self.steps else "off"},
                **self._soft_limits(),
            }
        if self.kind == "state-timeline":
            defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
            texts = {str(value): {"text": text, "color": color} for value, text, color in self.values}
            defaults["mappings"] = [{"type": "value", "options": texts}]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": 4 if self.kind == "stat" else _HEIGHT},
            "fieldConfig": {"defaults": defaults, "overrides": [_colored(name, color) for name, color in self.colors]},
            "options": _OPTIONS[self.kind] | ({"legend": _TABLE} if self.has_table else {}),
            "links": [{"title": "Runbook", "url": f"{RUNBOOKS}/{self.runbook}", "targetBlank": True}] if self.runbook else [],
            "targets": [
                {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for index, (query, legend) in enumerate(self.queries)
            ],
        }

    def _soft_limits(self) -> Json:
        roof = self.roof
        if roof is None and self.limits[1] is None:
            roof = self.steps[0][0] if self.steps else _ROOFS.get(self.unit)
        below = {"axisSoftMin": -roof} if roof is not None and self.limits[0] is None else {}
        return {} if roof is None else {"axisSoftMax": roof, **below}


def _colored(name: str, color: str) -> Json:
    fixed = {"id": "color", "value": {"mode": "fixed", "fixedColor": color}}
    return {"matcher": {"id": "byName", "options": name}, "properties": [fixed]}


_ROOFS = {"reqps": 1, "ops": 1, "cps": 1, "mps": 1}
STATES = (
    ("healthy", "green"),
    ("starting", "blue"),
    ("saturated", "yellow"),
    ("degraded", "orange"),
    ("draining", "purple"),
    ("unhealthy", "red"),
)
"""Of instances, with the colour that each has on every panel."""
PATHS = (("local", "green"), ("bus", "blue"), ("replay", "purple"), ("again", "yellow"), ("gap_fill", "orange"), ("poll", "red"))
"""Of deliveries: blue and green where all is well."""
_TABLE: Json = {"displayMode": "table", "placement": "right", "calcs": ["mean"], "sortBy": "Mean", "sortDesc": True}
_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"},
    "state-timeline": {"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}, "rowHeight": 0.8},
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


def faults(metric: str, by: str, legend: str, *, where: str = FLEET) -> tuple[tuple[str, str], ...]:
    """How often something goes wrong: all of it, which is a line at 0 while all is well, and what of it there is."""
    return (rate(metric, where=where), "all"), (f"{rate(metric, by, where=where)} > 0", legend)


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
