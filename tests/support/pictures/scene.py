"""A calm time, an outage of Redis and a rollout on a real cluster, scraped by a real Prometheus that keeps what it saw."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx

from holdfast.drills.crowd import Crowd, Size
from holdfast.drills.history import Header, History
from support.instances import Instances, Serving, token
from support.probing import Probe
from support.prometheus import Prometheus, address_of
from support.redis_server import SYSTEM, RedisServer, require_binary

_NAMES = ("instance-1", "instance-2", "instance-3")
_USERS, _MESSAGES_PER_SECOND = 24, 6.0
_WARM_UP_SECONDS, _OUTAGE_SECONDS, _RECOVERY_SECONDS, _ROLLOUT_SECONDS = 45, 60, 75, 45
_VISIT_SECONDS = 5.0
_SCRAPE_SECONDS = 2

Ranges = dict[str, tuple[float, float]]


async def play(directory: Path, calm_seconds: float) -> Ranges:
    """Play it into `directory`; returns for each part from when to when, in Unix time. `ranges.json` there says the same."""
    redis = RedisServer(require_binary(SYSTEM))
    await redis.start()
    instances = Instances(directory, redis.url, f"sqlite:///{directory}/store.db", HOLDFAST_DRAIN__WINDOW_SECONDS="10")
    try:
        serving = await instances.start(*_NAMES)
        async with _traffic(directory, serving) as targets:
            prometheus = Prometheus(directory, targets, scrape_seconds=_SCRAPE_SECONDS)
            try:
                await prometheus.start()
                ranges = await _acts(redis, serving, calm_seconds)
            finally:
                prometheus.close()
    finally:
        instances.close()
        redis.kill()
    (directory / "ranges.json").write_text(json.dumps(ranges), encoding="utf-8")
    return ranges


async def _acts(redis: RedisServer, serving: Sequence[Serving], calm_seconds: float) -> Ranges:
    ranges: Ranges = {}
    await asyncio.sleep(_WARM_UP_SECONDS)
    began = time.time()
    await asyncio.sleep(calm_seconds)
    ranges["calm"] = (began, time.time())
    before = time.time() - _OUTAGE_SECONDS
    redis.kill()
    await asyncio.sleep(_OUTAGE_SECONDS)
    ranges["outage"] = (before, time.time())
    await redis.start()
    await asyncio.sleep(_RECOVERY_SECONDS)
    ended = time.time()
    ranges["recovery"] = (before, ended)
    await asyncio.to_thread(serving[0].stop, 60)
    await serving[0].start()
    await asyncio.sleep(_ROLLOUT_SECONDS)
    ranges["rollout"] = (ended - 30, time.time())
    return ranges


@contextlib.asynccontextmanager
async def _traffic(directory: Path, serving: Sequence[Serving]) -> AsyncIterator[dict[str, str]]:
    """Users who talk, visitors who connect, read by REST and leave, and a probe; yields what is to be scraped."""
    urls = [each.url for each in serving]
    with History(directory / "history.jsonl", Header(name="pictures")) as history:
        crowd = Crowd(lambda: urls, token, history, Size(_USERS, _MESSAGES_PER_SECOND), seed=1)
        await crowd.start()
        visits = asyncio.create_task(_visits(crowd, urls))
        try:
            async with Probe(directory, urls) as probe:
                yield {each.name: address_of(each) for each in serving} | {"probe": f"127.0.0.1:{probe.port}"}
        finally:
            visits.cancel()
            await asyncio.gather(visits, return_exceptions=True)
            await crowd.stop()
            await crowd.close()


async def _visits(crowd: Crowd, urls: Sequence[str]) -> None:
    number = 0
    async with httpx.AsyncClient(verify=False, timeout=5) as client:
        while True:
            user, url = crowd.users[number % len(crowd.users)], urls[number % len(urls)]
            number += 1
            with contextlib.suppress(httpx.HTTPError):
                bearer = {"Authorization": f"Bearer {token(user)}"}
                await client.get(f"{url}/api/conversations", headers=bearer)
            async with crowd.guest(user):
                await asyncio.sleep(_VISIT_SECONDS)
