"""Users who connect at one moment: the questions to Redis about all of them are one script of each kind."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from holdfast.domain.conversations import Membership, RosterLook, RosterRow
from holdfast.domain.ids import ConnectionId, ConversationId, UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.errors import RedisUnavailable
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import EMBEDDED, SYSTEM, RedisServer

STORE = "store-1"
NOW_MS = 1_700_000_000_000
USERS = [UserId(f"u{number}") for number in range(50)]


def rows(count: int) -> list[RosterRow]:
    """Of that many conversations."""
    return [RosterRow(Membership(ConversationId(f"c{number}"), 1, 2, 5, NOW_MS, 2), 3) for number in range(count)]


async def looks(node: RedisNode, user_ids: Sequence[UserId]) -> list[RosterLook]:
    """Of all of them at one moment."""
    return await asyncio.gather(*(node.rosters.look(user_id, STORE, NOW_MS) for user_id in user_ids))


async def filled(node: RedisNode, user_ids: Sequence[UserId], count: int = 1) -> None:
    """Redis remembers their rosters, each of the same conversations."""
    found = await looks(node, user_ids)
    written = [
        node.rosters.fill(user_id, STORE, look.fill_permit, rows(count), NOW_MS)
        for user_id, look in zip(user_ids, found, strict=True)
    ]
    assert all(await asyncio.gather(*written))


async def scripts(redis: Redis) -> int:
    """How many Redis has run since the counters were reset."""
    return int((await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_fifty_users_at_one_moment_cost_one_script_of_each_kind(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A storm of connects costs Redis, and the instance, a few round trips for each turn of the loop, not for each user."""
    one = new_node("one")
    await one.acquire()
    await filled(one, USERS)
    (proof,) = {look.proof for look in await looks(one, USERS)}
    await one.rosters.tails([ConversationId("c0")], STORE, proof)
    await redis_admin.flushall()
    await one.acquire()
    records = [ConnectionRecord(user_id, ConnectionId("k1"), one.instance_id, "now") for user_id in USERS]
    await one.registry.register(records)

    await redis_admin.config_resetstat()
    await one.registry.register(records)
    assert await scripts(redis_admin) == 1
    await filled(one, USERS)
    assert await scripts(redis_admin) == 3
    found = await looks(one, USERS)
    assert await scripts(redis_admin) == 4
    assert [look.rows for look in found] == [rows(1)] * len(USERS)
    tails = await asyncio.gather(*(one.rosters.tails([ConversationId("c0")], STORE, look.proof) for look in found))
    assert tails == [{"c0": 5}] * len(USERS)
    assert await scripts(redis_admin) == 5
    assert (await redis_admin.info("commandstats"))["cmdstat_hgetall"]["calls"] == 2 * len(USERS)


