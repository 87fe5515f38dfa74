"""The Prometheus of `holdfast up --monitor`: what it is told, and when it is refused."""

import json
import shutil
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.cli.up import monitor
from holdfast.cli.up import plan as plans


def _plan(data: Path) -> plans.Plan:
    own = {"HOLDFAST_REDIS__URL": "redis://elsewhere:6379/0", "HOLDFAST_STORE__URL": "firestore://project"}
    return plans.make(data, 8000, 2, data / "secret", own, 6379)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a Prometheus."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")


@pytest.mark.usefixtures("program")
def test_prometheus_scrapes_the_internal_port_of_each_instance(tmp_path: Path) -> None:
    """With the labels that rules and dashboards group by."""
    plan = monitor.with_prometheus(_plan(tmp_path), monitor.CHECKOUT_RULES)
    assert plan.prometheus is not None
    assert [part.name for part in plan.parts] == ["instance-1", "instance-2", "prometheus"]
    assert plan.prometheus.port == 9000
    written = json.loads((tmp_path / "prometheus" / "prometheus.yml").read_text())
    each = written["scrape_configs"][0]["static_configs"]
    assert [(one["targets"], one["labels"]["instance"]) for one in each] == [
        (["127.0.0.1:9001"], "instance-1"),
        (["127.0.0.1:9002"], "instance-2"),
    ]
    assert all(one["labels"].keys() == {"instance", "namespace", "release"} for one in each)
    assert written["rule_files"] == [str(monitor.CHECKOUT_RULES / "*.rules.yaml")]


@pytest.mark.usefixtures("program")
def test_missing_rules_are_refused_with_the_option_that_names_them(tmp_path: Path) -> None:
    """An installed package has no rules, and a Prometheus without rules would look as if nothing were wrong."""
    with pytest.raises(plans.UpRefused, match="with --rules"):
        monitor.with_prometheus(_plan(tmp_path), tmp_path)


def test_missing_prometheus_ends_the_command_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names what to install."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "prometheus" else which(name))
    monkeypatch.setenv("HOLDFAST_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(plans, "is_free", lambda port: True)
    assert main(["up", "--monitor", "--data", str(tmp_path), "--port", "8100"]) == 1
    told = capsys.readouterr().err
    assert "apt install prometheus" in told
    assert told.count("\n") == 1


@pytest.mark.usefixtures("program")
def test_taken_port_of_prometheus_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other parts would have to be ended again."""
    plan = monitor.with_prometheus(_plan(tmp_path), monitor.CHECKOUT_RULES)
    monkeypatch.setattr(plans, "is_free", lambda port: port != 9000)
    with pytest.raises(plans.UpRefused, match="port 9000 is taken"):
        plans.check_ports(plan)
