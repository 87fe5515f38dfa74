"""The rule files of the chart: read, and written again with what a test needs changed."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from support.helm import CHART
from support.up import require

RULES = CHART / "monitoring"
SHORTER = 30
"""A minute of the rules is two seconds in tests over live instances."""

Rule = dict[str, Any]
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\[|offset |for: |interval: )(\d+)([smhd])\b")


def rule_files() -> list[Path]:
    """All of them."""
    return sorted(RULES.glob("*.rules.yaml"))


def rules() -> Iterator[Rule]:
    """Every rule, recording or alerting."""
    for path in rule_files():
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def alerts() -> list[Rule]:
    """Every alerting rule; two of them may have one name, with different severities."""
    return [rule for rule in rules() if "alert" in rule]


def shortened(text: str) -> str:
    """The text of a rule file with every duration divided by `SHORTER`: `for`, intervals, windows, offsets; thresholds stay."""
    text = _DURATION.sub(lambda found: f"{found[1]}{int(found[2]) * _SECONDS[found[3]] // SHORTER}s", text)
    return text.replace(") * 30\n", f") * {30 // SHORTER}\n")  # seconds between two evaluations, as a factor


def evaluated_each_second(text: str) -> str:
    """The text of a rule file with its intervals of evaluation shortened, and nothing else."""
    return text.replace("interval: 30s", "interval: 1s")


def metrics_in(query: str) -> set[str]:
    """The metrics of the product that a query names, recorded ones left out."""
    return set(re.findall(r"(?<![\w:])(?:holdfast|process|python)_\w+", query))


def without_annotations(directory: Path) -> None:
    """Write the rules into a directory without their texts: promtool would want each text again in each test."""
    for path in rule_files():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in content["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations", None)
        (directory / path.name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def promtool() -> str:
    """Its path, or the end of the test that needs it: loudly, and with `CI=true` as a failure."""
    found = shutil.which("promtool")
    require(found is not None, "no promtool here: apt-get install prometheus")
    assert found is not None
    return found
