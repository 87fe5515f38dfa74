"""Six questions of a person on call, and the panels that answer each, with their seconds in the JUnit report (`--junitxml`)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from holdfast.drills.local.proxy import Proxy
from support.first_panel import FirstPanels
from support.fixtures_cluster import firestore_environ
from support.instances import Instances
from support.ordinary_load import OrdinaryLoad, repeatedly
from support.redis_server import RedisServer
from support.throttled import throttled
from support.watching import watching

pytestmark = [pytest.mark.observability_long, pytest.mark.timeout(500)]

CALM_SECONDS = 45.0  # three scrapes, after those that the first rates need
FAULT_SECONDS = 90.0


class Scene:
    """Three instances under ordinary load; the third has ways of its own to Redis and to the store."""

    def __init__(
        self, cluster: Instances, redis: RedisServer, to_redis: Proxy, to_store: Proxy | None, load: OrdinaryLoad
    ) -> None:
        self.instances = cluster.all
        self.redis = redis
        self.to_redis = to_redis
        self.to_store = to_store
        self.load = load


@contextlib.asynccontextmanager
async def messages_not_arriving(scene: Scene) -> AsyncIterator[None]:
    """Envelopes do not reach one instance."""
    scene.to_redis.deafen()
    yield


@contextlib.asynccontextmanager
async def reconnect_storm(scene: Scene) -> AsyncIterator[None]:
    """The connections of all users break, again and again."""
    dropping = asyncio.create_task(repeatedly(0.2, scene.load.drop))
    yield
    dropping.cancel()
    await asyncio.gather(dropping, return_exceptions=True)


@contextlib.asynccontextmanager
async def redis_lost(scene: Scene) -> AsyncIterator[None]:
    """Redis is killed."""
    scene.redis.kill()
    yield


@contextlib.asynccontextmanager
async def firestore_slow(scene: Scene) -> AsyncIterator[None]:
    """Each call takes 1.2 s."""
    assert scene.to_store is not None
    scene.to_store.delay_seconds = 0.6
    yield
    scene.to_store.delay_seconds = 0.0


@contextlib.asynccontextmanager
async def one_bad_pod(scene: Scene) -> AsyncIterator[None]:
    """One instance gets the CPU for less than half of the time."""
    async with throttled(scene.instances[2]):
        yield


@contextlib.asynccontextmanager
async def rollout_going_wrong(scene: Scene) -> AsyncIterator[None]:
    """The first instance of a rollout has a wrong address of Redis: it does not become ready."""
    new = scene.instances[2]
    await asyncio.to_thread(new.stop)
    new.environ |= {"HOLDFAST_REDIS__URL": "redis://127.0.0.1:1/0"}
    new.launch()
    yield


Fault = Callable[[Scene], contextlib.AbstractAsyncContextManager[None]]
QUESTIONS: tuple[tuple[Fault, tuple[str, ...]], ...] = (
    (
        messages_not_arriving,
        (
            "Overview: Deliveries by path",
            "Overview: Age of the oldest gap",
            "Overview: Instances by state",
            "Dependencies: Instances with a live bus",
        ),
    ),
    (reconnect_storm, ("Overview: Connects and closes", "Overview: Closes by code", "Overview: Where reconnects read from")),
    (
        redis_lost,
        (
            "Overview: Instances by state",
            "Overview: Deliveries by path",
            "Dependencies: Instances that reach it",
            "Dependencies: Failed calls",
        ),
    ),
    (
        firestore_slow,
        (
            "Overview: Acknowledgement latency",
            "Overview: Messages accepted",
            "Dependencies: Latency of the store",
            "Dependencies: Failed calls",
        ),
    ),
    (one_bad_pod, ("Overview: Lateness of event loops", "Instance: Lateness of the event loop", "Overview: Instances by state")),
    (
        rollout_going_wrong,
        ("Overview: Instances by state", "Overview: Connections by instance", "Dependencies: Instances that reach it"),
    ),
)


@pytest.fixture
def environ(request: pytest.FixtureRequest, fault: Fault, tmp_path: Path) -> dict[str, str]:
    """The variables that name a fresh store: the emulator's, where the store is what is slow."""
    if fault is firestore_slow:
        return firestore_environ(request)
    return {"HOLDFAST_STORE__URL": f"sqlite:///{tmp_path}/holdfast.db"}


@pytest.mark.parametrize(("fault", "panels"), QUESTIONS, ids=[fault.__name__ for fault, _ in QUESTIONS])
async def test_panel_shows_the_fault(
    fault: Fault,
    panels: Sequence[str],
    redis7: RedisServer,
    environ: dict[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """A dashboard that stays green while users suffer sends the person on call elsewhere. Scraped every 15 s, as by the chart."""
    async with contextlib.AsyncExitStack() as ways:
        to_redis = await ways.enter_async_context(Proxy(redis7.port, marker=b"SUBSCRIBE"))
        to_store = None
        if fault is firestore_slow:
            to_store = await ways.enter_async_context(Proxy(int(environ["FIRESTORE_EMULATOR_HOST"].rpartition(":")[2])))
            environ["FIRESTORE_EMULATOR_HOST"] = to_store.address
        cluster = Instances(tmp_path, redis7.url, environ["HOLDFAST_STORE__URL"], **environ)
        ways.callback(cluster.close)
        await cluster.start("instance-1")
        await cluster.start("instance-2")
        await cluster.start("instance-3", HOLDFAST_REDIS__URL=f"redis://{to_redis.address}/0")
        load = OrdinaryLoad(cluster.all, 12, pause_seconds=1.0)
        async with watching(tmp_path, cluster.all, is_quick=False) as prometheus, load.going_on():
            watched = FirstPanels(prometheus, panels)
            await asyncio.sleep(60)  # until the rates of the panels are full
            await watched.calm(CALM_SECONDS)
            found: list[tuple[str, float]] = []
            began = time.monotonic()
            async with fault(Scene(cluster, redis7, to_redis, to_store, load)):
                await watched.watch(FAULT_SECONDS, began, lambda name, seconds: found.append((name, round(seconds, 1))))
            request.node.user_properties += found
            assert found, "no panel shows it"
