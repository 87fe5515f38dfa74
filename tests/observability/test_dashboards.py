"""The dashboards: as their source makes them, and by the rules of Grafana's dashboard linter, which is a binary of its own."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.dashboards.files import DASHBOARDS, DIRECTORY, text
from support.dashboards.panels import STATES, Dashboard
from support.prometheus_rules import alerts, metrics_in, rules
from support.registered import registered
from support.runbooks import sections

EVER_GOING_ON = {"Store by operation", "Duration by operation", "Closes by code", "Instances by state"}
"""Panels that leave out what is 0, and are never empty in a service that is used."""
EMPTY_WITHOUT_CAUSE = {"REST duration", "Documents read", "Documents written"}
"""Without calls by REST; with SQLite."""
UNITS = {"s", "reqps", "ops", "cps", "mps", "none", "percentunit", "bytes"}


@pytest.fixture(params=DASHBOARDS, ids=lambda each: each.name)
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    """Each of them."""
    found: Dashboard = request.param
    return found


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    for panel in dashboard.as_json()["panels"]:
        if panel["type"] != "row":
            yield panel


def _queries(dashboard: Dashboard) -> Iterator[str]:
    for panel in dashboard.panels():
        for query, _ in panel.queries:
            yield query
    for annotation in dashboard.annotations:
        if "expr" in annotation:
            yield annotation["expr"]


def test_the_files_are_what_their_source_makes() -> None:
    """`make manifests` writes them again; nothing is edited in two places."""
    written = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}
    assert written == {f"{each.name}.json": text(each) for each in DASHBOARDS}


def test_every_panel_says_what_good_looks_like(dashboard: Dashboard) -> None:
    """Title, description, unit, and at least one query; a newcomer has nothing else."""
    titles = [panel["title"] for panel in _panels(dashboard)]
    assert len(titles) == len(set(titles))
    for panel in _panels(dashboard):
        assert panel["title"], panel
        assert "Good" in panel["description"], panel["title"]
        assert 40 <= len(panel["description"]) <= 300, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]


def test_variables_choose_source_namespace_release_and_instance(dashboard: Dashboard) -> None:
    """The linter's template rules: a data source first, and choices that follow the time range."""
    source, *chosen = dashboard.as_json()["templating"]["list"]
    assert (source["name"], source["label"], source["type"]) == ("datasource", "Data source", "datasource")
    assert [each["name"] for each in chosen] == ["namespace", "release", *(["instance"] if dashboard.has_instance else [])]
    for each in chosen:
        assert each["refresh"] == 2
        assert (each["includeAll"], each["allValue"], each["multi"]) == (True, ".*", True)
        assert each["datasource"]["uid"] == "${datasource}"


def test_every_panel_asks_the_chosen_source_about_the_chosen_release(dashboard: Dashboard) -> None:
    """The linter's rules for panels and targets: no data source of its own, and the variables in every selector."""
    for panel in _panels(dashboard):
        assert {panel["datasource"]["uid"], *(each["datasource"]["uid"] for each in panel["targets"])} == {"${datasource}"}
    wanted = ["namespace", "release", *(["instance"] if dashboard.has_instance else [])]
    for query in _queries(dashboard):
        selectors = re.findall(r"(?:holdfast|process|python)[_:][\w:]+(?:\{([^}]*)\})?", query)
        assert selectors, query
        for selector in selectors:
            assert all(f'{name}=~"${name}"' in selector for name in wanted), query


def test_counters_are_read_as_rates_over_the_interval_of_the_panel(dashboard: Dashboard) -> None:
    """The linter's rules for counters: `rate` or `increase`, over `$__rate_interval`, so that no zoom shows nothing."""
    marks = [each["expr"] for each in dashboard.annotations if "expr" in each]
    for query in _queries(dashboard):
        for window in re.findall(r"\[([^\]]+)\]", query):
            assert window in (("2m",) if query in marks else ("$__rate_interval", "$__range")), query
        for before, _ in re.findall(r"(.{0,9})((?:holdfast|python|process)_\w+_(?:total|count|bucket|sum)\b)", query):
            assert before.endswith(("rate(", "increase(")), query


def test_panels_of_faults_show_zero_while_there_are_none(dashboard: Dashboard) -> None:
    """ "No data" on a calm night does not tell whether nothing fails or nothing is measured."""
    for panel in dashboard.panels():
        if all(query.endswith("> 0") for query, _ in panel.queries):
            assert panel.title in EVER_GOING_ON | EMPTY_WITHOUT_CAUSE, panel.title


def test_annotations_look_back_two_minutes() -> None:
    """Grafana asks for annotations once a minute, whatever the range: a drain of ten seconds between two would not be shown."""
    starts, drains = (each["expr"] for each in DASHBOARDS[0].annotations if "expr" in each)
    assert "process_start_time_seconds" in starts
    assert "< 120)" in starts
    assert "[2m]" in drains


def test_an_axis_without_values_is_no_higher_than_what_is_bad(dashboard: Dashboard) -> None:
    """Grafana's axis of a line at 0 goes to 100: that is 10,000 % of a share, and a threshold of 0.1 lies on the line itself."""
    for panel in _panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        steps = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
        if panel["type"] == "timeseries" and "max" not in defaults and (steps or defaults["unit"] not in ("none", "s", "bytes")):
            roof = defaults["custom"].get("axisSoftMax")
            assert roof is not None, panel["title"]
            assert not steps or roof <= steps[0], panel["title"]


def test_what_stands_for_a_state_has_the_same_colour_on_every_panel(dashboard: Dashboard) -> None:
    """Without a colour of its own `degraded` was green and `healthy` yellow: Grafana gives colours by the alphabet."""
    wanted = dict(STATES)
    for panel in _panels(dashboard):
        if any(each["legendFormat"] == "{{state}}" for each in panel["targets"]):
            colors = {
                each["matcher"]["options"]: each["properties"][0]["value"]["fixedColor"]
                for each in panel["fieldConfig"]["overrides"]
            }
            assert colors == wanted, panel["title"]


def test_dashboards_are_not_edited_in_grafana(dashboard: Dashboard) -> None:
    """Changes there are lost at the next upgrade."""
    made = dashboard.as_json()
    assert made["editable"] is False
    assert made["uid"] == f"holdfast-{dashboard.name}"
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(numbers) == len(set(numbers))


def test_panels_do_not_overlap(dashboard: Dashboard) -> None:
    """Grafana would move them anywhere."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.as_json()["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_runbooks_and_dashboards_link_to_what_exists() -> None:
    """A panel leads to a section, an alert to a dashboard."""
    known = {f"{page}#{heading.lower()}" for page, heading, _ in sections()} | {"README.md#severities"}
    for dashboard in DASHBOARDS:
        assert {panel.runbook for panel in dashboard.panels() if panel.runbook} <= known
    addresses = {rule["annotations"]["dashboard_url"].partition("/d/")[2].partition("?")[0] for rule in alerts()}
    assert addresses <= {f"holdfast-{each.name}" for each in DASHBOARDS}


def test_queries_name_only_metrics_and_labels_that_the_product_has(dashboard: Dashboard) -> None:
    """A misspelt name is an empty panel."""
    known = registered()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for query in _queries(dashboard):
        assert metrics_in(query) <= known.keys(), query
        assert set(re.findall(r"holdfast:[\w:]+", query)) <= recorded, query
        for metric, selector in re.findall(r"(?<![\w:])(holdfast_\w+)\{([^}]*)\}", query):
            assert known[metric].misfit(selector) is None, f"{query}: {known[metric].misfit(selector)}"
