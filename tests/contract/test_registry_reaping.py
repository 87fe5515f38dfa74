"""`Registry` and dead instances: which records are removed, by which instance, and which never are."""

import asyncio

import pytest
from redis.asyncio import Redis

from holdfast.adapters.redis.fates import RedisFates
from holdfast.domain.ids import ConnectionId, Epoch, InstanceId, UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.errors import LeaseLost, NameTaken, RedisTimeout
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

U1 = UserId("u1")


def record(node: RedisNode, user: str, connection: str) -> ConnectionRecord:
    return ConnectionRecord(UserId(user), ConnectionId(connection), node.instance_id, "2026-01-01T00:00:00Z")


async def expire_lease(admin: Redis, name: str) -> None:
    """What 12 s without a renewal do."""
    await admin.delete(f"instance:{name}")


async def reaped(by: RedisNode, name: str) -> list[UserId]:
    """The users found of an instance that is gone."""
    found = await by.registry.reap(InstanceId(name))
    assert found is not None
    return found


async def test_a_second_start_of_the_name_takes_over(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """The new start removes its predecessor's fields, and the old process finds its lease foreign."""
    old, new, other = new_node("one"), new_node("one"), new_node("two")
    await old.acquire()
    await other.acquire()
    await old.registry.register([record(old, f"u{number}", f"k{number}") for number in range(250)])
    await other.registry.register([record(other, "u1", "other")])
    await new.acquire()
    assert await redis_admin.keys("connections:*") == ["connections:u1"]
    assert await redis_admin.hkeys("connections:u1") == ["other"]
    assert await redis_admin.exists("subscriptions:one") == 0
    with pytest.raises(LeaseLost):
        await old.registry.register([record(old, "u1", "k1")])
    with pytest.raises(LeaseLost):
        await old.registry.renew("healthy", 0)


async def test_the_older_of_two_processes_does_not_take_the_name_back(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """It is told so in the same script that would take the lease, and changes nothing; under another name it may register."""
    old, new = new_node("one"), new_node("one")
    old_epoch = await old.acquire()
    new_epoch = await new.acquire()
    await new.registry.register([record(new, "u1", "k1")])
    for _ in range(2):
        with pytest.raises(NameTaken):
            await old.acquire()
    await new.registry.renew("healthy", 1)
    name = InstanceId(f"one.{old_epoch}")
    old.registry.rename(name)
    await old.acquire()
    moved = ConnectionRecord(UserId("u2"), ConnectionId("k2"), name, "2026-01-01T00:00:00Z")
    await old.registry.register([moved])
    assert await new.registry.connections_of(UserId("u2")) == [moved]
    assert await redis_admin.smembers(f"subscriptions:{name}") == {"user:u2"}
    assert await redis_admin.smembers("subscriptions:one") == {"user:u1"}
    assert {lease.instance_id: lease.epoch for lease in await new.registry.instances()} == {"one": new_epoch, name: old_epoch}


async def test_start_takes_the_name_over_whatever_the_clocks_of_the_machines_say(
    redis_server: RedisServer, new_node: NewNode
) -> None:
    """The clock of the machine before was an hour ahead. Its process, should it live, does not take the name back."""
    ahead, late = new_node("one"), new_node("one")
    ahead.epoch = Epoch(f"{int(late.epoch[:16]) + 3_600_000_000:016d}{late.epoch[16:]}")
    await ahead.acquire()
    await late.acquire()
    with pytest.raises(NameTaken):
        await ahead.acquire()
    await late.registry.renew("healthy", 0)


async def test_lease_whose_answer_was_lost_is_our_own(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """The script ran and no answer came: that must not look like a younger process, or the instance would leave its own name."""
    one = new_node("one")
    await one.acquire()
    await redis_admin.hset("instance:one", "registration", "unheard")
    await one.acquire()
    await one.registry.renew("healthy", 0)


async def test_a_gone_instance_is_reaped_by_another(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Everything of it goes, nothing of others does; doing it again finds nothing."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    await one.registry.register([record(one, f"u{number}", "k1") for number in range(250)])
    await two.registry.register([record(two, "u1", "k2")])
    await redis_admin.sadd("subscriptions:one", "conversation:c1", "control:one")
    assert await two.registry.reap(one.instance_id) is None
    await expire_lease(redis_admin, "one")
    lost = await reaped(two, "one")
    assert sorted(lost) == sorted(f"u{number}" for number in range(250))
    assert await redis_admin.keys("connections:*") == ["connections:u1"]
    assert await redis_admin.exists("subscriptions:one") == 0
    assert await redis_admin.smembers("instances") == {"two"}
    assert await two.registry.reap(one.instance_id) == []


async def test_a_living_instance_is_never_reaped(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Its lease is looked at inside the script: also a start that happened a moment ago protects what is its own."""
    one, two = new_node("one"), new_node("two")
    await two.acquire()
    await one.acquire()
    await one.registry.register([record(one, "u1", "k1")])
    await expire_lease(redis_admin, "one")
    await one.acquire()
    await one.registry.register([record(one, "u1", "k1")])
    assert await two.registry.reap(one.instance_id) is None
    assert await two.registry.connections_of(U1) == [record(one, "u1", "k1")]


async def test_reaping_races_with_a_new_start_and_takes_nothing_from_it(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """The fence is the registration of each field, whatever the interleaving of the scripts."""
    two = new_node("two")
    await two.acquire()
    users = [f"u{number}" for number in range(300)]
    for _ in range(5):
        old, new = new_node("one"), new_node("one")
        await old.acquire()
        await old.registry.register([record(old, user, "old") for user in users])
        await expire_lease(redis_admin, "one")

        async def start_again(node: RedisNode) -> None:
            await node.acquire()
            await node.registry.register([record(node, user, "new") for user in users])

        await asyncio.gather(two.registry.reap(InstanceId("one")), start_again(new))
        for user in users[::50]:
            assert await two.registry.connections_of(UserId(user)) == [record(new, user, "new")]
            assert await redis_admin.hkeys(f"connections:{user}") == ["new"]
        assert await redis_admin.scard("subscriptions:one") == 300
        assert await redis_admin.sismember("instances", "one")


async def test_an_interrupted_reaping_is_finished_by_a_later_one(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished work is reported, the rest is still indexed under the instance's name."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    await one.registry.register([record(one, f"u{number}", "k1") for number in range(250)])
    await expire_lease(redis_admin, "one")
    run, calls = two.link.run, 0

    async def run_once(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RedisTimeout("cut")
        return await run(*arguments)  # type: ignore[arg-type]  # passed through as it came

    monkeypatch.setattr(two.link, "run", run_once)
    assert len(await reaped(two, "one")) == 100
    assert await redis_admin.scard("subscriptions:one") == 150
    assert await redis_admin.sismember("instances", "one")
    with pytest.raises(RedisTimeout):
        await two.registry.reap(one.instance_id)
    monkeypatch.undo()
    assert len(await reaped(two, "one")) == 150
    assert await redis_admin.keys("connections:*") == []


async def test_releasing_leaves_nothing(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """A drained instance needs no reaper; releasing twice, or what is no longer ours, does nothing."""
    one, two = new_node("one"), new_node("one")
    await one.registry.release()
    await one.acquire()
    await one.registry.register([record(one, "u1", "k1")])
    await redis_admin.sadd("subscriptions:one", "conversation:c1")
    await one.registry.release()
    await one.registry.release()
    assert await redis_admin.keys() == ["registry:world"]
    await one.acquire()
    await two.acquire()
    await two.registry.register([record(two, "u1", "k1")])
    await one.registry.release()
    assert await two.registry.connections_of(U1) == [record(two, "u1", "k1")]


async def test_what_kubernetes_saw_end_has_no_lease_any_more_and_is_said_of_that_epoch(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A successor under the same name is not meant."""
    one, two = new_node("one"), new_node("two")
    fates = RedisFates(two.link)
    assert not await fates.ended(one.instance_id)
    epoch = await one.acquire()
    await two.acquire()
    assert await fates.ended(one.instance_id)
    (found,) = [lease for lease in await two.registry.instances() if lease.instance_id == "one"]
    assert (found.epoch, found.ended_epoch, found.removed_epoch) == (None, epoch, None)
    assert 0 < await redis_admin.pttl("fate:one") <= 120_000
    successor = await new_node("one").acquire()
    (found,) = [lease for lease in await two.registry.instances() if lease.instance_id == "one"]
    assert (found.epoch, found.ended_epoch) == (successor, epoch)


async def test_what_was_removed_may_live_and_then_keeps_its_lease_from_one_renewal_to_the_next(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Its lease is shortened to 4 s, and so is each renewal: a pod that is removed by force is killed seconds after that."""
    one, two = new_node("one"), new_node("two")
    fates = RedisFates(two.link)
    await fates.removed(one.instance_id)
    assert await redis_admin.keys("fate:*") == []
    epoch = await one.acquire()
    await two.acquire()
    await one.registry.renew("healthy", 7)
    await fates.removed(one.instance_id)
    assert await redis_admin.pttl("instance:one") <= 4_000
    (found,) = [lease for lease in await two.registry.instances() if lease.instance_id == "one"]
    assert (found.epoch, found.removed_epoch) == (epoch, epoch)
    assert await fates.connections() == {"one": 7, "two": 0}
    await redis_admin.pexpire("instance:one", 1_000)
    await one.registry.renew("healthy", 7)
    assert 1_000 < await redis_admin.pttl("instance:one") <= 4_000
    await expire_lease(redis_admin, "one")
    assert await fates.ended(one.instance_id)
    (found,) = [lease for lease in await two.registry.instances() if lease.instance_id == "one"]
    assert found.ended_epoch == epoch
