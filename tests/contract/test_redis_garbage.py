"""Hostile values in every kind of Redis key: read past, counted, removed where the key is ours, and never in the way for long."""

import asyncio
import json

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from holdfast.adapters.redis.fates import RedisFates
from holdfast.domain.conversations import Membership, RosterRow
from holdfast.domain.ids import ConnectionId, ConversationId, InstanceId, UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.errors import LeaseLost
from holdfast.ports import PublishedChange, PublishedCommit
from holdfast.protocol.seals import Seals
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

C, ANN, STORE = ConversationId("c1"), UserId("ann"), "g1"
NOW_MS = 1_700_000_000_000
BYTE = b"\xff"
GARBAGE = (BYTE, b"", b"\x00", b"x" * 100_000, "\ud800".encode("utf-8", "surrogatepass"), b"NaN", b"-1", b"1e309", b"[]")

either_kind = pytest.mark.parametrize("seals", [None, Seals("the-secret-of-the-bus-of-32-bytes")], ids=["unsigned", "signed"])


@pytest.fixture
async def raw(redis_down: RedisServer) -> "Redis":
    """A program that writes arbitrary values."""
    return Redis(port=redis_down.port, protocol=2, retry=Retry(NoBackoff(), 3))


async def registered(node: RedisNode) -> ConnectionRecord:
    """A connection of `ann` at that instance, which holds its lease."""
    await node.acquire()
    record = ConnectionRecord(ANN, ConnectionId(f"at-{node.instance_id}"), node.instance_id, "2026-01-01T00:00:00Z")
    await node.registry.register([record])
    return record


def commit(first_seq: int = 1) -> PublishedCommit:
    """One message."""
    return PublishedCommit(C, first_seq, [b"{}"], b'{"v":1,"kind":"x"}', STORE)


async def test_garbage_among_the_marks_is_removed_and_the_others_are_claimed(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis"
) -> None:
    """One byte that is no UTF-8 used to end the sweep of every instance until its restart."""
    one = await new_node("one").start()
    await raw.zadd("dirty", {each + b"\xff": 0 for each in GARBAGE} | {"c1|two|0001|1": 1})
    await eventually(lambda: one.bus.is_live)
    assert await one.marks.claim_dirty(0.0, 2.0, 100) == ["c1|two|0001|1"]
    assert one.watch.unread.count("dirty") == len(GARBAGE)
    await eventually(lambda: _is(raw.zrange("dirty", 0, -1), [b"c1|two|0001|1"]))
    await raw.aclose()


async def test_thousands_of_foreign_marks_do_not_hide_the_mark_behind_them(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis"
) -> None:
    """A sweep claims a hundred at a time, the oldest first."""
    one = await new_node("one").start()
    await raw.zadd("dirty", {b"\xff%d" % number: 0 for number in range(1_000)} | {"c1|two|0001|1": 1})
    await eventually(lambda: one.bus.is_live)
    assert await one.marks.claim_dirty(0.0, 2.0, 100) == ["c1|two|0001|1"]
    await raw.zadd("dirty", {"c1|two|0001|2": "+inf"})
    await one.marks.claim_dirty(0.0, 2.0, 100)
    assert await raw.zscore("dirty", "c1|two|0001|2") is None
    await raw.aclose()


async def test_garbage_among_the_instances_is_removed_and_the_others_are_listed(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis"
) -> None:
    """One byte that is no UTF-8 used to end the reaper: a killed instance's users stayed online for ever."""
    one, two = new_node("one"), new_node("two")
    await registered(one)
    await registered(two)
    await raw.sadd("instances", *GARBAGE)
    listed = {lease.instance_id for lease in await one.registry.instances()}
    assert listed >= {"one", "two"}
    assert all(name.isascii() for name in listed)
    assert one.watch.unread.count("instances") >= 4
    assert BYTE not in await raw.smembers("instances")
    await raw.aclose()


