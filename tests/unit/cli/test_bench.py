"""The status of `holdfast bench`, and where its report goes."""

import argparse
import json
from pathlib import Path

import pytest

from holdfast.bench.judge import Verdict
from holdfast.bench.play import Outcome
from holdfast.bench.rounds import Plan, Turn
from holdfast.bench.table import Column, Report
from holdfast.bench.workloads import WORKLOADS
from holdfast.cli import bench


@pytest.mark.parametrize(("problem", "status"), [("3 lost", 1), ("", 0)])
def test_a_lost_message_fails_the_command_and_the_report_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: str, status: int
) -> None:
    """Figures of a server that loses messages are worth nothing; the directory of the report need not exist."""
    workload = WORKLOADS[0]
    turn = Turn(1, workload.name, "Holdfast", Outcome({}, 0.3, Verdict(), problem))
    found = Report({"cores": 2}, (Column("Holdfast", ""),), (), (turn,))
    monkeypatch.setattr(bench, "_play", lambda *_: found)
    args = argparse.Namespace(workloads=[workload.name], markdown=tmp_path / "new" / "a.md", json=tmp_path / "new" / "a.json")
    assert bench._run(args, Plan((workload,), rounds=1, seconds=1.0), tmp_path) == status
    assert bool(json.loads(args.json.read_text())["failures"]) is bool(status)
    assert args.markdown.exists()
