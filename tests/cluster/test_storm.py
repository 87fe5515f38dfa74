"""Thousands of clients come back at once: that is no failure of Redis, and no instance says so."""

from typing import Any

import httpx
import pytest

from holdfast.drills.storm import Storm
from holdfast.launcher.open_files import make_room_for
from support.instances import Instances, Serving, token

CLIENTS = 3_000
STORMS = 3
LINES = 10  # of each log, in about ten seconds


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_three_thousand_clients_that_come_back_at_once_do_not_make_redis_lost(sqlite_instances: Instances) -> None:
    """Never lost, no lease lost, no log storm, every message shown once."""
    if problem := make_room_for(CLIENTS):
        pytest.skip(problem)
    instances = await sqlite_instances.start("one", "two")
    async with httpx.AsyncClient(verify=False, limits=httpx.Limits(max_keepalive_connections=0)) as http:

        async def call(bearer: str, method: str, path: str, body: Any) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {bearer}"}
            answer = await http.request(method, instances[0].url + path, json=body, headers=headers, timeout=30)
            assert answer.is_success, answer.text
            return dict(answer.json())

        storm = Storm("storm", CLIENTS, lambda: [each.url for each in instances], token, call)
        try:
            await storm.gather()
            before = [(await _epoch(http, each), len(each.log().splitlines())) for each in instances]
            for _ in range(STORMS):
                storm.drop()
                await storm.say()
                await storm.come_back()
            missing = await storm.missing()
        finally:
            storm.close()
        after = [(await _epoch(http, each), len(each.log().splitlines())) for each in instances]
    assert (missing, storm.broken) == (0, 0)
    assert all("the bus is lost" not in each.log() for each in instances)
    for each, (epoch, lines), (epoch_now, lines_now) in zip(instances, before, after, strict=True):
        assert epoch_now == epoch
        assert lines_now - lines <= LINES, each.log()[-6000:]


async def _epoch(http: httpx.AsyncClient, instance: Serving) -> str:
    return str((await http.get(f"{instance.url}/api/health", timeout=30)).json()["epoch"])
