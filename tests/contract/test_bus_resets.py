"""Connections that the network resets while nothing is under way on them, on asyncio's loop and on that of an instance (uvloop).

A proxy that forgets idle connections, or a host that starts again, answers the next packet with a reset. It comes without an end
of the stream, and uvloop raises `RuntimeError` where something is written afterwards.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from holdfast.drills.local.proxy import Proxy
from holdfast.errors import RedisUnavailable
from support.eventually import eventually
from support.fixtures_redis import RedisNode, node_of
from support.redis_server import SYSTEM, RedisServer

pytestmark = [
    pytest.mark.parametrize("redis_down", [SYSTEM], indirect=True),
    pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]),
]

CHANNEL = "conversation:c1"
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@contextlib.asynccontextmanager
async def _behind_a_proxy(redis: RedisServer, name: str) -> AsyncIterator[tuple[RedisNode, Proxy]]:
    """An instance `one` whose bus is live. The proxy resets the connections that named themselves so."""
    await redis.start()
    async with Proxy(redis.port, marker=f"\r\n{name}\r\n".encode()) as proxy:
        one = await node_of("one", f"redis://{proxy.address}/0").start()
        try:
            assert await one.bus.subscribe([CHANNEL])
            await eventually(lambda: one.bus.is_live)
            yield one, proxy
        finally:
            await one.close()


def _play(
    new_loop: NewLoop, scenario: Callable[[RedisNode, Proxy], Awaitable[None]], redis: RedisServer, name: str = "none"
) -> None:
    async def run() -> None:
        async with _behind_a_proxy(redis, name) as (one, proxy):
            await scenario(one, proxy)
            for loop in ("bus_pipeline", "bus_listener", "bus_watch"):
                assert one.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": loop}) == 0, loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


def test_a_publishing_connection_that_was_reset_while_idle_costs_nothing(redis_down: RedisServer, new_loop: NewLoop) -> None:
    """It is replaced before the next envelope is written to it, as one is that Redis closed."""

    async def scenario(one: RedisNode, proxy: Proxy) -> None:
        wire = one.bus.pipeline._wire
        assert wire is not None
        await eventually(one.bus.pipeline._idle.is_set)
        assert proxy.reset() == 1
        await eventually(lambda: wire.has_ended, within=3.0)
        one.bus.publish(CHANNEL, b"{}")
        await eventually(lambda: one.ears.envelopes == [(CHANNEL, b"{}")])
        assert one.bus.pipeline.counters.dropped_away == 0
        assert one.ears.liveness == [(True, "")]

    _play(new_loop, scenario, redis_down, "holdfast:one:publish")


def test_subscribing_on_a_connection_that_has_just_ended_does_not_raise(redis_down: RedisServer, new_loop: NewLoop) -> None:
    """The bus promises that Redis's failures do not reach its callers; the next connection has what is wanted then."""

    async def scenario(one: RedisNode, _proxy: Proxy) -> None:
        before, after = [f"conversation:b{number}" for number in range(8)], [f"conversation:a{number}" for number in range(8)]
        assert await one.bus.subscribe(before)
        one.bus._listener.drop("the test says so")
        async with asyncio.TaskGroup() as subscribing:
            for old, new in zip(before, after, strict=True):
                one.bus.unsubscribe([old])
                subscribing.create_task(one.bus.subscribe([new]))
                await asyncio.sleep(0)  # a turn of the loop: between two of them the connection is closed and not yet missed
        await eventually(lambda: one.bus.is_live and all(one.bus.subscription(name) for name in after))
        assert not any(one.bus.subscription(name) for name in before)

    _play(new_loop, scenario, redis_down)


def test_a_call_on_a_connection_that_was_reset_while_idle_fails_as_promised(redis_down: RedisServer, new_loop: NewLoop) -> None:
    """Callers go on without Redis after `RedisUnavailable`; any other exception ends what they were doing."""

    async def scenario(one: RedisNode, proxy: Proxy) -> None:
        assert await one.link.call("PING")
        (idle,) = one.link._pool._available_connections
        assert proxy.reset() == 1
        await eventually(lambda: idle._writer is None or idle._writer.is_closing())
        with contextlib.suppress(RedisUnavailable):
            await one.link.call("PING")
        await eventually(lambda: _is_answered(one))

    _play(new_loop, scenario, redis_down, "holdfast:one")


def test_a_connection_that_is_reset_in_its_handshake_is_none(
    redis_down: RedisServer, new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loops of the bus make another one after `RedisUnavailable`; any other exception is counted as a defect."""

    async def scenario(one: RedisNode, proxy: Proxy) -> None:
        met = one.link._one_server.met

        async def met_after_reset(connection: Any, pool: Any) -> None:
            assert proxy.reset() == 1
            await eventually(connection._writer.is_closing)
            await met(connection, pool)

        with monkeypatch.context() as patched:
            patched.setattr(one.link._one_server, "met", met_after_reset)
            with pytest.raises(RedisUnavailable):
                await one.link.open_wire("test")

    _play(new_loop, scenario, redis_down, "holdfast:one:test")


async def _is_answered(one: RedisNode) -> bool:
    try:
        return bool(await one.link.call("PING"))
    except RedisUnavailable:
        return False
