"""The bus behind a network that fails in one direction, in part, or late: what kill and SIGSTOP cannot show."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from holdfast.errors import RedisBusy, RedisUnavailable
from holdfast.launcher.ports import free_port
from support.eventually import eventually
from support.fixtures_redis import NewNode
from support.redis_server import EMBEDDED, SYSTEM, RedisServer

# Not the simulated one: what is judged here is the time that the bus takes, and that one shares its processor with the test.
pytestmark = pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)

CHANNEL = "conversation:c1"


class Valve:
    """A TCP forwarder whose way back to the client can be shut for subscribers, or slowed for all. Closed by its fixture."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.is_deaf = False
        self.delay_seconds = 0.0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        redis, to_redis = await asyncio.open_connection("127.0.0.1", self._target)
        has_subscribed = asyncio.Event()
        for pump in (self._up(client, to_redis, has_subscribed), self._down(redis, to_client, has_subscribed)):
            task = asyncio.ensure_future(pump)
            self._tasks.add(task)

    async def _up(self, client: asyncio.StreamReader, to_redis: asyncio.StreamWriter, has_subscribed: asyncio.Event) -> None:
        with contextlib.closing(to_redis), contextlib.suppress(OSError):
            while data := await client.read(65536):
                if b"SUBSCRIBE" in data:
                    has_subscribed.set()
                to_redis.write(data)

    async def _down(self, redis: asyncio.StreamReader, to_client: asyncio.StreamWriter, has_subscribed: asyncio.Event) -> None:
        with contextlib.closing(to_client), contextlib.suppress(OSError):
            while data := await redis.read(65536):
                await asyncio.sleep(self.delay_seconds)
                if not (self.is_deaf and has_subscribed.is_set()):
                    to_client.write(data)


@pytest.fixture
async def valve(redis_server: RedisServer) -> AsyncIterator[Valve]:
    """Between the instance and its Redis."""
    valve = Valve(redis_server.port)
    await valve.start()
    yield valve
    await valve.close()


async def test_a_half_open_subscription_is_found_though_publishing_works(new_node: NewNode, valve: Valve) -> None:
    """Every command succeeds and nothing is heard: only the missing echo tells. A new connection heals it."""
    one = await new_node("one", url=f"redis://127.0.0.1:{valve.port}/0").start()
    assert await one.bus.subscribe([CHANNEL])
    await eventually(lambda: one.bus.is_live and one.ears.subscribed == 1)
    valve.is_deaf = True
    await eventually(lambda: one.ears.liveness[-1] == (False, "not a byte for 1.5 s"), within=4.0)
    await one.mark("c1|one|0000|1")
    await eventually(lambda: one.bus.counters.deaf == 1, within=4.0)
    valve.is_deaf = False
    await eventually(lambda: one.bus.is_live and one.ears.subscribed == 2, within=8.0)
    one.bus.publish(CHANNEL, b"{}")
    await eventually(lambda: (CHANNEL, b"{}") in one.ears.envelopes)


async def test_traffic_counts_as_life_when_echoes_are_late(new_node: NewNode, valve: Valve) -> None:
    """A connection that brings anything at all is not dropped: a storm of reconnections would make slow Redis worse."""
    one = await new_node("one", url=f"redis://127.0.0.1:{valve.port}/0", timeout_seconds=3.0).start()
    await eventually(lambda: one.bus.is_live)
    sent = one.bus.pipeline.counters.sent
    valve.delay_seconds = 1.0
    await eventually(lambda: one.bus.pipeline.counters.sent >= sent + 8)
    assert one.bus.counters.connections == 1
    assert one.bus.counters.deaf == 0


async def test_subscribing_without_a_pause_is_no_loss(new_node: NewNode, valve: Valve) -> None:
    """Where clients connect every moment some channel is always unconfirmed, though each is confirmed soon enough."""
    one = await new_node("one", url=f"redis://127.0.0.1:{valve.port}/0").start()
    await eventually(lambda: one.bus.is_live)
    valve.delay_seconds = 0.2
    wanted = [f"user:u{number}" for number in range(400)]
    subscribing = []
    for name in wanted:
        subscribing.append(asyncio.create_task(one.bus.subscribe([name])))
        await asyncio.sleep(0.01)
    assert all(await asyncio.gather(*subscribing))
    assert all(one.bus.subscription(name) for name in wanted)
    assert (one.ears.liveness, one.bus.counters.connections) == ([(True, "")], 1)


async def test_calls_that_wait_for_a_connection_are_no_failure_of_redis(redis_server: RedisServer, new_node: NewNode) -> None:
    """All connections of the pool are in use: that is our own doing, and must not open the circuit for everybody."""
    one = await new_node("one", pool_connections=1, timeout_seconds=0.5).start()
    await eventually(lambda: one.bus.is_live)
    calls = [one.link.call("BLPOP", "nothing", "0.4") for _ in range(4)]  # one after the other; the last would wait for 1.2 s
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[0] is None
    assert [(type(each), str(each)) for each in answers[2:]] == [(RedisBusy, "too many calls to Redis are under way")] * 2
    assert one.watch.failures == []
    assert await one.link.call("PING")


async def test_a_redis_slower_than_the_timeout_opens_the_circuit(new_node: NewNode, valve: Valve) -> None:
    """Callers are answered at once instead of each waiting for its own timeout; when it is fast again, so are we."""
    one = await new_node("one", url=f"redis://127.0.0.1:{valve.port}/0", timeout_seconds=0.2).start()
    await eventually(lambda: one.bus.is_live)
    valve.delay_seconds = 0.5
    await eventually(lambda: not one.bus.is_live, within=4.0)
    assert any(is_timeout for _, is_timeout in one.watch.failures)
    assert await one.marks.mark_dirty("c1|one|0000|1") is False
    valve.delay_seconds = 0.0
    await eventually(lambda: one.bus.is_live, within=8.0)
    await one.mark("c1|one|0000|2")


async def test_idle_connections_go_after_a_failure(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """It may have been a failover: an instance still connected to the old primary would trust it when it wakes."""
    one = await new_node("one").start()
    await asyncio.gather(*(one.link.call("PING") for _ in range(8)))

    async def idle() -> set[str]:
        return {each["id"] for each in await redis_admin.client_list() if each["name"] == "holdfast:one"}

    before = await idle()
    assert len(before) > 1
    redis_server.freeze()
    with pytest.raises(RedisUnavailable):
        await one.link.call("PING")
    redis_server.thaw()

    async def has_recovered() -> bool:
        with contextlib.suppress(RedisUnavailable):
            return bool(await one.link.call("PING"))
        return False

    await eventually(has_recovered)
    assert not before & await idle()
