"""Fixtures around Redis servers; tests that take `redis_server` run on Redis 7, on the embedded 6.2 and on the simulated one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.redis.address import resolve
from holdfast.adapters.redis.bus import RedisBus
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.marks import RedisMarks
from holdfast.adapters.redis.recent import RedisRecentMessages
from holdfast.adapters.redis.registry import RedisRegistry
from holdfast.adapters.redis.rosters import RedisRosters
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.loops import Loops
from holdfast.node.identity import own_epoch
from holdfast.protocol.seals import Seals
from holdfast.settings import RedisSettings
from holdfast.telemetry import Telemetry
from support.eventually import eventually
from support.fixtures_store import RecordingWatch
from support.redis_server import EMBEDDED, SIMULATED, SYSTEM, RedisServer, require_binary
from support.simulated_redis import SimulatedRedis

TIMEOUT_SECONDS = 5.0  # a busy machine is no failure; tests of deadlines pass their own


@dataclass
class Ears:
    """What a bus told its owner."""

    envelopes: list[tuple[str, bytes]] = field(default_factory=list)
    subscribed: int = 0
    liveness: list[tuple[bool, str]] = field(default_factory=list)

    def on_envelope(self, channel: str, payload: bytes) -> None:
        self.envelopes.append((channel, payload))

    def on_subscribed(self) -> None:
        self.subscribed += 1

    def on_liveness(self, is_live: bool, reason: str) -> None:
        self.liveness.append((is_live, reason))


@dataclass
class RedisNode:
    """One instance's side of Redis."""

    instance_id: InstanceId
    link: RedisLink
    bus: RedisBus
    marks: RedisMarks
    recent_messages: RedisRecentMessages
    registry: RedisRegistry
    rosters: RedisRosters
    ears: Ears
    watch: RecordingWatch
    telemetry: Telemetry = field(default_factory=lambda: Telemetry("test"))
    epoch: Epoch = field(default_factory=lambda: own_epoch(SystemClock()))

    async def acquire(self, state: str = "healthy") -> Epoch:
        """Take the lease as the run that this is, under the same epoch each time."""
        await self.registry.acquire(self.epoch, state)
        return self.epoch

    def loops(self) -> Loops:
        """Runs the loops of the bus."""
        return Loops(asyncio.get_running_loop().time, self.telemetry)

    async def start(self) -> "RedisNode":
        await self.bus.start(self.loops(), self.ears.on_envelope, self.ears.on_subscribed, self.ears.on_liveness)
        return self

    async def mark(self, *entries: str) -> None:
        """As `mark_dirty`, until Redis has taken it: on a busy machine that may be later than a commit would wait."""
        await eventually(partial(self.marks.mark_dirty, *entries))

    async def close(self) -> None:
        await self.bus.close()
        await self.link.close()


NewNode = Callable[..., RedisNode]


def node_of(name: str, url: str, seals: Seals | None = None, **settings: object) -> RedisNode:
    """An instance's side of the Redis at this address, not started; closed by its maker."""
    instance_id, watch = InstanceId(name), RecordingWatch()
    redis = RedisSettings.model_validate({"url": url, "timeout_seconds": TIMEOUT_SECONDS} | settings)
    link = RedisLink(resolve(redis), redis, instance_id, SystemClock(), watch, has_registry=True)
    bus, registry = RedisBus(link, instance_id, seals), RedisRegistry(link, instance_id, seals)
    marks, recent = RedisMarks(link, bus.pipeline), RedisRecentMessages(link, bus.pipeline, bus.counters, seals)
    rosters = RedisRosters(link, bus.pipeline, bus.counters, seals)
    return RedisNode(instance_id, link, bus, marks, recent, registry, rosters, Ears(), watch)


@pytest.fixture(params=[SYSTEM, EMBEDDED, SIMULATED])
def redis_down(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis that has not been started yet."""
    server = SimulatedRedis() if request.param == SIMULATED else RedisServer(require_binary(request.param))
    yield server
    server.close()


@pytest.fixture
async def redis_server(redis_down: RedisServer) -> RedisServer:
    """A fresh Redis."""
    await redis_down.start()
    return redis_down


@pytest.fixture
async def redis_admin(redis_down: RedisServer) -> AsyncIterator["Redis"]:
    """What an operator with `redis-cli` sees."""
    client = Redis(port=redis_down.port, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 3))
    yield client
    await client.aclose()


@pytest.fixture
async def new_node(redis_down: RedisServer) -> AsyncIterator[NewNode]:
    """Makes instances, not started; closes them."""
    nodes: list[RedisNode] = []

    def make(name: str = "one", url: str | None = None, seals: Seals | None = None, **settings: object) -> RedisNode:
        node = node_of(name, url or redis_down.url, seals, **settings)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        await node.close()
