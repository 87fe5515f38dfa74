"""The alert rules: accepted by Prometheus, complete in their texts, and each seen firing and staying silent."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.prometheus_rules import SHORTER, alerts, metrics_in, promtool, rule_files, rules, shortened, without_annotations
from support.registered import registered

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))


def test_prometheus_accepts_every_rule() -> None:
    """A file with one mistake is not loaded at all."""
    done = subprocess.run(
        [promtool(), "check", "rules", *map(str, rule_files())], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_told(case: Path, tmp_path: Path) -> None:
    """An alert that was never seen firing may not fire, and one that fires for nothing is switched off."""
    without_annotations(tmp_path)
    (tmp_path / case.name).write_text(case.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [promtool(), "test", "rules", str(tmp_path / case.name)], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    """Every new alert comes with both; each severity of an alert has to be seen."""
    fired, silent = set(), set()
    for path in CASES:
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for check in case["alert_rule_test"]:
                fired |= {(check["alertname"], each["exp_labels"]["severity"]) for each in check["exp_alerts"]}
                silent |= {check["alertname"]} if not check["exp_alerts"] else set()
    assert fired == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    assert silent == {rule["alert"] for rule in alerts()}


def test_every_alert_says_what_breaks_and_where_to_look() -> None:
    """At three in the morning the text of the alert is all there is."""
    for rule in alerts():
        notes, name = rule["annotations"], rule["alert"]
        assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}, name
        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"}), name
        assert len(notes["summary"]) <= 80, name
        assert 80 <= len(notes["description"]) <= 400, name
        assert re.fullmatch(rf"https://runbooks\.example\.com/[\w-]+\.md#{name.lower()}", notes["runbook_url"]), name
        assert re.fullmatch(r"https://grafana\.example\.com/d/holdfast-[a-z]+(\?.*)?", notes["dashboard_url"]), name


def test_recorded_series_are_recorded_before_they_are_used() -> None:
    """A rule on a series that no rule records never fires, without an error."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for rule in rules() for name in re.findall(r"holdfast:[\w:]+", rule["expr"])}
    assert used <= recorded


def test_rules_name_only_metrics_and_labels_that_the_product_has() -> None:
    """A misspelt name is an alert that never fires."""
    known = registered()
    for rule in rules():
        assert metrics_in(rule["expr"]) <= known.keys(), rule
        for metric, selector in re.findall(r"(?<![\w:])(holdfast_\w+)\{([^}]*)\}", rule["expr"]):
            assert known[metric].misfit(selector) is None, f"{metric}: {known[metric].misfit(selector)}"


def test_shortened_rules_are_the_rules_with_every_duration_divided_alike() -> None:
    """The rules that fire before a live Prometheus in seconds fire in production in minutes."""
    seconds = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    durations = re.compile(r"(?<=\[)\d+[smhd](?=\])|(?<=offset )\d+[smhd]|(?<=for: )\d+[smhd]|(?<=interval: )\d+[smhd]")
    for path in rule_files():
        text = path.read_text(encoding="utf-8")
        before, after = durations.findall(text), durations.findall(shortened(text))
        assert [int(each[:-1]) * seconds[each[-1]] for each in before] == [
            int(each[:-1]) * seconds[each[-1]] * SHORTER for each in after
        ]
        assert durations.sub("", text).replace(") * 30\n", ") * 1\n") == durations.sub("", shortened(text))
