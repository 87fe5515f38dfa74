"""The lease of a run as instances of an older version see it: they take the run for an instance named `{instance_id}:{epoch}`."""

import pytest
from redis.asyncio import Redis

from holdfast.adapters.redis.fates import RedisFates
from holdfast.domain.ids import InstanceId
from holdfast.errors import NameTaken
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

_LEASE_MS = 12_000


def _of(node: RedisNode) -> str:
    return f"instance:{node.instance_id}:{node.epoch}"


async def _has_lease(admin: Redis, key: str) -> bool:
    """What the scripts of an older version look at before they reap."""
    epoch, registration = await admin.hmget(key, "epoch", "registration")
    answers = {bool(await admin.exists(key)), bool(epoch), bool(registration)}
    assert len(answers) == 1, "they do not agree"
    return answers.pop()


async def test_a_run_has_a_lease_for_older_instances_while_its_own_lives(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Else they would take its users offline where the store does not take its beats."""
    one, two = new_node("one"), new_node("two")
    await one.acquire()
    await two.acquire()
    assert await redis_admin.hget(_of(one), "epoch") == one.epoch
    assert await _has_lease(redis_admin, _of(one))
    assert _LEASE_MS - 4_000 < await redis_admin.pttl(_of(one)) <= _LEASE_MS
    assert await two.registry.reap(InstanceId(f"{one.instance_id}:{one.epoch}")) is None
    assert {each.instance_id for each in await two.registry.instances()} == {"one", "two"}


async def test_each_renewal_prolongs_it_as_the_lease(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """It ends when the lease ends, so that the dead are found as before."""
    one = new_node("one")
    await one.acquire()
    for key in ("instance:one", _of(one)):
        await redis_admin.pexpire(key, 1_000)
    await one.registry.renew("healthy", 0)
    lease, of_older = await redis_admin.pttl("instance:one"), await redis_admin.pttl(_of(one))
    assert _LEASE_MS - 4_000 < of_older <= _LEASE_MS
    assert abs(lease - of_older) < 1_000
    assert await _has_lease(redis_admin, _of(one))


async def test_it_goes_with_the_lease_that_is_given_back(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """An older instance then finds whose users did not come back, at once."""
    one = new_node("one")
    await one.acquire()
    await one.registry.release()
    assert not await _has_lease(redis_admin, _of(one))


async def test_it_goes_when_kubernetes_saw_the_end_and_is_short_when_the_pod_was_removed(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """As the lease itself."""
    one = new_node("one")
    fates = RedisFates(one.link)
    await one.acquire()
    await fates.removed(one.instance_id)
    assert 0 < await redis_admin.pttl(_of(one)) <= 4_000
    await one.registry.renew("healthy", 0)
    assert 0 < await redis_admin.pttl(_of(one)) <= 4_000
    assert await fates.ended(one.instance_id)
    assert not await _has_lease(redis_admin, _of(one))


async def test_a_run_that_goes_on_under_another_name_keeps_it(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """The run stands in the store under the name that it began with."""
    old, young = new_node("one"), new_node("one")
    await old.acquire()
    await young.acquire()
    with pytest.raises(NameTaken):
        await old.acquire()
    old.registry.rename(InstanceId("one.1"))
    await redis_admin.pexpire(_of(old), 1_000)
    await old.acquire()
    await old.registry.renew("healthy", 0)
    assert await redis_admin.pttl(_of(old)) > _LEASE_MS - 4_000
    assert await _has_lease(redis_admin, _of(young))
    assert await redis_admin.smembers("instances") == {"one", "one.1"}


async def test_it_is_there_again_after_redis_was_emptied(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """With the lease that is taken anew."""
    one = new_node("one")
    await one.acquire()
    await redis_admin.flushall()
    await one.acquire()
    assert await _has_lease(redis_admin, _of(one))
