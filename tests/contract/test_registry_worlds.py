"""A server that lacks the last writes: a promoted replica, one that was restarted from its snapshot. Nothing it holds counts."""

import pytest
from redis.asyncio import Redis

from holdfast.domain.ids import ConnectionId, UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.drills.local.proxy import Proxy
from holdfast.errors import RedisUnavailable, WorldChanged
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import EMBEDDED, SYSTEM, RedisServer, require_binary

LEFT, CAME, STAYED = UserId("left"), UserId("came"), UserId("stayed")
EVERYBODY = (LEFT, CAME, STAYED)


def record(node: RedisNode, user_id: UserId) -> ConnectionRecord:
    return ConnectionRecord(user_id, ConnectionId(f"of-{user_id}"), node.instance_id, "2026-01-01T00:00:00Z")


async def are_connected(node: RedisNode) -> set[UserId]:
    """The answer of Redis, as soon as it answers; empty while the world is another one."""

    async def answers() -> bool:
        try:
            found.append(await node.registry.connected(EVERYBODY))
        except WorldChanged:
            found.append(set())
        except RedisUnavailable:
            return False  # the circuit's pause
        return True

    found: list[set[UserId]] = []
    await eventually(answers)
    return found[-1]


async def test_connections_that_ended_after_the_snapshot_do_not_come_back(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Its user would be taken for connected, and never be notified; the run and the store's presence stay as they are."""
    one, two = new_node("one"), new_node("two")
    first = await one.acquire()
    await two.acquire()
    await one.registry.register([record(one, LEFT)])
    await two.registry.register([record(two, STAYED)])
    await one.registry.set_registered()
    await redis_admin.save()
    await one.registry.unregister([(LEFT, ConnectionId(f"of-{LEFT}"))])
    await one.registry.register([record(one, CAME)])
    await redis_server.restart()
    assert await are_connected(one) == await are_connected(two) == set()
    with pytest.raises(WorldChanged):
        await two.registry.renew("healthy", 1)
    await two.acquire()
    assert await two.registry.register([record(two, STAYED)]) == {STAYED: 1}
    assert await are_connected(two) == {STAYED}, "of the other one nothing counts before it has registered again"
    leases = {lease.instance_id: (lease.epoch, lease.is_registered) for lease in await two.registry.instances()}
    assert leases[one.instance_id] == (first, False)
    await one.acquire()
    await one.registry.register([record(one, CAME)])
    assert await are_connected(one) == {CAME, STAYED}
    assert await redis_admin.exists(f"connections:{LEFT}") == 0, "and what came back is removed"


@pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)  # no real replica can follow the simulated one
async def test_connections_that_ended_before_a_promotion_do_not_come_back(redis_server: RedisServer, new_node: NewNode) -> None:
    """A replica that did not hear of the last second is promoted, and every instance is led to it."""
    replica = RedisServer(require_binary(SYSTEM), "--replicaof", "127.0.0.1", str(redis_server.port))
    primary = [redis_server]
    await replica.start()
    witness = Redis(port=replica.port, decode_responses=True, protocol=2)
    try:
        async with Proxy(lambda: primary[0].port) as way:
            one = new_node("one", url=f"redis://{way.address}/0")
            await one.acquire()
            await one.registry.register([record(one, LEFT), record(one, STAYED)])

            async def has_heard() -> bool:
                return bool(await witness.exists(f"connections:{STAYED}"))

            await eventually(has_heard)
            await witness.replicaof("NO", "ONE")  # type: ignore[no-untyped-call]  # redis-py left it without annotations
            await one.registry.unregister([(LEFT, ConnectionId(f"of-{LEFT}"))])
            primary[0] = replica
            way.cut()
            assert await are_connected(one) == set()
            await one.acquire()
            await one.registry.register([record(one, STAYED)])
            assert await are_connected(one) == {STAYED}
            await one.close()
    finally:
        await witness.aclose()
        replica.close()


@pytest.mark.parametrize("redis_down", [SYSTEM], indirect=True)
async def test_a_renewal_notices_another_server_behind_the_same_connection(redis_server: RedisServer, new_node: NewNode) -> None:
    """A proxy may follow a promotion without a new connection; here the replication id changes, with the first replica."""
    one = new_node("one")
    await one.acquire()
    replica = RedisServer(require_binary(SYSTEM), "--replicaof", "127.0.0.1", str(redis_server.port))
    try:
        await replica.start()

        async def is_noticed() -> bool:
            try:
                await one.registry.renew("healthy", 0)
            except WorldChanged:
                return True
            return False

        await eventually(is_noticed)
        await one.acquire()
        await one.registry.renew("healthy", 0)
    finally:
        replica.close()


async def test_a_registration_ends_those_before_it_also_of_the_same_run(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A connection that ended while Redis did not answer could not be taken out: it is void, and removed."""
    one, two = new_node("one"), new_node("two")
    await two.acquire()
    await one.acquire()
    await one.registry.register([record(one, LEFT)])
    await one.acquire()
    assert await redis_admin.exists(f"connections:{LEFT}", "subscriptions:one") == 0
    assert await are_connected(two) == set()


async def test_where_info_is_denied_the_world_is_the_id_alone(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Everything works; a flush is noticed, a promotion is not. With the right again the world becomes one that tells."""
    await redis_admin.execute_command("ACL", "SETUSER", "default", "-info")
    one = new_node("one")
    await one.acquire()
    await one.registry.renew("healthy", 0)
    await redis_admin.save()
    await redis_server.restart()
    await redis_admin.execute_command("ACL", "SETUSER", "default", "-info")
    await one.registry.register([record(one, STAYED)])
    assert await are_connected(one) == {STAYED}
    await redis_admin.execute_command("ACL", "SETUSER", "default", "+info")
    with pytest.raises(WorldChanged):
        await one.registry.renew("healthy", 1)
    await one.acquire()
    await one.registry.renew("healthy", 1)


async def test_a_world_of_an_earlier_version_is_replaced_once(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """It does not say of which server it is. Instances of that version take ours, so that they do not fight for it."""
    await redis_admin.set("registry:world", "0123456789abcdef" * 2)
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    world = await redis_admin.get("registry:world")
    assert len(world) <= 64
    assert int(world, 16)
    await two.acquire()
    await one.registry.renew("healthy", 0)
    assert await redis_admin.get("registry:world") == world
