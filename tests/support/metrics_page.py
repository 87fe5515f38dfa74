"""The page of metrics, made of what an instance declares: `python -m support.metrics_page` writes it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Metric

from holdfast.telemetry import ControllerTelemetry, Telemetry

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_SUFFIXES = {"counter": "_total", "info": "_info"}
_HEAD = """# Metrics

Made of `service/holdfast/telemetry` by `make metrics`. An instance exposes these on its internal port at `/metrics`,
in Prometheus' text format, or as OpenMetrics where `Accept` asks for it. Units are base units. No label holds a user, a
conversation or anything else that clients choose; every series exists from the start, so the number of series of an
instance never changes. Beside these there are `process_*` (CPU, memory, descriptors, start time) and `python_gc_*` as
prometheus_client has them.

"""
_CONTROLLER = """
## The controller

`holdfast controller` exposes these at `/metrics` of its own port (9000; in the chart the port `internal` of its pods).
The probe's are in [operating.md](operating.md#the-probe).

"""
_TABLE = """| metric | type | labels | what |
|---|---|---|---|
"""


def page() -> str:
    """The text of `docs/metrics.md`."""
    return _HEAD + _rows(Telemetry("0").registry.collect()) + _CONTROLLER + _rows(ControllerTelemetry().registry.collect())


def _rows(families: Iterable[Metric]) -> str:
    ordered = sorted(families, key=lambda family: family.name)
    return _TABLE + "".join(_row(family) for family in ordered if family.name.startswith("holdfast_"))


def _row(family: Metric) -> str:
    name = family.name + _SUFFIXES.get(family.type, "")
    kind = "gauge" if family.type == "info" else family.type
    return f"| `{name}` | {kind} | {'<br>'.join(_labels(family))} | {family.documentation} |\n"


def _labels(family: Metric) -> Iterator[str]:
    if family.type == "info":
        yield "`version`, `store`: `firestore`, `sqlite`, `none`"
        return
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, {})[value] = None
    for label, found in values.items():
        yield f"`{label}`: " + ", ".join(f"`{value}`" for value in found)
    bounds = {float(sample.labels["le"]) for sample in family.samples if sample.name.endswith("_bucket")}
    if bounds:
        yield "buckets: " + ", ".join(f"{bound:g}" for bound in sorted(bounds) if bound != float("inf"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
