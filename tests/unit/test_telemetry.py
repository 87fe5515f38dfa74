"""The metrics and their names: all of them from the start, and no series that clients could multiply."""

import inspect
from collections import Counter
from typing import Any

import pytest
from prometheus_client import generate_latest

from holdfast.node.health.evaluator import STATES
from holdfast.ports import Store
from holdfast.protocol.codes import CODES, CloseCode
from holdfast.telemetry import Telemetry, labels
from support.metrics_page import PAGE, page
from support.node_scene import NodeScene
from support.virtual_time import in_virtual_time, passed


def series(telemetry: Telemetry) -> Counter[str]:
    """How many series each metric has."""
    return Counter(sample.name for family in telemetry.registry.collect() for sample in family.samples)


def test_page_of_metrics_is_what_is_exposed() -> None:
    """Dashboards and alerts are built from this page: `make metrics` writes it again."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_no_two_metrics_have_one_name_and_all_say_what_they_are() -> None:
    """Prometheus shows the text beside the name."""
    families = list(Telemetry("0").registry.collect())
    assert len({family.name for family in families}) == len(families)
    assert all(len(family.documentation) > 5 for family in families)


def test_nothing_says_when_a_series_was_made() -> None:
    """That would double the number of series."""
    assert b"_created" not in generate_latest(Telemetry("0").registry)


def test_process_and_its_collector_of_garbage_are_measured() -> None:
    """The first questions about one bad pod."""
    names = series(Telemetry("0"))
    for name in ("process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds", "python_gc_collections_total"):
        assert names[name]


def test_each_frame_and_code_of_the_protocol_is_counted_from_the_start() -> None:
    """A counter's first event is an increase only where the series exists: a new frame or code has one without further work."""
    value = Telemetry("0").registry.get_sample_value
    for tag in ("hello", "send", "read", "typing", "refresh", "ping"):
        assert value("holdfast_frames_received_total", {"type": tag}) == 0
    for code in CODES:
        assert value("holdfast_commands_refused_total", {"code": code}) == 0
        assert value("holdfast_handshake_failures_total", {"reason": code}) == 0
    families = {family.name: family.samples for family in Telemetry("0").registry.collect()}
    assert {sample.labels["code"] for sample in families["holdfast_connections_closed"]} == {
        *(str(int(code)) for code in CloseCode),
        "1001",
        "1006",
        "other",
    }


def test_labels_are_what_the_layers_above_say() -> None:
    """They own the names: a new state or call has its series from the start, too."""
    assert labels.STATES == STATES
    calls = {name for name, _ in inspect.getmembers(Store, inspect.iscoroutinefunction)}
    assert set(labels.STORE_OPERATIONS) == calls - {"open", "close"}


@in_virtual_time
async def test_each_condition_has_one_reason_and_no_series_is_made_while_an_instance_runs() -> None:
    """A panel without data and a counter's first event that is no increase are both found too late."""
    scene = NodeScene()
    before = series(scene.telemetry)
    await scene.start()
    await passed(20.0)
    assert series(scene.telemetry) == before
    told = {kind: set(reasons) for kind, reasons in labels.REASONS.items()}
    assert {
        kind: condition.reason.partition(":")[0] in told[kind] for kind, condition in scene.node.health.conditions.items()
    } == (dict.fromkeys(told, True))
    value = scene.telemetry.registry.get_sample_value
    for kind, condition in scene.node.health.conditions.items():
        shown = {reason for reason in told[kind] if value("holdfast_condition", {"type": kind, "reason": reason})}
        assert shown == {condition.reason}
    await scene.close()


def test_lag_of_the_loop_is_shown_as_it_is_and_kept_as_it_was() -> None:
    """Between two scrapes are hundreds of ticks: the last one alone does not show a stall."""
    telemetry = Telemetry("0")
    for seconds in (0.4, 0.0, -0.001):
        telemetry.note_lag(seconds)
    value = telemetry.registry.get_sample_value
    assert value("holdfast_loop_delay_seconds_count") == 3
    assert value("holdfast_loop_delay_seconds_bucket", {"le": "0.25"}) == 2
    assert value("holdfast_loop_lag_seconds") == -0.001


@pytest.mark.parametrize("counts", [{}, {"received": 3, "deaf": 2, "something_new": 9}])
def test_what_the_bus_does_is_kept_apart_from_what_goes_wrong(counts: dict[str, int]) -> None:
    """One sum of both would be an alert on traffic. Before the bus is there, all of it is 0."""
    telemetry = Telemetry("0")
    telemetry.bus_counts = lambda: counts
    value: Any = telemetry.registry.get_sample_value
    assert value("holdfast_bus_events_total", {"event": "received"}) == counts.get("received", 0)
    assert value("holdfast_bus_failures_total", {"event": "deaf"}) == counts.get("deaf", 0)
    assert value("holdfast_bus_events_total", {"event": "something_new"}) is None