@pytest.mark.parametrize("field", ["epoch", "registered", "state", "connections"])
async def test_garbage_in_a_lease_costs_no_more_than_that_lease(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis", field: str
) -> None:
    """The other instances are listed; the owner takes its lease anew, and keeps its name."""
    one, two = new_node("one"), new_node("two")
    await registered(one)
    await registered(two)
    for garbage in GARBAGE:
        await raw.hset("instance:two", field, garbage)
        assert {lease.instance_id for lease in await one.registry.instances()} == {"one", "two"}
        await RedisFates(one.link).connections()
        await registered(two)
    await raw.aclose()


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_fates_world_and_era_is_replaced(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis", garbage: bytes
) -> None:
    """Every start reads them."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    await registered(one)
    await raw.set("fate:one", garbage)
    await raw.set("fate:two", garbage)
    await one.registry.renew("healthy", 1)
    await one.registry.instances()
    await raw.set("registry:world", garbage)
    await registered(one)
    assert [lease.instance_id for lease in await one.registry.instances()] == ["one"]
    await raw.set("registry:era", garbage)
    look = await one.rosters.look(ANN, STORE, NOW_MS)
    assert look.fill_permit
    assert await one.rosters.fill(ANN, STORE, look.fill_permit, [RosterRow(Membership(C, 1, 1, 0, 0, 2), 0)], NOW_MS)
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows
    await raw.aclose()


@pytest.mark.parametrize("field", ["epoch", "world", "registration"])
async def test_a_lease_with_garbage_in_it_is_taken_anew(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis", field: str
) -> None:
    """Its connections would count nowhere for as long as the lease is renewed."""
    one = new_node("one")
    await registered(one)
    for change in (raw.hset("instance:one", field, b"\xff"), raw.hdel("instance:one", field)):
        await change
        with pytest.raises(LeaseLost):
            await one.registry.renew("healthy", 1)
        await registered(one)
        await one.registry.renew("healthy", 1)
    await raw.aclose()


async def test_garbage_among_connections_and_subscriptions_does_not_keep_an_instance_from_being_reaped(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis"
) -> None:
    """Unreadable entries are removed, together with readable ones."""
    one, two = new_node("one"), new_node("two")
    await registered(one)
    living = await registered(two)
    records = [
        *GARBAGE,
        b"{}",
        json.dumps({"instance_id": 1, "epoch": None}).encode(),
        b'{"instance_id":"\\ud800","epoch":"1"}',
        b"[" * 500,
    ]
    for number, garbage in enumerate(records):
        await raw.hset("connections:ann", b"odd%d" % number + garbage[:100], garbage)
    await raw.sadd("subscriptions:one", *GARBAGE, b"user:\xff")
    await raw.delete("instance:one")
    assert await two.registry.connections_of(ANN) == [living]
    assert await two.registry.connected([ANN]) == {ANN}
    reaped = await two.registry.reap(InstanceId("one"))
    assert reaped == [ANN]
    assert await raw.exists("subscriptions:one") == 0
    assert await raw.smembers("instances") == {b"two"}
    await raw.aclose()


async def test_garbage_in_an_own_set_of_channels_is_removed(redis_server: RedisServer, new_node: NewNode, raw: "Redis") -> None:
    """It used to end the watch over the bus: an instance would never again find out that it was deaf."""
    one = await new_node("one").start()
    await one.bus.subscribe(["conversation:c1"])
    await eventually(lambda: one.bus.is_live)
    await raw.sadd("subscriptions:one", BYTE)
    one.bus.record_channels()
    await eventually(lambda: _is(raw.smembers("subscriptions:one"), {b"control:one", b"conversation:c1"}))
    assert "subscriptions" in one.watch.unread
    await raw.aclose()


@either_kind
@pytest.mark.parametrize("field", ["generation", "seq", "revision", "members"])
@pytest.mark.parametrize("garbage", [*GARBAGE, b"nan", b"inf", b"999999999999999999999", b"0x10"])
async def test_garbage_in_a_head_is_overwritten_and_never_believed(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis", field: str, garbage: bytes, seals: Seals | None
) -> None:
    """NaN is smaller than nothing: a head that holds it would never rise again."""
    one = await new_node("one", seals=seals).start()
    await eventually(lambda: one.bus.is_live)
    look = await one.rosters.look(ANN, STORE, NOW_MS)
    await one.rosters.fill(ANN, STORE, look.fill_permit, [RosterRow(Membership(C, 1, 1, 1, 0, 2), 0)], NOW_MS)
    proof = (await one.rosters.look(ANN, STORE, NOW_MS)).proof
    assert proof
    await raw.hset("head:c1", field, garbage)
    assert await one.rosters.tails([C], STORE, proof) in (None, {C: 1})
    found = await one.rosters.look(ANN, STORE, NOW_MS)
    assert found.rows is None or found.rows[0].membership.last_seq == 1
    one.bus.publish_commit(commit(first_seq=5))
    await eventually(lambda: _is(raw.hget("head:c1", "seq"), b"5"))
    assert one.bus.pipeline.counters.refused == 0
    await raw.aclose()


@either_kind
async def test_garbage_in_a_roster_makes_room_for_a_new_one(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis", seals: Seals | None
) -> None:
    """Until it is gone every connecting would ask the store."""
    one = await new_node("one", seals=seals).start()
    await eventually(lambda: one.bus.is_live)
    row = RosterRow(Membership(C, 1, 1, 1, 0, 2), 0)
    for garbage in GARBAGE:
        for field in (b"c1", garbage or b"\xff", b".proof", b".signed", b".filling", b"?" + garbage):
            look = await one.rosters.look(ANN, STORE, NOW_MS)
            await one.rosters.fill(ANN, STORE, look.fill_permit, [row], NOW_MS)
            await raw.hset("member:ann", field, garbage)
            for _ in range(2):
                look = await one.rosters.look(ANN, STORE, NOW_MS)
                await _done(one)
            assert look.rows == [row] or look.fill_permit or look.rows is not None
    await raw.aclose()


async def test_garbage_among_recent_messages_is_no_message(redis_server: RedisServer, new_node: NewNode, raw: "Redis") -> None:
    """A hole that was to be filled from there is filled from the store."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    for score in ("+inf", "1.5", "1e300"):
        await raw.delete("recent:c1")
        await raw.zadd("recent:c1", {b"g1 \xff": 1, b"\xff": 2, b"g1 {}": score})
        found = await one.recent_messages.recent(C, 0, STORE)
        assert found == [(1, b"\xff")]
    await raw.aclose()


