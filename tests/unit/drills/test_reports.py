"""What a report says of a run that did not pass: which invariant, or which figure of the drill's own."""

import dataclasses
import json
import math
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.drills.checker import Verdict
from holdfast.drills.report import files
from holdfast.drills.run import Options, Outcome, run_drill
from holdfast.drills.scenarios import CATALOGUE, soak
from holdfast.drills.stage import Expectation


@pytest.fixture
def outcome() -> Outcome:
    """All invariants held, but the dead instance was not reaped."""
    verdict = Verdict()
    verdict.check("I1", True, 1.0, "")
    expectations = [Expectation("reaped", 20.0, math.inf), Expectation("reconnect p99", 2.0, 0.5)]
    return Outcome(CATALOGUE["pod-kill"], Options(), Path("history.jsonl"), expectations, verdict=verdict)


def test_a_missed_figure_is_named_where_the_invariants_hold(outcome: Outcome) -> None:
    """Otherwise one reads twelve lines that hold, and then: failed."""
    assert outcome.exit_code == 1
    assert files.reason(outcome) == "the invariants hold; reaped: never (at most 20 s)"
    assert outcome.verdict is not None
    outcome.verdict.check("I7", False, 2.0, "late")
    assert files.reason(outcome) == "I7 violated 1 times; reaped: never (at most 20 s)"


def test_a_run_that_passed_needs_no_reason(outcome: Outcome) -> None:
    """And one that could not be run has its own."""
    outcome.expectations.pop(0)
    assert files.reason(outcome) == ""
    outcome.problem = "no libfaketime here"
    assert files.reason(outcome) == "no libfaketime here"


def test_what_never_came_is_valid_json_and_xml(outcome: Outcome, tmp_path: Path) -> None:
    """JSON has no infinity."""
    report = json.loads(json.dumps(files.as_json(outcome)), parse_constant=pytest.fail)
    assert report["expectations"][0] == {"name": "reaped", "threshold": 20.0, "measured": None, "unit": "s", "met": False}
    files.write_junit(tmp_path / "report.xml", [outcome])
    failure = ET.parse(tmp_path / "report.xml").getroot().find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == files.reason(outcome)


def test_report_names_the_time_range_of_a_run_for_prometheus_and_grafana(outcome: Outcome, tmp_path: Path) -> None:
    """What a drill did is looked up in the dashboards; the range is pasted from the report."""
    outcome.began_at, outcome.took_seconds = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 40.5
    files.write_markdown(tmp_path / "report.md", [outcome])
    report = (tmp_path / "report.md").read_text()
    assert "* pod-kill: start=2026-01-02T03:04:05Z&end=2026-01-02T03:04:46Z (Prometheus)" in report
    assert "from=1767323045000&to=1767323085500 (Grafana)" in report
    outcome.began_at = None
    files.write_markdown(tmp_path / "report.md", [outcome])
    assert "Grafana" not in (tmp_path / "report.md").read_text()


def test_report_of_a_cluster_names_image_chart_and_kubernetes(outcome: Outcome, tmp_path: Path) -> None:
    """Figures of two runs are compared only where the same thing ran."""
    outcome.ran_on = "image holdfast:1, chart holdfast-0.1.0, Kubernetes v1.34.4"
    files.write_markdown(tmp_path / "report.md", [outcome])
    assert f"* pod-kill: on {outcome.ran_on}\n" in (tmp_path / "report.md").read_text()
    assert files.as_json(outcome)["ran_on"] == outcome.ran_on


async def test_what_a_machine_lacks_is_said_before_anything_is_started(tmp_path: Path) -> None:
    """Exit code 2 with the reason, and no cluster was started for it."""
    steps: list[str] = []
    drill = dataclasses.replace(CATALOGUE["clock-skew"], missing=lambda: "no libfaketime here")
    outcome = await run_drill(drill, Options(directory=tmp_path), steps.append)
    assert (outcome.exit_code, outcome.problem, steps) == (2, "no libfaketime here", [])


def test_a_soak_draws_from_what_the_usual_cluster_can_be_put_through() -> None:
    """A drill on another layout would break what is not there; and the names that are left out are names."""
    assert CATALOGUE.keys() >= soak.LEFT_OUT
    drawn = {drill.name for drill in soak.drawn_on("sqlite")}
    assert {"commit-kill", "redis-full", "redis-crowded", "silent-client", "frozen-client", "pod-kill"} <= drawn
    assert drawn.isdisjoint({"sentinel-kill", "front-restart", "disk-full", "firestore-down", "flood", "load"})
    assert drawn >= soak.ONCE
    assert CATALOGUE["revoke"].settings.items() <= soak.soak("sqlite", 1.0).settings.items()
