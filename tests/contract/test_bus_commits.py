"""`Bus` around a commit: its mark, its publication, and the messages kept for instances that missed it."""

import asyncio

from redis.asyncio import Redis

from holdfast.domain.ids import ConversationId
from holdfast.ports import PublishedCommit, RecentMessages
from support.eventually import eventually
from support.fixtures_redis import NewNode
from support.redis_server import RedisServer

C = ConversationId("c1")
CHANNEL = "conversation:c1"
ENVELOPE = b'{"v":1,"kind":"typing","c":"c1"}'
MARK = "c1|one|0000|1"
STORE = "store-1"


def batch(first: int, messages: list[bytes], conversation_id: ConversationId = C, generation: str = STORE) -> PublishedCommit:
    """Messages committed together, from seq `first` on."""
    return PublishedCommit(conversation_id, first, messages, ENVELOPE, generation)


async def test_marking_dirty_waits_for_nobody(redis_server: RedisServer, new_node: NewNode) -> None:
    """It stands before every acknowledgement: with a hung Redis it gives up within its bound, and at once later."""
    one = await new_node("one").start()
    await one.mark(MARK)
    redis_server.freeze()
    async with asyncio.timeout(1.0):  # its bound is 0.1 s; the rest is for a slow machine
        assert await one.marks.mark_dirty("c2|one|0000|1") is False
    await eventually(lambda: one.link.circuit.is_open(asyncio.get_running_loop().time()))
    assert await one.marks.mark_dirty("c3|one|0000|1") is False
    assert any(is_timeout for _, is_timeout in one.watch.failures)


async def test_marks_on_another_connection_are_told_apart(redis_server: RedisServer, new_node: NewNode) -> None:
    """A mark that was confirmed may be missing once Redis was restarted: no commit may rest on it any more."""
    one = await new_node("one").start()
    assert one.marks.connection == 0
    await one.mark(MARK)
    before = one.marks.connection
    assert before > 0
    await one.mark(MARK)
    assert one.marks.connection == before
    redis_server.kill()
    await eventually(lambda: one.marks.connection == 0)
    await redis_server.start()
    await one.mark(MARK)
    assert one.marks.connection > before


