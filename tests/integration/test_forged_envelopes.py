"""What a neighbour in the Redis network publishes (T45): read strictly, given to members only, no reason to stumble."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from support.chatting import Chatter
from support.hostile import Hostile

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
    """Members hear nothing that is not in the store, strangers hear nothing at all, and what is real goes on."""
    alice, bob, stranger = hostile.user(), hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    channel = {"conversation": f"conversation:{c}", "user": f"user:{bob}", "control": f"control:{hostile.serving.name}"}[where]
    forged = [json.dumps({"v": 1, "c": c, "generation": ""} | envelope).encode() for envelope in FORGED]
    other_store = json.dumps(
        {"v": 1, "kind": "typing", "c": c, "generation": "other", "user": alice, "active": True, "origin": "x"}
    )
    async with (
        Chatter(hostile.serving, alice) as sender,
        Chatter(hostile.serving, bob) as receiver,
        Chatter(hostile.serving, stranger) as outsider,
        Redis(port=hostile.redis.port) as redis,
    ):
        await sender.say(c, "one")
        await receiver.receive("message", seq=1)
        for payload in (*GARBAGE, *forged, other_store.encode()):
            await redis.publish(channel, payload)
        assert (await sender.say(c, "two"))["seq"] == 2
        await receiver.receive("message", seq=2)
        assert receiver.seqs(c) == [1, 2]
        assert not [frame for frame in receiver.frames if frame["type"] in ("typing", "receipt")]
        assert (await outsider.ask(type="ping"))["type"] == "pong"
        assert [frame["type"] for frame in outsider.frames] == ["welcome", "synced", "pong"]
