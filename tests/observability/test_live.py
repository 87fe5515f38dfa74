"""A real Prometheus scrapes two live instances: every query is answered, and no alert fires."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.chatting import Chatter, new_conversation
from support.dashboards.files import DASHBOARDS
from support.dashboards.panels import Panel
from support.eventually import eventually
from support.instances import Instances
from support.prometheus import Prometheus, address_of
from support.prometheus_rules import evaluated_each_second, metrics_in, rules

SILENT = ("holdfast_controller_", "holdfast_probe_", "holdfast_drain_connections", "holdfast_memory_limit_bytes")
"""Missing in this test: no controller and no probe runs, no instance drains, and there may be no limit of memory."""


@pytest.fixture
async def prometheus(sqlite_instances: Instances, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """It scrapes two instances, and has done so twice."""
    pair = await sqlite_instances.start("instance-1", "instance-2")
    (tmp_path / "prometheus").mkdir()
    server = Prometheus(tmp_path / "prometheus", {each.name: address_of(each) for each in pair}, evaluated_each_second)
    try:
        await server.start()
        await eventually(
            lambda: server.query("min(count_over_time(holdfast_bus_up[1m])) >= 2 and count(holdfast_bus_up) == 2"), 60
        )
        yield server
    finally:
        server.close()


async def _chat(sqlite_instances: Instances, prometheus: Prometheus) -> None:
    """Messages across both instances, a reconnect, a call of REST, until Prometheus has seen some seconds of it."""
    one, other = sqlite_instances.all
    conversation = await new_conversation(one, "anna", "bert")
    async with Chatter(one, "anna") as anna, Chatter(other, "bert") as bert:
        for number in range(40):
            assert (await anna.say(conversation, f"message {number}"))["type"] == "ack"
            await bert.receive("message", body=f"message {number}")
            await asyncio.sleep(0.1)  # the pace of the load: rates need messages in more than one scrape
        await bert.close()
        await bert.connect(cursors={conversation: 10})
        await eventually(lambda: _has_seen_chatting(prometheus), within=60)


async def _has_seen_chatting(prometheus: Prometheus) -> bool:
    """The last of what is waited for: the windows of service levels, which are made of two other rules."""
    return bool(await prometheus.query('holdfast:slo_error_ratio:5m{slo="delivery"} >= 0'))


def _may_be_empty(panel: Panel, query: str) -> bool:
    """A panel that shows faults is empty while there are none."""
    return query.endswith("> 0") or any(name in query for name in SILENT) or 'slo="probe"' in query


@pytest.mark.timeout(300)
async def test_every_query_of_dashboards_and_rules_is_answered(sqlite_instances: Instances, prometheus: Prometheus) -> None:
    """A panel that says "No data" in a good hour is of no use in a bad one."""
    await _chat(sqlite_instances, prometheus)
    empty = []
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels():
            for query, _ in panel.queries:
                if not await prometheus.query(query) and not _may_be_empty(panel, query):
                    empty.append(f"{dashboard.title} / {panel.title}: {query}")
        for annotation in dashboard.annotations:
            if "expr" in annotation:
                await prometheus.query(annotation["expr"])
    for rule in rules():
        found = await prometheus.query(rule["expr"])
        if "record" in rule and not found and not any(name in rule["expr"] for name in SILENT):
            empty.append(f"{rule['record']} {rule.get('labels')}: {rule['expr']}")
        names = [name for name in metrics_in(rule["expr"]) if not name.startswith(SILENT)]
        empty += [f"{rule}: {name}" for name in names if not await prometheus.query(name)]
    assert empty == []
    assert await prometheus.firing() == {}
