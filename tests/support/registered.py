"""What the product exports: every metric with its labels and their values, as its registries have them from the start."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from holdfast.probe.measures import Measures
from holdfast.telemetry import ControllerTelemetry, Telemetry

TARGET_LABELS = frozenset(("namespace", "release", "instance", "job", "pod"))
"""The labels that Prometheus adds to every series of a target."""


@dataclass
class Exported:
    """The series of one name: label -> its values."""

    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def misfit(self, selector: str) -> str | None:
        """What in a selector selects nothing; None where all of it exists."""
        for label, operator, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', selector):
            if label in TARGET_LABELS:
                continue
            if label not in self.labels:
                return f"no label {label}"
            wanted = text.split("|") if operator in ("=~", "!~") else [text]
            if missing := [value for value in wanted if value not in self.labels[label] and not value.startswith("$")]:
                return f"no {label} {missing}"
        return None


def registered() -> dict[str, Exported]:
    """Sample name (with `_total`, `_bucket` …) -> what is exported under it."""
    found: dict[str, Exported] = defaultdict(Exported)
    for registry in (Telemetry("0").registry, ControllerTelemetry().registry, Measures().registry):
        for family in registry.collect():
            for sample in family.samples:
                for label, value in sample.labels.items():
                    found[sample.name].labels[label].add(value)
                found[sample.name]  # exists also without labels
    return dict(found)