async def test_script_ends_where_the_rows_are_many_and_the_next_one_looks_further(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Fifty users with a thousand conversations each would stop Redis for all instances."""
    one = await new_node("one").start()
    some = USERS[:4]
    await filled(one, some, 300)
    await redis_admin.config_resetstat()
    assert [len(look.rows or ()) for look in await looks(one, some)] == [300] * 4
    assert await scripts(redis_admin) == 2
    await redis_admin.config_resetstat()
    await redis_admin.delete(*(f"member:{user_id}" for user_id in some))
    await filled(one, some, 300)
    assert await scripts(redis_admin) == 1 + 4


async def test_reply_about_no_user_is_an_error_and_not_asked_for_again(
    redis_server: RedisServer, new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers something else than Redis would keep all users who connect waiting for ever."""
    one = await new_node("one").start()

    async def nothing(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(one.link, "run_first", nothing)
    with pytest.raises(RedisUnavailable):
        await one.rosters.look(USERS[0], STORE, NOW_MS)


async def test_refused_write_is_of_that_user_alone(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """Without memory Redis gives no permits. The users whose rosters it has are served from it all the same."""
    one = await new_node("one").start()
    returning, fresh = USERS[:2]
    await filled(one, [returning])
    await redis_admin.config_set("maxmemory", 1)
    found, refused = await asyncio.gather(
        one.rosters.look(returning, STORE, NOW_MS), one.rosters.look(fresh, STORE, NOW_MS), return_exceptions=True
    )
    assert isinstance(found, RosterLook)
    assert found.rows == rows(1)
    assert isinstance(refused, RedisUnavailable)
    assert "OOM" in one.watch.failures[-1][0]


async def test_key_of_another_type_among_many_is_removed_and_all_are_answered(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """It would keep all users who connect at the same moment from being served."""
    one = await new_node("one").start()
    await filled(one, USERS[:3])
    await redis_admin.delete(f"member:{USERS[1]}")
    await redis_admin.set(f"member:{USERS[1]}", "x")
    found = await looks(one, USERS[:3])
    assert [look.rows for look in found] == [rows(1), None, rows(1)]
    assert found[1].fill_permit


async def test_proof_that_ended_is_of_no_use_beside_one_that_counts(redis_server: RedisServer, new_node: NewNode) -> None:
    """Both are asked about in one script."""
    one = await new_node("one").start()
    await filled(one, USERS[:1])
    old = (await looks(one, USERS[:1]))[0].proof
    await one.rosters.new_era()
    await filled(one, USERS[:1])
    new = (await looks(one, USERS[:1]))[0].proof
    c = [ConversationId("c0")]
    assert await asyncio.gather(*(one.rosters.tails(c, STORE, proof) for proof in (old, new))) == [None, {"c0": 5}]


async def test_roster_of_one_store_is_not_given_to_a_question_about_another(redis_server: RedisServer, new_node: NewNode) -> None:
    """While a restore is noticed, both are asked about at one moment."""
    one = await new_node("one").start()
    await filled(one, USERS)
    both = [one.rosters.look(user_id, STORE if at % 2 else "store-2", NOW_MS) for at, user_id in enumerate(USERS)]
    found = [look.rows for look in await asyncio.gather(*both)]
    assert found == [rows(1) if at % 2 else None for at in range(len(USERS))]


@pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)  # the simulated one has no call that waits
async def test_users_who_connect_do_not_wait_for_a_full_pool(redis_server: RedisServer, new_node: NewNode) -> None:
    """Replays and reaping take all places of the pool: that delays no user who connects, and no renewal of the lease."""
    one = await new_node("one", pool_connections=1, timeout_seconds=5.0).start()
    await one.acquire()
    await filled(one, USERS)
    waiting = asyncio.create_task(one.link.call("BLPOP", "nothing", "0"))
    await eventually(one.link._places.locked)
    await one.registry.register([ConnectionRecord(USERS[0], ConnectionId("k1"), one.instance_id, "now")])
    await one.registry.renew("healthy", 1)
    assert [look.rows for look in await looks(one, USERS)] == [rows(1)] * len(USERS)
    assert not waiting.done()
    assert one.watch.failures == []
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)  # it is about how soon answers come
async def test_channels_that_are_wanted_soon_after_each_other_share_a_command(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Redis confirms within a turn of the loop: in a storm each user who connects would else cost a command of its own."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    await redis_admin.config_resetstat()

    async def connect_in_turn(name: str) -> bool:
        return all([await one.bus.subscribe([f"user:{name}{number}"]) for number in range(25)])

    assert all(await asyncio.gather(*map(connect_in_turn, "abcd")))
    stats = await redis_admin.info("commandstats")
    assert stats["cmdstat_subscribe"]["calls"] < 40  # without a pause two for each of the 25 turns


@pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)  # it is about connections
async def test_instance_that_gets_no_new_connection_goes_on_with_those_it_has(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Cut from all Sentinels, or beside a Redis that is full: nothing else is wrong, and nothing counts as lost."""
    one = await new_node("one", pool_connections=4).start()
    await one.acquire()
    await eventually(lambda: one.bus.is_live)
    await redis_admin.config_set("maxclients", "1")
    waiting = [asyncio.create_task(one.link.call("BLPOP", f"nothing{number}", "0.4")) for number in range(4)]
    await asyncio.gather(*waiting)
    assert one.watch.failures == []


@pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)  # it is about connections
async def test_instance_registers_where_redis_takes_only_few_connections(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Those that it does not get are no fault of Redis; calls share the others."""
    one = await new_node("one", pool_connections=8).start()
    await eventually(lambda: one.bus.is_live)
    clients = len(await redis_admin.client_list())
    await redis_admin.config_set("maxclients", str(clients + 2))
    await one.acquire()
    assert one.watch.failures == []
    assert not one.link._places.locked()
    assert await one.link.call("PING")
