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


def record(node: RedisNode, epoch: Epoch, user: str, connection: str) -> ConnectionRecord:
    return ConnectionRecord(UserId(user), ConnectionId(connection), node.instance_id, epoch, "2026-01-01T00:00:00Z")


async def expire_lease(admin: Redis, name: str) -> None:
    """What 12 s without a renewal do."""
    await admin.delete(f"instance:{name}")


async def reaped(by: RedisNode, name: str) -> tuple[Epoch | None, list[UserId]]:
    """The records found of an instance that is gone."""
    found = await by.registry.reap(InstanceId(name))
    assert found is not None
    return found


async def test_a_second_start_of_the_name_takes_over(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """The new start removes its predecessor's fields, and the old process finds its lease foreign."""
    old, new, other = new_node("one"), new_node("one"), new_node("two")
    old_epoch, other_epoch = await old.registry.acquire("healthy"), await other.registry.acquire("healthy")
    await old.registry.register([record(old, old_epoch, f"u{number}", f"k{number}") for number in range(250)])
    await other.registry.register([record(other, other_epoch, "u1", "other")])
    new_epoch = await new.registry.acquire("healthy")
    assert new_epoch > old_epoch
    assert await redis_admin.keys("connections:*") == ["connections:u1"]
    assert await redis_admin.hkeys("connections:u1") == ["other"]
    assert await redis_admin.exists("subscriptions:one") == 0
    with pytest.raises(LeaseLost):
        await old.registry.register([record(old, old_epoch, "u1", "k1")])
    with pytest.raises(LeaseLost):
        await old.registry.renew("healthy", 0)


async def test_the_older_of_two_processes_does_not_take_the_name_back(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """It is told so in the same script that would take the lease, and changes nothing; under another name it may register."""
    old, new = new_node("one"), new_node("one")
    old_epoch = await old.registry.acquire("healthy")
    new_epoch = await new.registry.acquire("healthy")
    await new.registry.register([record(new, new_epoch, "u1", "k1")])
    for _ in range(2):
        with pytest.raises(NameTaken):
            await old.registry.acquire("healthy")
    await new.registry.renew("healthy", 1)
    name = InstanceId(f"one.{old_epoch}")
    old.registry.rename(name)
    later = await old.registry.acquire("healthy")
    assert later > old_epoch
    moved = ConnectionRecord(UserId("u2"), ConnectionId("k2"), name, later, "2026-01-01T00:00:00Z")
    await old.registry.register([moved])
    assert await new.registry.connections_of(UserId("u2")) == [moved]
    assert await redis_admin.smembers(f"subscriptions:{name}") == {"user:u2"}
    assert await redis_admin.smembers("subscriptions:one") == {"user:u1"}
    assert {lease.instance_id: lease.epoch for lease in await new.registry.instances()} == {"one": new_epoch, name: later}


async def test_a_lease_whose_answer_was_lost_is_our_own(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """The script ran, we never heard the epoch: that must not look like a younger process, or we would flee from ourselves."""
    one = new_node("one")
    first = await one.registry.acquire("healthy")
    unheard = f"{int(first[:16]) + 5:016d}{first[16:]}"
    await redis_admin.hset("instance:one", "epoch", unheard)
    assert await one.registry.acquire("healthy") > unheard


async def test_a_gone_instance_is_reaped_by_another(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Everything of it goes, nothing of others does; doing it again finds nothing."""
    one, two = new_node("one"), new_node("two")
    first, second = await one.registry.acquire("healthy"), await two.registry.acquire("healthy")
    await one.registry.register([record(one, first, f"u{number}", "k1") for number in range(250)])
    await two.registry.register([record(two, second, "u1", "k2")])
    await redis_admin.sadd("subscriptions:one", "conversation:c1", "control:one")
    assert await two.registry.reap(one.instance_id) is None
    await expire_lease(redis_admin, "one")
    epoch, lost = await reaped(two, "one")
    assert epoch == first
    assert sorted(lost) == sorted(f"u{number}" for number in range(250))
    assert await redis_admin.keys("connections:*") == ["connections:u1"]
    assert await redis_admin.exists("subscriptions:one") == 0
    assert await redis_admin.smembers("instances") == {"two"}
    assert await two.registry.reap(one.instance_id) == (None, [])


async def test_a_living_instance_is_never_reaped(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Its lease is looked at inside the script: also a start that happened a moment ago protects what is its own."""
    one, two = new_node("one"), new_node("two")
    await two.registry.acquire("healthy")
    first = await one.registry.acquire("healthy")
    await one.registry.register([record(one, first, "u1", "k1")])
    await expire_lease(redis_admin, "one")
    fresh = await one.registry.acquire("healthy")
    await one.registry.register([record(one, fresh, "u1", "k1")])
    assert await two.registry.reap(one.instance_id) is None
    assert await two.registry.connections_of(U1) == [record(one, fresh, "u1", "k1")]


async def test_reaping_races_with_a_new_start_and_takes_nothing_from_it(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """The fence is the epoch of each field, whatever the interleaving of the scripts."""
    two = new_node("two")
    await two.registry.acquire("healthy")
    users = [f"u{number}" for number in range(300)]
    for _ in range(5):
        old, new = new_node("one"), new_node("one")
        epoch = await old.registry.acquire("healthy")
        await old.registry.register([record(old, epoch, user, "old") for user in users])
        await expire_lease(redis_admin, "one")

        async def start_again(node: RedisNode) -> Epoch:
            fresh = await node.registry.acquire("healthy")
            await node.registry.register([record(node, fresh, user, "new") for user in users])
            return fresh

        _, fresh = await asyncio.gather(two.registry.reap(InstanceId("one")), start_again(new))
        for user in users[::50]:
            assert await two.registry.connections_of(UserId(user)) == [record(new, fresh, user, "new")]
            assert await redis_admin.hkeys(f"connections:{user}") == ["new"]
        assert await redis_admin.scard("subscriptions:one") == 300
        assert await redis_admin.sismember("instances", "one")


async def test_an_interrupted_reaping_is_finished_by_a_later_one(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished work is reported, the rest is still indexed under the instance's name."""
    one, two = new_node("one"), new_node("two")
    first = await one.registry.acquire("healthy")
    await two.registry.acquire("healthy")
    await one.registry.register([record(one, first, f"u{number}", "k1") for number in range(250)])
    await expire_lease(redis_admin, "one")
    run, calls = two.link.run, 0

    async def run_once(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RedisTimeout("cut")
        return await run(*arguments)  # type: ignore[arg-type]  # passed through as it came

    monkeypatch.setattr(two.link, "run", run_once)
    epoch, lost = await reaped(two, "one")
    assert (epoch, len(lost)) == (first, 100)
    assert await redis_admin.scard("subscriptions:one") == 150
    assert await redis_admin.sismember("instances", "one")
    with pytest.raises(RedisTimeout):
        await two.registry.reap(one.instance_id)
    monkeypatch.undo()
    assert len((await reaped(two, "one"))[1]) == 150
    assert await redis_admin.keys("connections:*") == []


async def test_releasing_leaves_nothing(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """A drained instance needs no reaper; releasing twice, or what is no longer ours, does nothing."""
    one, two = new_node("one"), new_node("one")
    await one.registry.release()
    epoch = await one.registry.acquire("healthy")
    await one.registry.register([record(one, epoch, "u1", "k1")])
    await redis_admin.sadd("subscriptions:one", "conversation:c1")
    await one.registry.release()
    await one.registry.release()
    assert await redis_admin.keys() == ["registry:world"]
    await one.registry.acquire("healthy")
    successor = await two.registry.acquire("healthy")
    await two.registry.register([record(two, successor, "u1", "k1")])
    await one.registry.release()
    assert await two.registry.connections_of(U1) == [record(two, successor, "u1", "k1")]


async def test_what_kubernetes_saw_end_has_no_lease_any_more_and_is_said_of_that_epoch(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A successor under the same name is not meant."""
    one, two = new_node("one"), new_node("two")
    fates = RedisFates(two.link)
    assert not await fates.ended(one.instance_id)
    epoch = await one.registry.acquire("healthy")
    await two.registry.acquire("healthy")
    assert await fates.ended(one.instance_id)
    (found,) = [lease for lease in await two.registry.instances() if lease.instance_id == "one"]
    assert (found.epoch, found.ended_epoch, found.removed_epoch) == (None, epoch, None)
    assert 0 < await redis_admin.pttl("fate:one") <= 120_000
    successor = await one.registry.acquire("healthy")
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
    epoch = await one.registry.acquire("healthy")
    await two.registry.acquire("healthy")
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
