"""With a bus secret a value in Redis counts only where an instance signed it: write access does not make a program an
instance."""

import json
from dataclasses import dataclass
from functools import partial

import pytest
from redis.asyncio import Redis

from holdfast.domain.ids import ConnectionId, ConversationId, UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.ports import PublishedCommit
from holdfast.protocol.seals import Seals
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

SECRET, OTHER = "the-secret-of-the-bus-of-32-bytes", "another-secret-that-has-32-bytes!"
C, D = ConversationId("c1"), ConversationId("c2")
STORE = "store-1"
ENVELOPE = b'{"v":1,"kind":"typing","c":"c1"}'
U1 = UserId("u1")
REAL = [(1, b'{"seq":1,"body":"one"}'), (2, b'{"seq":2,"body":"two"}')]


@dataclass
class Scene:
    """Two instances that sign, two messages of each of two conversations, and what an attacker has: the whole of Redis."""

    one: RedisNode
    two: RedisNode
    attacker: Redis

    async def recent(self) -> list[tuple[int, bytes]]:
        return await self.two.recent_messages.recent(C, 0, STORE)


@pytest.fixture
async def scene(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> Scene:
    """Everything published."""
    one, two = [await new_node(name, seals=Seals(SECRET)).start() for name in ("one", "two")]
    texts = [text for _, text in REAL]
    for conversation_id in (C, D):
        one.bus.publish_commit(PublishedCommit(conversation_id, 1, texts, ENVELOPE, STORE))
        await eventually(partial(_reads, one, conversation_id, REAL))
    return Scene(one, two, redis_admin)


async def test_signed_messages_are_read_back_as_they_were_kept(scene: Scene) -> None:
    """A client that resumes at another instance is shown them without the store."""
    assert await scene.recent() == REAL
    assert await scene.two.recent_messages.recent(C, 1, STORE) == REAL[1:]
    assert await scene.two.recent_messages.recent(C, 0, "store-2") == []


@pytest.mark.parametrize("way", ["changed", "moved", "of another conversation", "unsigned", "of another secret"])
async def test_a_message_that_no_instance_kept_under_its_seq_is_not_believed(scene: Scene, new_node: NewNode, way: str) -> None:
    """A resuming client would be shown it under another user's name; the store is asked instead."""
    key, other = f"recent:{C}", f"recent:{D}"
    first, second = await scene.attacker.zrange(key, 0, -1)
    await scene.attacker.zrem(key, second)
    if way == "changed":
        await scene.attacker.zadd(key, {second.replace("two", "2wo"): 2})
    elif way == "moved":
        await scene.attacker.zrem(key, first)
        await scene.attacker.zadd(key, {first: 2})
    elif way == "of another conversation":
        await scene.attacker.zadd(key, {(await scene.attacker.zrange(other, 1, 1))[0]: 2})
    elif way == "unsigned":
        await scene.attacker.zadd(key, {f'{STORE} {{"seq":2,"body":"2wo"}}': 2})
    else:
        evil = await new_node("evil", seals=Seals(OTHER)).start()
        evil.bus.publish_commit(PublishedCommit(C, 2, [b'{"seq":2,"body":"2wo"}'], ENVELOPE, STORE))
        await eventually(partial(_reads, evil, C, [(2, b'{"seq":2,"body":"2wo"}')], after=1))
    assert 2 not in [seq for seq, _ in await scene.recent()]


async def test_messages_that_an_older_version_kept_unsigned_come_from_the_store(
    redis_server: RedisServer, new_node: NewNode
) -> None:
    """In a rolling upgrade both versions keep messages under the same key: slower, never wrong, and neither stumbles."""
    older, newer = await new_node("older").start(), await new_node("newer", seals=Seals(SECRET, may_be_unsigned=True)).start()
    older.bus.publish_commit(PublishedCommit(C, 1, [REAL[0][1]], ENVELOPE, STORE))
    await eventually(partial(_reads, older, C, REAL[:1]))
    assert await newer.recent_messages.recent(C, 0, STORE) == []
    newer.bus.publish_commit(PublishedCommit(C, 2, [REAL[1][1]], ENVELOPE, STORE))
    await eventually(partial(_reads, newer, C, REAL[1:]))
    assert await older.recent_messages.recent(C, 0, STORE) == []


async def _reads(node: RedisNode, conversation_id: ConversationId, messages: list[tuple[int, bytes]], after: int = 0) -> bool:
    return await node.recent_messages.recent(conversation_id, after, STORE) == messages


async def _registered(node: RedisNode, connection: str) -> None:
    await node.acquire()
    await node.registry.register([_record(node, connection)])


def _record(node: RedisNode, connection: str) -> ConnectionRecord:
    return ConnectionRecord(U1, ConnectionId(connection), node.instance_id, "2026-01-01T00:00:00Z")


async def _seen(node: RedisNode) -> tuple[bool, list[str]]:
    """Whether the user counts as connected, and which connections are listed."""
    return bool(await node.registry.connected([U1])), [each.connection_id for each in await node.registry.connections_of(U1)]


async def test_a_connection_that_an_instance_registered_counts_at_every_other_one(
    redis_server: RedisServer, new_node: NewNode
) -> None:
    """The user is not notified of what they are shown, also while secrets are rotated."""
    one, two = new_node("one", seals=Seals(OTHER)), new_node("two", seals=Seals(SECRET, OTHER))
    await _registered(one, "k1")
    await two.acquire()
    assert await _seen(two) == (True, ["k1"])


@pytest.mark.parametrize("way", ["unsigned", "changed", "of another user", "of another secret", "of a lease that ended"])
async def test_a_connection_that_no_instance_registered_suppresses_nothing(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis, way: str
) -> None:
    """With a forged entry and a forged lease behind it the user would never be notified, and no metric would tell."""
    one, two = new_node("one", seals=Seals(SECRET)), new_node("two", seals=Seals(SECRET))
    await two.acquire()
    if way == "unsigned":
        await _forged_lease(redis_admin)
        await redis_admin.hset(f"connections:{U1}", "k1", json.dumps(FORGED))
    elif way == "of another secret":
        await _registered(new_node("evil", seals=Seals(OTHER)), "k1")
    else:
        await _registered(one, "k1")
        record = (await redis_admin.hgetall(f"connections:{U1}"))["k1"]
        await redis_admin.delete(f"connections:{U1}")
        if way == "changed":
            await redis_admin.hset(f"connections:{U1}", "k2", record)
        elif way == "of another user":
            await redis_admin.hset("connections:u2", "k1", record)
            assert await two.registry.connected([UserId("u2")]) == set()
        else:
            await one.registry.release()
            await redis_admin.hset(f"connections:{U1}", "k1", record)
    assert await _seen(two) == (False, [])


async def test_forged_connections_do_not_use_up_the_limit_of_a_user(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Otherwise a program that may write in Redis keeps a user out: the count at a registration is of signed ones."""
    one = new_node("one", seals=Seals(SECRET))
    await one.acquire()
    await _forged_lease(redis_admin)
    await redis_admin.hset(f"connections:{U1}", mapping={f"evil{n}": json.dumps(FORGED) for n in range(20)})
    assert await one.registry.register([_record(one, "k1")]) == {U1: 1}
    assert await one.registry.register([_record(one, "k2")]) == {U1: 2}


FORGED = {"instance_id": "evil", "epoch": "0000000000000001-abcd", "registration": "beef", "connected_at": ""}


async def _forged_lease(redis: Redis) -> None:
    world = await redis.get("registry:world")
    fields = {"epoch": FORGED["epoch"], "registered": 1, "state": "healthy", "connections": 1}
    await redis.hset("instance:evil", mapping=fields | {"world": world, "registration": FORGED["registration"]})
    await redis.sadd("instances", "evil")


async def test_secret_of_an_instance_is_not_needed_to_take_its_connections_out(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """What an instance of an older version left is reaped as before."""
    older, newer = new_node("older"), new_node("newer", seals=Seals(SECRET))
    await _registered(older, "k1")
    await newer.acquire()
    assert await _seen(newer) == (False, [])
    await redis_admin.delete("instance:older")
    reaped = await newer.registry.reap(older.instance_id)
    assert reaped is not None
    assert reaped == [U1]
    assert await redis_admin.exists(f"connections:{U1}") == 0
