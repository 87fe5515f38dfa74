"""What a neighbour in the Redis network publishes: read strictly, given to members only, no reason to stumble."""

import json
from functools import partial
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.hostile import Hostile
from support.instances import Instances, Serving
from support.redis_server import RedisServer

GARBAGE: list[bytes] = [
    b"",
    b"hello",
    b"{}",
    b"[]",
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"v":1}',
    b'{"v":1,"kind":"messages"}',
    b'{"v":NaN,"kind":"typing"}',
    b'{"v":1,"kind":"typing","c":"\\ud800"}',
    json.dumps({"v": 1, "kind": "messages", "c": "c", "seq": 2**64, "instance": "x", "age_ms": 0, "messages": []}).encode(),
    json.dumps({"v": 1, "kind": "revoked", "user": 5, "not_before": 1}).encode(),
    json.dumps({"v": 1, "kind": "conversation", "c": 5}).encode(),
]
FORGED: list[dict[str, Any]] = [
    {"kind": "messages", "seq": 0, "instance": "evil", "age_ms": -5, "messages": []},
    {"kind": "messages", "seq": 1, "instance": "evil", "age_ms": 0, "messages": [1, "x", {}, {"type": "message"}]},
    {"kind": "messages", "seq": 1, "instance": "evil", "age_ms": 10**18, "messages": [None]},
    {"kind": "receipt", "seq": 1, "user": "nobody", "read_at": "yesterday", "c": ""},
    {"kind": "typing", "user": "a/b", "active": True, "origin": "evil", "c": "no-such-conversation"},
    {
        "kind": "presence",
        "user": "nobody",
        "online": True,
        "version": 2**62,
        "last_seen_at": None,
        "conversations": ["../x", "*"],
    },
    {"kind": "conversation", "event": "created", "by": "x", "user": "x", "members_version": 9, "revision": 9, "c": "a/b"},
    {"kind": "conversation", "event": "member_added", "by": "x", "user": None, "members_version": 9, "revision": 9},
    {"kind": "tomorrow", "seq": 0},
]


@pytest.mark.parametrize("where", ["conversation", "user", "control"])
async def test_forged_envelopes_reach_nobody(hostile: Hostile, where: str) -> None:
    """Members get nothing that is not in the store, non-members get nothing at all, and real messages go on."""
    alice, bob, stranger = hostile.user(), hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    channel = {"conversation": f"conversation:{c}", "user": f"user:{bob}", "control": f"control:{hostile.serving.name}"}[where]
    other_store = json.dumps(
        {"v": 1, "kind": "typing", "c": c, "generation": "other", "user": alice, "active": True, "origin": "x"}
    )
    async with (
        Chatter(hostile.serving, alice) as sender,
        Chatter(hostile.serving, bob) as receiver,
        Chatter(hostile.serving, stranger) as outsider,
        Redis(port=hostile.redis.port) as redis,
    ):
        async with redis.pubsub() as tap:
            await tap.subscribe(f"conversation:{c}")
            await sender.say(c, "one")
            generation = json.loads(await eventually_heard(tap))["generation"]
        await receiver.receive("message", seq=1)
        headers = [{"v": 1, "c": c, "generation": known} for known in (generation, "")]
        forged = [json.dumps(header | envelope).encode() for header in headers for envelope in FORGED]
        for payload in (*GARBAGE, *forged, other_store.encode()):
            await redis.publish(channel, payload)
        assert (await sender.say(c, "two"))["seq"] == 2
        await receiver.receive("message", seq=2)
        assert receiver.seqs(c) == [1, 2]
        assert not [frame for frame in receiver.frames if frame["type"] in ("typing", "receipt")]
        assert (await outsider.ask(type="ping"))["type"] == "pong"
        assert [frame["type"] for frame in outsider.frames] == ["welcome", "synced", "pong"]


async def _dropped(instance: Serving, count: int) -> bool:
    async with httpx.AsyncClient(verify=False) as client:
        lines = (await client.get(f"{instance.internal_url}/metrics")).text.splitlines()
    return f'holdfast_bus_failures_total{{event="unsigned"}} {float(count)}' in lines


async def test_with_a_secret_a_well_made_forgery_is_not_believed_either(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """Without one it would be: a member is said to type. It is dropped and counted; instances hear each other."""
    secret = {"HOLDFAST_BUS__SECRET": "a-secret-of-the-bus-that-is-long-enough"}
    one, two = await sqlite_instances.start("one", "two", **secret)
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob, Redis(port=redis7.port) as redis:
        await alice.say(c, "one")
        await bob.receive("message", seq=1)
        async with redis.pubsub() as tap:
            await tap.subscribe(f"conversation:{c}")
            await alice.ask(type="typing", conversation_id=c, active=True)
            await bob.receive("typing", user_id="alice")
            heard = await eventually_heard(tap)
        assert json.loads(heard)["kind"] == "typing"
        forged = json.loads(heard) | {"user": "bob", "origin": "evil"}
        before = len(alice.frames)
        for payload in (forged, {key: forged[key] for key in forged if key not in ("key", "mac")}):
            await redis.publish(f"conversation:{c}", json.dumps(payload, separators=(",", ":")).encode())
        await eventually(partial(_dropped, one, 2))
        await bob.say(c, "two")
        await alice.receive("message", seq=2)
        assert not [frame for frame in alice.frames[before:] if frame["type"] == "typing"]


async def eventually_heard(tap: Any) -> bytes:
    """The first message on a channel that an operator listens to."""
    while True:
        message = await tap.get_message(ignore_subscribe_messages=True, timeout=5)
        if message is not None:
            return bytes(message["data"])
