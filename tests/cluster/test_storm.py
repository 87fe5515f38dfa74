"""Thousands of clients come back at once: that is no failure of Redis, and no instance says so."""

from typing import Any

import httpx
import pytest

from holdfast.drills.local.open_files import make_room_for
from holdfast.drills.storm import Storm
from support.instances import Instances, Serving, token

CLIENTS = 3_000
STORMS = 3
LINES = 10  # of each log, in about ten seconds


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_built", [True, False], ids=["as built", "without it"])
async def test_three_thousand_clients_that_come_back_at_once_do_not_make_redis_lost(
    sqlite_instances: Instances, *, is_built: bool
) -> None:
    """Never lost, no lease lost, no log storm, every message shown once; with deadlines in haste it breaks."""
    if problem := make_room_for(CLIENTS):
        pytest.skip(problem)
    instances = await sqlite_instances.start("one", "two", **({} if is_built else {"ALTERED": "hasty"}))
    async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http:

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
    lost = sum(each.log().count("the bus is lost") for each in instances)
    are_kept = [then[0] == now[0] for then, now in zip(before, after, strict=True)]
    are_quiet = [now[1] - then[1] <= LINES for then, now in zip(before, after, strict=True)]
    print(f"lost {lost}, leases kept {are_kept}, lines {[now[1] - then[1] for then, now in zip(before, after, strict=True)]}")
    assert ((lost, all(are_kept), all(are_quiet)) == (0, True, True)) == is_built


async def _epoch(http: httpx.AsyncClient, instance: Serving) -> str:
    return str((await http.get(f"{instance.url}/api/health", timeout=30)).json()["epoch"])
