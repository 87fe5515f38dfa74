"""Starts without Redis, between real processes: a wrong address concerns one instance, an outage concerns all."""

import httpx

from holdfast.drills.local.proxy import Proxy
from holdfast.launcher.ports import free_port
from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import RedisServer

STARTED_WITHIN = 30.0  # ten seconds are waited for Redis; the rest is for a busy machine


async def _conditions(instance: Serving) -> dict[str, dict[str, str]]:
    try:
        async with httpx.AsyncClient(verify=False) as client:
            body = (await client.get(f"{instance.internal_url}/api/health", timeout=5)).json()
    except httpx.HTTPError:
        return {}
    return {"status": {"state": body["status"]}} | {each["type"]: each for each in body["conditions"]}


async def _readiness(instance: Serving) -> tuple[int, str]:
    async with httpx.AsyncClient(verify=False) as client:
        answer = await client.get(f"{instance.internal_url}/readyz", timeout=5)
    return answer.status_code, answer.text


async def test_instance_with_wrong_redis_address_is_not_ready_while_others_see_redis(
    sqlite_instances: Instances, redis7: RedisServer
) -> None:
    """A rollout stops at this instance instead of replacing all; it becomes ready when Redis is away for all."""
    await sqlite_instances.start("one", "two")
    wrong = sqlite_instances.environ | {"HOLDFAST_REDIS__URL": f"redis://127.0.0.1:{free_port()}/0"}
    cut = Serving("cut", wrong, sqlite_instances.directory)
    sqlite_instances.all.append(cut)
    cut.launch()

    async def is_isolated() -> bool:
        conditions = await _conditions(cut)
        is_degraded = conditions.get("status", {}).get("state") == "degraded"
        return is_degraded and conditions["Isolated"]["status"] == "True"

    async def is_ready() -> bool:
        return (await _readiness(cut))[0] == 200

    await eventually(is_isolated, STARTED_WITHIN)
    said = "2 of 2 other instances see Redis, this one has not reached it since its start"
    assert (await _conditions(cut))["Isolated"]["message"] == said
    assert await _readiness(cut) == (503, f"degraded\n{said}\n")
    redis7.kill()
    await eventually(is_ready, STARTED_WITHIN)
    assert (await _conditions(cut))["Isolated"]["status"] == "False"


async def test_new_instance_is_ready_when_redis_is_away_for_all(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """A fleet without Redis must be able to grow, and to replace a pod."""
    one, two = await sqlite_instances.start("one", "two")
    redis7.kill()
    (three,) = await sqlite_instances.start("three")
    for instance in (one, two, three):
        assert (await _readiness(instance))[0] == 200


async def test_instance_becomes_ready_when_it_reaches_redis_late(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """A network policy that is mended needs no restart."""
    await sqlite_instances.start("one")
    way = Proxy(redis7.port)
    environ = sqlite_instances.environ | {"HOLDFAST_REDIS__URL": f"redis://{way.address}/0"}
    late = Serving("late", environ, sqlite_instances.directory)
    sqlite_instances.all.append(late)
    late.launch()

    async def is_isolated() -> bool:
        return (await _conditions(late)).get("Isolated", {}).get("status") == "True"

    async def is_ready() -> bool:
        return (await _readiness(late))[0] == 200

    await eventually(is_isolated, STARTED_WITHIN)
    async with way:
        await eventually(is_ready, STARTED_WITHIN)