_KEYS = (
    "dirty", "instances", "registry:world", "registry:era", "instance:one", "instance:two", "fate:one", "connections:ann",
    "subscriptions:one", "head:c1", "recent:c1", "member:ann",
)  # fmt: skip


@pytest.mark.parametrize("key", _KEYS)
async def test_a_key_of_another_type_is_removed_and_the_call_succeeds(
    redis_server: RedisServer, new_node: NewNode, raw: "Redis", key: str
) -> None:
    """`WRONGTYPE` would be the answer to every command on that key, for ever."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    for kind in ("string", "list"):
        await registered(one)
        look = await one.rosters.look(ANN, STORE, NOW_MS)
        if look.fill_permit:
            await one.rosters.fill(ANN, STORE, look.fill_permit, [RosterRow(Membership(C, 1, 1, 1, 0, 2), 0)], NOW_MS)
        await raw.sadd("instances", "two")
        await raw.delete(key)
        await (raw.rpush(key, "x") if kind == "list" or key.startswith(("registry", "fate")) else raw.set(key, "x"))
        one.bus.publish_commit(commit())
        one.bus.publish_change(PublishedChange(C, 2, 2, b'{"v":1,"kind":"x"}', [ANN], STORE))
        one.marks.clear_dirty("c1|one|0001|1")
        one.bus.record_channels()
        assert await one.marks.mark_dirty("c1|one|0001|2", within_seconds=5.0)
        name = await one.rosters.begin_reads(C, [ANN])
        one.rosters.end_reads(name, C, {ANN: 1}, STORE)
        await one.marks.claim_dirty(0.0, 2.0, 100)
        await one.recent_messages.recent(C, 0, STORE)
        await one.rosters.look(ANN, STORE, NOW_MS)
        await registered(one)
        await one.registry.renew("healthy", 1)
        await one.registry.instances()
        await one.registry.connections_of(ANN)
        await one.registry.connected([ANN])
        await one.registry.reap(InstanceId("two"))
        await RedisFates(one.link).connections()
        await RedisFates(one.link).removed(InstanceId("two"))
        await _done(one)
        assert one.watch.failures == []
        assert one.bus.pipeline.counters.refused == 0
    await raw.aclose()


def _done(node: RedisNode) -> "asyncio.Future[object]":
    """The pipeline has done what was queued."""
    return node.bus.pipeline.ask("PING")


async def _is(call: object, expected: object) -> bool:
    return bool(await call == expected)  # type: ignore[misc]  # one of redis-py's coroutines