async def test_what_a_demoted_primary_refuses_is_lost(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """It may have been published to instances that are still at that server. Others hear nothing, so the mark must stay."""
    one = await new_node("one").start()
    await one.mark(MARK)
    before = one.marks.losses
    await redis_admin.replicaof("127.0.0.1", str(redis_server.port))
    one.bus.publish_commit(batch(1, [b"{}"]))
    await eventually(lambda: one.marks.losses > before)
    await redis_admin.replicaof("NO", "ONE")


async def test_many_marks_share_a_round_trip(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """A thousand conversations that commit at once cost Redis a few reads, not a thousand."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    before = one.bus.pipeline.counters.round_trips
    marks = [f"c{number}|one|0000|1" for number in range(200)]
    await asyncio.gather(*(one.mark(mark) for mark in marks))
    assert one.bus.pipeline.counters.round_trips - before < 20
    assert await redis_admin.zcard("dirty") == 200


async def test_commit_is_published_and_kept_in_one_step_and_its_mark_goes_after_that(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Redis carries out what is queued in its order: a crash never leaves a commit that is neither published nor marked."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert await two.bus.subscribe([CHANNEL])
    await one.mark(MARK)
    await one.mark("c1|other|0000|1")
    one.bus.publish_commit(batch(5, [b'{"seq":5}', b'{"seq":6}']))
    one.marks.clear_dirty(MARK)
    await eventually(lambda: two.ears.envelopes == [(CHANNEL, ENVELOPE)])
    assert await two.recent_messages.recent(C, 0, STORE) == [(5, b'{"seq":5}'), (6, b'{"seq":6}')]
    assert await two.recent_messages.recent(C, 5, STORE) == [(6, b'{"seq":6}')]
    await eventually(lambda: _are_marked(redis_admin, "c1|other|0000|1"))
    assert 0 < await redis_admin.pttl("recent:c1") <= 120_000


async def test_recent_keeps_the_newest_64_in_order(redis_server: RedisServer, new_node: NewNode) -> None:
    """Whatever order the instances publish in, and however often."""
    one = await new_node("one").start()
    for first in (11, 1, 11, 21, 61):
        one.bus.publish_commit(batch(first, [b"m%d" % seq for seq in range(first, first + 10)]))
    one.bus.publish_commit(batch(1, [b"other"], ConversationId("c2")))
    one.bus.publish_commit(batch(31, [b"m%d" % seq for seq in range(31, 61)]))
    await eventually(lambda: one.bus.pipeline.counters.sent >= 7)
    await eventually(lambda: _recent_seqs(one.recent_messages, list(range(7, 71))))
    assert (await one.recent_messages.recent(C, 68, STORE)) == [(69, b"m69"), (70, b"m70")]


async def _recent_seqs(recent_messages: RecentMessages, expected: list[int]) -> bool:
    return [seq for seq, _ in await recent_messages.recent(C, 0, STORE)] == expected


async def test_recent_keeps_no_message_of_more_than_4_kilobytes(redis_server: RedisServer, new_node: NewNode) -> None:
    """So 64 messages take 256 KB at most, and Redis need not read them to measure them. The others of the commit are kept."""
    one = await new_node("one").start()
    one.bus.publish_commit(batch(1, [b"m1", b"x" * 4_097, b"x" * 4_096]))
    await eventually(lambda: _recent_seqs(one.recent_messages, [1, 3]))
    one.bus.publish_commit(batch(3, [b"x" * 4_097]))
    await eventually(lambda: _recent_seqs(one.recent_messages, [1]))


async def test_publishing_a_commit_reads_no_message_back(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """With 64 messages of 2 KB that was most of what a message cost Redis."""
    one = await new_node("one").start()
    for first in range(1, 4):
        one.bus.publish_commit(batch(first, [b"m%d" % first]))
    await eventually(lambda: _recent_seqs(one.recent_messages, [1, 2, 3]))
    await redis_admin.config_resetstat()
    one.bus.publish_commit(batch(4, [b"m4"]))
    called: set[str] = set()

    async def is_kept() -> bool:
        called.update(name.partition("_")[2].lower() for name in await redis_admin.info("commandstats"))
        return "zadd" in called

    await eventually(is_kept)
    assert not [name for name in called if name.startswith(("zrange", "zrevrange"))]


async def test_messages_that_an_earlier_version_kept_are_kept_on(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Its head does not say how entries begin. In an upgrade all clients come back at once, and would read the store."""
    one = await new_node("one").start()
    one.bus.publish_commit(batch(1, [b"m1"]))
    await eventually(lambda: _recent_seqs(one.recent_messages, [1]))
    assert await redis_admin.hdel(f"head:{C}", "kept")
    one.bus.publish_commit(batch(2, [b"m2"]))
    await eventually(lambda: _recent_seqs(one.recent_messages, [1, 2]))


async def test_a_message_encoded_otherwise_replaces_itself(redis_server: RedisServer, new_node: NewNode) -> None:
    """Two versions side by side settle the same seq: it must not occur twice in a replay."""
    one = await new_node("one").start()
    one.bus.publish_commit(batch(1, [b"old"]))
    one.bus.publish_commit(batch(1, [b"new"]))
    await eventually(lambda: one.bus.pipeline.counters.sent >= 2)
    await eventually(lambda: _recent_is(one.recent_messages, [(1, b"new")]))


async def _recent_is(recent_messages: RecentMessages, expected: list[tuple[int, bytes]]) -> bool:
    return await recent_messages.recent(C, 0, STORE) == expected


async def test_recent_is_of_one_generation_of_the_store(redis_server: RedisServer, new_node: NewNode) -> None:
    """A restored store counts its seqs anew under a living Redis: what was said after the backup goes."""
    one = await new_node("one").start()
    one.bus.publish_commit(batch(1, [b"m%d" % seq for seq in range(1, 100)]))
    await eventually(lambda: _recent_seqs(one.recent_messages, list(range(36, 100))))
    assert await one.recent_messages.recent(C, 0, "store-2") == []
    assert await one.recent_messages.recent(C, 0, "store") == []
    one.bus.publish_commit(batch(41, [b"again"], generation="store-2"))
    await eventually(lambda: _recent_seqs(one.recent_messages, []))
    assert await one.recent_messages.recent(C, 0, "store-2") == [(41, b"again")]


async def test_scripts_forgotten_by_redis_are_taught_again(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """NOSCRIPT means that nothing was done: that one is sent again, and nothing is lost."""
    one = await new_node("one").start()
    await one.mark(MARK)
    await redis_admin.script_flush()
    assert await one.bus.subscribe([CHANNEL])
    one.bus.publish_commit(batch(1, [b"m1"]))
    await eventually(lambda: one.ears.envelopes == [(CHANNEL, ENVELOPE)])
    assert await one.marks.claim_dirty(0, 1, 10) == [MARK]
    assert one.bus.pipeline.counters.refused == 0


async def test_what_nobody_published_is_claimed_by_one_sweeper_at_a_time(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A crash between commit and publish leaves a mark; one instance repeats the work, not all of them."""
    one, two = await new_node("one").start(), await new_node("two").start()
    await one.mark(MARK)
    assert await two.marks.claim_dirty(60.0, 1.0, 10) == []
    claims = await asyncio.gather(one.marks.claim_dirty(0.0, 60.0, 10), two.marks.claim_dirty(0.0, 60.0, 10))
    assert sorted(claims) == [[], [MARK]]
    two.marks.clear_dirty(MARK)
    await eventually(lambda: _is_gone(redis_admin, "dirty"))


async def test_writes_that_may_be_lost_are_counted(redis_server: RedisServer, new_node: NewNode) -> None:
    """A mark is only removed where no publication was lost since it was set."""
    one = await new_node("one").start()
    await one.mark(MARK)
    before = one.marks.losses
    redis_server.freeze()
    one.bus.publish_commit(batch(1, [b"m1"]))
    await eventually(lambda: one.marks.losses > before)


async def _are_marked(redis_admin: Redis, *marks: str) -> bool:
    return await redis_admin.zrange("dirty", 0, -1) == list(marks)


async def _is_gone(redis_admin: Redis, key: str) -> bool:
    return not await redis_admin.exists(key)


async def test_out_of_memory_stops_the_marks_but_not_the_messages(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Redis refuses writes and still takes PUBLISH: the message goes out, and health hears of the refusal."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL])
    await one.mark(MARK)
    await redis_admin.config_set("maxmemory", "1")
    assert await one.marks.mark_dirty("c2|one|0000|1") is False
    one.bus.publish_commit(batch(1, [b"m1"]))
    await eventually(lambda: one.ears.envelopes == [(CHANNEL, ENVELOPE)])
    await eventually(lambda: any("OOM" in reason for reason, _ in one.watch.failures))
