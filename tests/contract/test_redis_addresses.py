"""Bus and registry where Redis is not a plain address: behind TLS, behind Sentinel, behind a failover."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from holdfast.domain.ids import Epoch
from holdfast.errors import LeaseLost, RedisUnavailable, WorldChanged
from holdfast.launcher.ports import free_port
from support.certificates import self_signed
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import SYSTEM, RedisServer, SentinelServer, require_binary

CHANNEL = "conversation:c1"


async def test_both_servers_are_what_they_are_called(
    redis_server: RedisServer, redis_admin: Redis, request: pytest.FixtureRequest
) -> None:
    """The embedded one also lies on the PATH of an environment that has its wheel: a suite that ran twice over it proves half."""
    version = (await redis_admin.info("server"))["redis_version"]
    assert version.startswith("6.2.") == ("redis-6.2" in request.node.name)


@pytest.mark.parametrize("redis_down", [SYSTEM], indirect=True)  # the embedded one is built without TLS
async def test_tls_is_verified_against_the_ca_file(redis_down: RedisServer, new_node: NewNode, tmp_path: Path) -> None:
    """Both clients of an instance speak it; without the authority there is no connection, not an unverified one."""
    certificate, key = self_signed(tmp_path)
    tls_port = free_port()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
    redis_down.options = ("--tls-port", str(tls_port), "--tls-auth-clients", "no", *files)
    await redis_down.start()
    url = f"rediss://127.0.0.1:{tls_port}/0"
    trusting = await new_node("one", url=url, ca_file=certificate).start()
    doubting = await new_node("two", url=url).start()
    assert await trusting.bus.subscribe([CHANNEL])
    await trusting.registry.acquire(Epoch("1"), "healthy")
    trusting.bus.publish(CHANNEL, b"{}")
    await eventually(lambda: trusting.ears.envelopes == [(CHANNEL, b"{}")])
    await eventually(lambda: trusting.bus.is_live)
    with pytest.raises(RedisUnavailable):
        await doubting.registry.acquire(Epoch("2"), "healthy")
    assert not doubting.bus.is_live


@pytest.fixture
async def replica(redis_server: RedisServer) -> AsyncIterator[RedisServer]:
    """A replica of `redis_server`."""
    options = ("--replicaof", "127.0.0.1", str(redis_server.port), "--repl-diskless-sync-delay", "0")
    server = RedisServer(require_binary(SYSTEM), *options)
    try:
        await server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
async def sentinel(redis_server: RedisServer, replica: RedisServer) -> AsyncIterator[SentinelServer]:
    """A Sentinel that knows both."""
    server = SentinelServer(require_binary(SYSTEM), redis_server)
    try:
        await server.start()
        yield server
    finally:
        server.close()


async def _can_renew(node: RedisNode) -> bool:
    try:
        await node.registry.renew("healthy", 0)
    except (LeaseLost, WorldChanged):
        await node.registry.acquire(Epoch("1"), "healthy")
    except RedisUnavailable:
        return False
    return True


@pytest.mark.parametrize("redis_down", [SYSTEM], indirect=True)
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_after_a_failover_nobody_stays_with_the_old_primary(
    redis_server: RedisServer, replica: RedisServer, sentinel: SentinelServer, new_node: NewNode, fault: str
) -> None:
    """Sentinel promotes; commands and the bus both find the new primary by themselves, and the return is announced."""
    one = await new_node("one", url=sentinel.url).start()
    admin = new_node("admin", url=sentinel.url)
    await eventually(lambda: _knows_replica(admin))
    await eventually(lambda: one.bus.is_live)
    assert await one.bus.subscribe([CHANNEL])
    await one.registry.acquire(Epoch("1"), "healthy")
    if fault == "killed":
        redis_server.kill()
    else:
        redis_server.freeze()
    await eventually(lambda: not one.bus.is_live, within=4.0)
    await eventually(lambda: one.ears.subscribed >= 2 and one.bus.is_live)
    await eventually(lambda: _can_renew(one))
    one.bus.publish(CHANNEL, b"{}")
    await eventually(lambda: one.ears.envelopes == [(CHANNEL, b"{}")])
    at_replica = new_node("witness", url=replica.url)
    assert await at_replica.link.call("EXISTS", "instance:one") == 1


@pytest.mark.parametrize("redis_down", [SYSTEM], indirect=True)
async def test_a_silent_sentinel_leaves_time_to_ask_the_next_one(sentinel: SentinelServer, new_node: NewNode) -> None:
    """A Sentinel that stands still takes connections and answers nothing; the pool's connections are made within one call."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nodes = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{sentinel.port}"
        one = new_node("one", url=f"sentinel://{nodes}/{SentinelServer.SERVICE}/0", timeout_seconds=2.0)
        assert await one.link.call("PING")


async def _knows_replica(node: RedisNode) -> bool:
    sentinel = node.link._address.sentinel
    assert sentinel is not None
    try:
        replicas = await sentinel.sentinels[0].sentinel_slaves(SentinelServer.SERVICE)
    except RedisError:
        return False
    return len(replicas) == 1
