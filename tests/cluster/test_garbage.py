"""Bytes in Redis that are none of Holdfast's: the work in the background goes on, on real processes."""

import sqlite3
import time
from pathlib import Path

import httpx
from redis.asyncio import Redis

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances

BYTE = b"\xff"


def commit_unpublished(path: Path, conversation_id: str, body: str) -> None:
    """What an instance leaves that dies right after its commit."""
    now_ms = time.time_ns() // 1_000_000
    row = (conversation_id, 1, "alice", "m1", body, None, now_ms, now_ms)
    with sqlite3.connect(path, timeout=5) as connection:
        connection.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()


async def test_one_unreadable_byte_ends_neither_the_sweep_nor_the_reaper(
    sqlite_instances: Instances, operator: "Redis", tmp_path: Path
) -> None:
    """One in `dirty` ended the sweep everywhere, one in `instances` the reaper: a killed instance's users stayed online."""
    a, b = await sqlite_instances.start("instance-1", "instance-2")
    c = await new_conversation(a, "alice", "bob")
    await operator.zadd("dirty", {BYTE: 0})
    await operator.sadd("instances", BYTE)
    alice = await Chatter(a, "alice").connect()
    async with Chatter(b, "bob") as bob:

        async def has_swept() -> bool:
            return float(await operator.zcard("dirty")) == 0 and float(await operator.scard("instances")) == 2

        await eventually(has_swept)
        commit_unpublished(tmp_path / "holdfast.db", c, "last words")
        await operator.zadd("dirty", {f"{c}|instance-9|0000000000000000-dead|1": time.time() - 2})
        assert (await bob.receive("message"))["body"] == "last words"
        await bob.ask(type="read", conversation_id=c, message_id="000000000001")
        a.kill()
        await alice.closed()
        await bob.receive("presence", within=40, user_id="alice", online=False)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{b.url}/api/health")).json()["status"] == "healthy"
        metrics = (await client.get(f"{b.internal_url}/metrics")).text
    assert 'holdfast_loop_failures_total{loop="sweep"} 0.0' in metrics
    assert 'holdfast_loop_failures_total{loop="reaper"} 0.0' in metrics
