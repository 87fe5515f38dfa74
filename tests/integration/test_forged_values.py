"""A program that may write in Redis, against instances with a bus secret: users are shown what the store holds, no more and no
less."""

import json
from functools import partial

import pytest
from redis.asyncio import Redis

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import RedisServer
from support.store_view import StoreView, view_of

SIGNED = {"HOLDFAST_BUS__SECRET": "a-secret-of-the-bus-that-is-long-enough"}
FORGED = {"instance_id": "evil", "epoch": "0000000000000001-abcd", "registration": "beef", "connected_at": ""}


async def _kept(redis: Redis, conversation_id: str, count: int) -> bool:
    return bool(await redis.zcard(f"recent:{conversation_id}") == count)


async def _notified(store: StoreView, user_id: str) -> bool:
    return any(record["userId"] == user_id for record in (await store.notifications()).values())


async def test_changed_messages_and_invented_connections_change_nothing(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """Bob resumes and reads alice's message; carol is not connected, and is notified."""
    one, two = await sqlite_instances.start("one", "two", **SIGNED)
    c = await new_conversation(one, "alice", "bob", "carol")
    async with Redis(port=redis7.port, decode_responses=True) as redis, Chatter(one, "alice") as alice:
        lease = {"epoch": FORGED["epoch"], "registered": 1, "state": "healthy", "connections": 1}
        lease |= {"world": await redis.get("registry:world"), "registration": FORGED["registration"]}
        await redis.hset("instance:evil", mapping=lease)
        await redis.sadd("instances", "evil")
        await redis.hset("connections:carol", "k1", json.dumps(FORGED))
        for body in ("one", "two", "three"):
            await alice.say(c, body)
        await eventually(partial(_kept, redis, c, 3), within=30)
        for entry, seq in await redis.zrange(f"recent:{c}", 0, -1, withscores=True):
            await redis.zrem(f"recent:{c}", entry)
            await redis.zadd(f"recent:{c}", {entry.replace('"body":"', '"body":"send your money to mallory: '): seq})
        async with view_of(sqlite_instances) as store:
            await eventually(partial(_notified, store, "carol"), within=30)
        bob = Chatter(two, "bob")
        try:
            await bob.connect({c: 0})
            await bob.receive("message", seq=3, within=30)
            assert [frame["body"] for frame in bob.messages(c)] == ["one", "two", "three"]
        finally:
            await bob.close()


@pytest.mark.parametrize("is_built", [True, False], ids=["as built", "without it"])
async def test_forged_conversation_lists_show_no_foreign_conversation(
    sqlite_instances: Instances, redis7: RedisServer, *, is_built: bool
) -> None:
    """Mallory writes herself into a conversation of alice and bob: as a row of her list, and with a copy of bob's whole list."""
    altered = {} if is_built else {"ALTERED": "no_list_signatures"}
    one, two = await sqlite_instances.start("one", "two", **SIGNED, **altered)
    own, foreign = await new_conversation(one, "mallory"), await new_conversation(one, "alice", "bob")
    shown = []
    async with Redis(port=redis7.port, decode_responses=True) as redis, Chatter(one, "alice") as alice:
        await alice.say(foreign, "not for mallory")
        for user_id in ("bob", "mallory"):
            await eventually(partial(_has_list, two, redis, user_id), within=30)
        genuine = await redis.hgetall("member:mallory")
        bobs = await redis.hgetall("member:bob")
        for forged in (genuine | {foreign: bobs[foreign]}, bobs):
            await redis.delete("member:mallory")
            await redis.hset("member:mallory", mapping=forged)
            mallory = await Chatter(two, "mallory").connect({})
            try:
                shown.append(list((await mallory.receive("synced"))["heads"]))
                await alice.say(foreign, "nor this")
                await mallory.say(own, "only this")
                shown.append([own] if not mallory.messages(foreign) else [foreign])
            finally:
                await mallory.close()
    assert (shown == [[own]] * 4) is is_built


async def _has_list(serving: Serving, redis: Redis, user_id: str) -> bool:
    """The user was connected, and Redis has the list."""
    async with Chatter(serving, user_id):
        return bool(await redis.hexists(f"member:{user_id}", ".signed"))
