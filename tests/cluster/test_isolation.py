"""Readiness when Redis is lost, between real processes: one that is cut off leaves, its sockets stay; all together stay."""

import asyncio
from functools import partial

import httpx

from holdfast.drills.local.proxy import Proxy
from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import RedisServer

LEAVES_WITHIN = 45.0  # patience and pauses are 20 s at most; the rest is for a busy machine


async def is_ready(instance: Serving) -> bool:
    """As the kubelet asks."""
    async with httpx.AsyncClient(verify=False) as client:
        return (await client.get(f"{instance.internal_url}/readyz", timeout=5)).status_code == 200


async def has_left(instance: Serving) -> bool:
    """The other way round."""
    return not await is_ready(instance)


async def start(instances: Instances, redis_urls: dict[str, str], policy: str) -> list[Serving]:
    """Instances with this policy."""
    serving = [
        Serving(name, instances.environ | {"HOLDFAST_REDIS__URL": url}, instances.directory) for name, url in redis_urls.items()
    ]
    for each in serving:
        each.environ["HOLDFAST_READINESS__ON_REDIS_LOSS"] = policy
    instances.all += serving
    await asyncio.gather(*(each.start() for each in serving))
    return serving


async def test_one_that_is_cut_from_redis_leaves_the_service_and_keeps_its_sockets(
    sqlite_instances: Instances, redis7: RedisServer
) -> None:
    """Existing connections stay and are served slowly; new ones are better served elsewhere."""
    async with Proxy(redis7.port) as way:
        urls = {"one": redis7.url, "two": redis7.url, "cut": f"redis://{way.address}/0"}
        one, two, cut = await start(sqlite_instances, urls, "isolate")
        c = await new_conversation(one, "ann", "ben")
        async with Chatter(one, "ann") as ann, Chatter(cut, "ben") as ben:
            await way.refuse()
            await eventually(partial(has_left, cut), LEAVES_WITHIN)
            assert await is_ready(one)
            assert await is_ready(two)
            await ann.say(c, "are you there?")
            await ben.receive("message")
            await way.listen()
            await eventually(partial(is_ready, cut), 30)


async def test_all_of_them_stay_when_redis_itself_is_gone(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """They see each other without Redis, and stay: if all were unready, no client would be served at all."""
    one, two = await start(sqlite_instances, dict.fromkeys(("one", "two"), redis7.url), "isolate")
    redis7.close()
    with_patience = 25.0  # seconds in which each has decided at least once
    deadline = asyncio.get_running_loop().time() + with_patience

    async def is_over() -> bool:
        assert await is_ready(one)
        assert await is_ready(two)
        return asyncio.get_running_loop().time() > deadline

    await eventually(is_over, with_patience + 10)


async def test_unready_follows_redis(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """For operators who have another deployment to fall back on."""
    (one,) = await start(sqlite_instances, {"one": redis7.url}, "unready")
    redis7.close()
    await eventually(partial(has_left, one), 15)
