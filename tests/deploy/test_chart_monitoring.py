"""The chart's objects for monitoring: the rules and dashboards of its folders, with the addresses that the values name."""

import json

import yaml

from support.chart import of_kind, rendered
from support.dashboards.files import DASHBOARDS
from support.prometheus_rules import rule_files

RUNBOOKS = ("https://runbooks.example.com", "https://wiki.example.com/holdfast/runbooks")
GRAFANA = ("https://grafana.example.com", "https://grafana.acme.example")


def test_the_rule_object_holds_the_rules_of_the_files() -> None:
    """With and without the operator the same alerts fire; only the addresses in their links differ."""
    (rule,) = of_kind(rendered("hpa-values.yaml"), "PrometheusRule")
    wanted = []
    for path in rule_files():
        wanted += yaml.safe_load(path.read_text(encoding="utf-8").replace(*RUNBOOKS).replace(*GRAFANA))["groups"]
    assert rule["spec"]["groups"] == wanted
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_each_dashboard_is_a_config_map_that_grafanas_sidecar_finds() -> None:
    """It looks for a label; the links to runbooks lead to where these are published."""
    maps = [each for each in of_kind(rendered("hpa-values.yaml"), "ConfigMap") if "dashboard" in each["metadata"]["name"]]
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in maps} == {"1"}
    assert {each["metadata"]["annotations"]["grafana_folder"] for each in maps} == {"Holdfast"}
    found = {name: json.loads(text) for each in maps for name, text in each["data"].items()}
    wanted = {f"holdfast-{each.name}.json": json.dumps(each.as_json(), ensure_ascii=False) for each in DASHBOARDS}
    assert found == {name: json.loads(text.replace(*RUNBOOKS)) for name, text in wanted.items()}
