"""`Registry` over a real Redis: the connections of users, through crashes, flushes and second starts."""

import asyncio
import json

import pytest
from redis.asyncio import Redis

from holdfast.domain.ids import ConnectionId, InstanceId, UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.errors import LeaseLost, RedisTimeout, RedisUnavailable, WorldChanged
from holdfast.ports import Registry
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

U1, U2 = UserId("u1"), UserId("u2")


def record(node: RedisNode, user: str, connection: str) -> ConnectionRecord:
    return ConnectionRecord(UserId(user), ConnectionId(connection), node.instance_id, "2026-01-01T00:00:00Z")


async def expire_lease(admin: Redis, name: str) -> None:
    """What 12 s without a renewal do."""
    await admin.delete(f"instance:{name}")


async def test_the_adapter_is_the_port(redis_down: RedisServer, new_node: NewNode) -> None:
    """mypy checks this assignment; the node knows the port only."""
    registry: Registry = new_node().registry
    with pytest.raises(LeaseLost):
        await registry.renew("healthy", 0)


async def test_a_registered_connection_is_what_an_operator_reads(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """The keys and words of the acceptance guide, to the letter."""
    one = new_node("one")
    await one.acquire()
    assert await one.registry.register([record(one, "u1", "k1"), record(one, "u1", "k2")]) == {U1: 2}
    fields = await redis_admin.hgetall("connections:u1")
    (registration,) = await redis_admin.hmget("instance:one", "registration")
    expected = {"instance_id": "one", "epoch": "-", "registration": registration, "connected_at": "2026-01-01T00:00:00Z"}
    assert json.loads(fields["k1"]) == expected
    assert await redis_admin.smembers("subscriptions:one") == {"user:u1"}
    assert await redis_admin.smembers("instances") == {"one"}
    assert 0 < await redis_admin.pttl("instance:one") <= 12_000
    assert 0 < await redis_admin.pttl("connections:u1") <= 3_600_000
    assert 0 < await redis_admin.pttl("subscriptions:one") <= 3_600_000


async def test_the_last_connection_takes_the_key_and_the_subscription_with_it(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """An instance that leaves in order leaves nothing behind; leaving twice is leaving once."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    await one.registry.register([record(one, "u1", "k1"), record(one, "u1", "k2")])
    assert await two.registry.register([record(two, "u1", "k3")]) == {U1: 3}
    await one.registry.unregister([(U1, ConnectionId("k1"))])
    assert await redis_admin.smembers("subscriptions:one") == {"user:u1"}
    await one.registry.unregister([(U1, ConnectionId("k3"))])
    await one.registry.unregister([(U1, ConnectionId("k2"))])
    await one.registry.unregister([(U1, ConnectionId("k2"))])
    assert await redis_admin.exists("subscriptions:one") == 0
    assert await redis_admin.hkeys("connections:u1") == ["k3"]
    await two.registry.unregister([(U1, ConnectionId("k3"))])
    assert await redis_admin.exists("connections:u1") == 0


async def test_only_connections_under_a_living_lease_count(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A dead instance's field is there until it is reaped, and does not count as a connection meanwhile."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    dead = record(one, "u1", "k1")
    living = record(two, "u1", "k2")
    await one.registry.register([dead])
    assert await two.registry.register([living]) == {U1: 2}
    assert sorted(await two.registry.connections_of(U1), key=lambda each: each.connection_id) == [dead, living]
    await expire_lease(redis_admin, "one")
    assert await two.registry.connections_of(U1) == [living]
    assert await two.registry.register([living]) == {U1: 1}
    assert await two.registry.connections_of(U2) == []
    await redis_admin.hset("connections:u1", "odd", "not ours")
    assert await two.registry.connections_of(U1) == [living]


async def test_leases_show_who_is_there(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Silence about a user is believed only when everybody is registered, so each says whether it is."""
    one, two = new_node("one"), new_node("two")
    first, second = await one.acquire("starting"), await two.acquire()
    await one.registry.set_registered()
    await one.registry.renew("degraded", 7)
    leases = {lease.instance_id: lease for lease in await two.registry.instances()}
    assert leases[one.instance_id].epoch == first
    assert (leases[one.instance_id].is_registered, leases[one.instance_id].state) == (True, "degraded")
    assert leases[one.instance_id].connections == 7
    assert (leases[two.instance_id].epoch, leases[two.instance_id].is_registered) == (second, False)
    await expire_lease(redis_admin, "one")
    assert {lease.instance_id: lease.epoch for lease in await two.registry.instances()} == {"one": None, "two": second}


async def test_a_renewal_prolongs_the_lease(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Also one that the controller shortened because the pod was only deleted: a living owner restores it."""
    one = new_node("one")
    await one.acquire()
    await redis_admin.pexpire("instance:one", 4000)
    await redis_admin.srem("instances", "one")
    await one.registry.renew("healthy", 0)
    assert await redis_admin.pttl("instance:one") > 4000
    assert await redis_admin.smembers("instances") == {"one"}


async def test_a_renewal_names_the_redis_that_took_it(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """The same for all instances that meet there, another one after a restart; empty where an ACL forbids to ask."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    name = (await redis_admin.info("server"))["run_id"]
    assert (one.registry.server, two.registry.server) == (name, name)
    await redis_admin.acl_setuser("default", commands=["-info"])
    await one.registry.renew("healthy", 0)
    assert one.registry.server == ""
    await redis_admin.acl_setuser("default", commands=["+info"])
    await one.registry.renew("healthy", 0)
    assert one.registry.server == name


async def test_a_flush_is_noticed_before_anything_is_written(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """FLUSHALL costs latency only: every call says so, and `acquire` begins the new world."""
    one = new_node("one")
    await one.acquire()
    await one.registry.register([record(one, "u1", "k1")])
    await redis_admin.flushall()
    for call in (
        one.registry.renew("healthy", 1),
        one.registry.register([record(one, "u1", "k1")]),
        one.registry.unregister([(U1, ConnectionId("k1"))]),
        one.registry.set_registered(),
        one.registry.refresh([U1]),
        one.registry.connections_of(U1),
        one.registry.instances(),
        one.registry.reap(InstanceId("two")),
    ):
        with pytest.raises(WorldChanged):
            await call
    assert await redis_admin.keys() == []
    await one.acquire()
    assert await one.registry.register([record(one, "u1", "k1")]) == {U1: 1}


async def test_a_restarted_redis_is_another_world(redis_server: RedisServer, new_node: NewNode) -> None:
    """Two instances meet in the same new world, in either order."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    redis_server.kill()
    with pytest.raises(RedisUnavailable):
        await one.registry.renew("healthy", 0)
    await redis_server.start()
    await eventually(lambda: _raises_world_changed(one))
    await one.acquire()
    with pytest.raises(WorldChanged):
        await two.registry.renew("healthy", 0)
    await two.acquire()
    await one.registry.renew("healthy", 0)


async def _raises_world_changed(node: RedisNode) -> bool:
    try:
        await node.registry.renew("healthy", 0)
    except WorldChanged:
        return True
    except RedisUnavailable:
        return False  # the circuit's pause
    return False


async def test_a_lost_lease_refuses_every_write(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """An instance that slept through its lease must not write as if nothing had happened."""
    one = new_node("one")
    await one.acquire()
    await expire_lease(redis_admin, "one")
    for call in (
        one.registry.renew("healthy", 0),
        one.registry.register([record(one, "u1", "k1")]),
        one.registry.unregister([(U1, ConnectionId("k1"))]),
        one.registry.set_registered(),
        one.registry.refresh([U1]),
    ):
        with pytest.raises(LeaseLost):
            await call
    assert await redis_admin.exists("connections:u1", "subscriptions:one", "instance:one") == 0


async def test_ten_thousand_registrations_go_in_scripts_of_500(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """After a flush all of them come back without one script that stops Redis for everybody."""
    one = new_node("one")
    await one.acquire()
    await redis_admin.config_resetstat()
    records = [record(one, f"u{number % 5000}", f"k{number}") for number in range(10_000)]
    counts = await one.registry.register(records)
    assert len(counts) == 5000
    assert set(counts.values()) == {2}
    stats = await redis_admin.info("commandstats")
    assert stats["cmdstat_hset"]["calls"] == 10_000
    assert stats["cmdstat_evalsha"]["calls"] + stats.get("cmdstat_eval", {"calls": 0})["calls"] in (20, 21)
    await one.registry.refresh([UserId(f"u{number}") for number in range(5000)])
    assert len(await one.registry.connections_of(U1)) == 2


async def test_refreshing_renews_the_hour(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """A connection of many hours stays registered; a key without renewal does not stay for ever."""
    one = new_node("one")
    await one.acquire()
    await one.registry.register([record(one, "u1", "k1")])
    for key in ("connections:u1", "subscriptions:one"):
        await redis_admin.pexpire(key, 60_000)
    await one.registry.refresh([U1, U2])
    assert await redis_admin.pttl("connections:u1") > 3_000_000
    assert await redis_admin.pttl("subscriptions:one") > 3_000_000
    assert await redis_admin.exists("connections:u2") == 0


HOSTILE = "'}); redis.call('FLUSHALL'); --\r\n*1\r\n$8\r\nFLUSHALL\r\n\"]]\\ {1} *:?"


async def test_text_from_outside_stays_data(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Ids are checked long before; should one slip through, it is a strange name and nothing else."""
    one = new_node("one")
    run = await one.acquire(HOSTILE)
    hostile = ConnectionRecord(UserId(HOSTILE), ConnectionId(HOSTILE), one.instance_id, HOSTILE)
    assert await one.registry.register([hostile]) == {HOSTILE: 1}
    assert await one.registry.connections_of(hostile.user_id) == [hostile]
    assert [lease.state for lease in await one.registry.instances()] == [HOSTILE]
    await one.registry.unregister([(hostile.user_id, hostile.connection_id)])
    assert sorted(await redis_admin.keys()) == ["instance:one", f"instance:one:{run}", "instances", "registry:world"]


async def test_a_hung_redis_holds_nobody_longer_than_the_deadline(redis_server: RedisServer, new_node: NewNode) -> None:
    """The first call ends with a timeout; those after it fail at once, and one probe finds Redis again."""
    one = new_node("one", timeout_seconds=0.2)
    await one.acquire()
    redis_server.freeze()
    async with asyncio.timeout(2.0):  # its bound is 0.2 s; the rest is for a slow machine
        with pytest.raises(RedisTimeout):
            await one.registry.renew("healthy", 0)
        with pytest.raises(RedisUnavailable):
            await asyncio.gather(*(one.registry.renew("healthy", 0) for _ in range(1000)))
    assert any(is_timeout for _, is_timeout in one.watch.failures)
    redis_server.thaw()
    await eventually(lambda: _renews(one))


async def _renews(node: RedisNode) -> bool:
    try:
        await node.registry.renew("healthy", 0)
    except RedisUnavailable:
        return False
    return True


async def test_more_callers_than_connections_wait_their_turn(redis_server: RedisServer, new_node: NewNode) -> None:
    """A storm of registrations must not end in errors only because the pool is small."""
    one = new_node("one", pool_connections=2)
    await one.acquire()
    await asyncio.gather(*(one.registry.register([record(one, "u1", f"k{number}")]) for number in range(100)))
    assert len(await one.registry.connections_of(U1)) == 100


async def test_after_a_flush_node_and_bus_rebuild_everything(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """What a node does on `WorldChanged`: acquire, register, record the channels."""
    one = await new_node("one").start()
    assert await one.bus.subscribe(["conversation:c1", "user:u1"])
    await eventually(lambda: one.bus.is_live)
    await one.acquire()
    await redis_admin.flushall()
    await one.acquire()
    await one.registry.register([record(one, "u1", "k1")])
    one.bus.record_channels()

    async def is_whole() -> bool:
        return bool(await redis_admin.smembers("subscriptions:one") == {"control:one", "conversation:c1", "user:u1"})

    await eventually(is_whole)


async def test_who_is_connected_is_asked_for_many_at_once(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A field counts only while the lease under which it was written lives."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    await one.registry.register([record(one, f"u{number}", "k1") for number in range(150)])
    await two.registry.register([record(two, "elsewhere", "k2")])
    asked = [UserId(f"u{number}") for number in range(140, 160)] + [UserId("elsewhere"), UserId("nobody")]
    connected = {UserId(f"u{number}") for number in range(140, 150)}
    assert await one.registry.connected(asked) == connected | {UserId("elsewhere")}
    await expire_lease(redis_admin, "two")
    assert await one.registry.connected(asked) == connected
    await redis_admin.flushall()
    with pytest.raises(WorldChanged):
        await one.registry.connected(asked)
