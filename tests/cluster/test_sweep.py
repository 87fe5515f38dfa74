"""An instance that dies between the store's commit and the publication leaves a mark, and nothing else; others find it."""

import time
from pathlib import Path

from redis.asyncio import Redis

from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.sqlite.database import DatabaseFile
from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Draft, content_digest, send_key
from support.chatting import Chatter, new_conversation
from support.fixtures_redis import Watch
from support.instances import Instances


async def test_a_commit_whose_owner_died_before_publishing_reaches_everybody(
    sqlite_instances: Instances, operator: "Redis", tmp_path: Path
) -> None:
    """The sender never returns; without the mark the message would wait for the next one in that conversation."""
    a, b = await sqlite_instances.start("instance-1", "instance-2")
    c = await new_conversation(a, "alice", "bob")
    store = SqliteStore(DatabaseFile(tmp_path / "holdfast.db", 2.0), SystemClock(), Watch())
    await store.open()
    async with Chatter(a, "alice") as alice, Chatter(b, "bob") as bob:
        draft = Draft(
            UserId("alice"), "m1", "last words", None, send_key(UserId("alice"), "m1"), content_digest("last words", None)
        )
        await store.append(ConversationId(c), 1, [draft], time.time_ns() // 1_000_000)
        await operator.zadd("dirty", {f"{c}|instance-9|0000000000000000-dead|1": time.time() - 2})
        for device in (alice, bob):
            assert (await device.receive("message"))["body"] == "last words"
        assert alice.seqs(c) == bob.seqs(c) == [1]
    await store.close()
