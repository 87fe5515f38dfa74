"""`RosterCache`: what Redis remembers of a user's conversations, and everything that ends it."""

import asyncio
from functools import partial

import pytest
from redis.asyncio import Redis

from holdfast.domain.conversations import Membership, RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, UserId
from holdfast.ports import PublishedChange, PublishedCommit
from holdfast.protocol.seals import Seals
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import EMBEDDED, SYSTEM, RedisServer

ANN, BEN = UserId("ann"), UserId("ben")
C, D = ConversationId("c1"), ConversationId("c2")
STORE = "store-1"
NOW_MS = 1_700_000_000_000
ENVELOPE = b'{"v":1,"kind":"conversation","c":"c1"}'


@pytest.fixture(params=[None, Seals("the-secret-of-the-bus-of-32-bytes")], ids=["unsigned", "signed"])
def new_node(new_node: NewNode, request: pytest.FixtureRequest) -> NewNode:
    """All of it holds in a fleet with a bus secret, too."""
    return partial(new_node, seals=request.param)


def row(conversation_id: str, *, tail: int = 5, revision: int = 2, count: int = 2, cursor: int | None = 3) -> RosterRow:
    """A row of a roster."""
    return RosterRow(Membership(ConversationId(conversation_id), 1, revision, tail, 1_700_000_000_000, count), cursor)


async def filled(one: RedisNode, *rows: RosterRow) -> RosterLook:
    """A roster of ann's that Redis remembers."""
    permit = (await one.rosters.look(ANN, STORE, NOW_MS)).fill_permit
    assert await one.rosters.fill(ANN, STORE, permit, rows, NOW_MS)
    return await one.rosters.look(ANN, STORE, NOW_MS)


async def test_what_was_written_is_remembered_for_ten_minutes(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """By any instance; one without conversations is one, too."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert (await two.rosters.look(ANN, STORE, NOW_MS)).rows is None
    await filled(one, row(C), row(D, tail=0, cursor=0))
    found = (await two.rosters.look(ANN, STORE, NOW_MS)).rows
    assert found is not None
    assert sorted(found, key=lambda r: r.membership.conversation_id) == [row(C), row(D, tail=0, cursor=0)]
    assert 60_000 < await redis_admin.pttl("member:ann") <= 600_000
    assert await one.rosters.fill(BEN, STORE, (await one.rosters.look(BEN, STORE, NOW_MS)).fill_permit, [], NOW_MS)
    assert (await two.rosters.look(BEN, STORE, NOW_MS)).rows == []


async def test_a_change_ends_it_and_whatever_was_being_written(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Who read the store before the change must not write what it was after it; and everybody is told."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert await two.bus.subscribe(["conversation:c1", "user:ann"])
    old = (await two.rosters.look(BEN, STORE, NOW_MS)).fill_permit
    await filled(one, row(C))
    one.bus.publish_change(PublishedChange(C, 3, 2, ENVELOPE, [ANN, BEN], STORE))
    await eventually(lambda: len(two.ears.envelopes) == 2)
    assert [channel for channel, _ in two.ears.envelopes] == ["conversation:c1", "user:ann"]
    assert all(envelope.startswith(ENVELOPE[:-1]) for _, envelope in two.ears.envelopes)
    assert (await two.rosters.look(ANN, STORE, NOW_MS)).rows is None
    assert not await two.rosters.fill(BEN, STORE, old, [row(C)], NOW_MS)
    assert (await two.rosters.look(BEN, STORE, NOW_MS)).rows is None


async def test_it_follows_what_is_published(redis_server: RedisServer, new_node: NewNode) -> None:
    """Messages and changes of a conversation move all its members' rosters, without writing one of them."""
    one = await new_node("one").start()
    proof = (await filled(one, row(C), row(D))).proof
    one.bus.publish_commit(PublishedCommit(C, 6, [b"m6", b"m7"], ENVELOPE, STORE))
    one.bus.publish_commit(PublishedCommit(C, 4, [b"m4"], ENVELOPE, STORE))
    one.bus.publish_change(PublishedChange(C, 4, 101, ENVELOPE, [BEN], STORE))

    async def has_followed() -> bool:
        rows = (await one.rosters.look(ANN, STORE, NOW_MS)).rows or []
        return {r.membership.conversation_id: r for r in rows} == {C: row(C, tail=7, revision=4, count=101), D: row(D)}

    await eventually(has_followed)
    assert await one.rosters.tails([C, D], STORE, proof) == {C: 7, D: 5}


async def test_what_was_published_outlives_every_roster_of_before(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A roster knows of nothing later than itself: what came since must not be forgotten before it."""
    one = await new_node("one").start()
    await filled(one, row(C))
    one.bus.publish_commit(PublishedCommit(C, 6, [b"m6"], ENVELOPE, STORE))
    await eventually(lambda: one.bus.pipeline.counters.sent >= 2)

    async def is_kept() -> bool:
        return bool(await redis_admin.pttl("head:c1") > await redis_admin.pttl("member:ann") + 60_000)

    await eventually(is_kept)


async def test_what_redis_evicted_is_not_taken_for_nothing(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """`volatile-lru` is ElastiCache's default: a head that is missing may have been one that moved."""
    one = await new_node("one").start()
    proof = (await filled(one, row(C), row(D))).proof
    await redis_admin.delete("head:c2")
    assert await one.rosters.tails([C, D], STORE, proof) is None
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None
    await filled(one, row(C), row(D))
    await redis_admin.delete("head:c1")
    one.bus.publish_change(PublishedChange(C, 4, 2, ENVELOPE, [], STORE))
    await one.bus.pipeline.ask("PING")
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None
    await filled(one, row(C), row(D))
    await redis_admin.delete("registry:era")
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None


async def test_a_leave_lasts_a_minute(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """A later writer has read the store too long ago; a caller that asks for a permit meanwhile gets the same one, as long as it
    is young."""
    one, two = await new_node("one").start(), await new_node("two").start()
    permit = (await one.rosters.look(ANN, STORE, NOW_MS)).fill_permit
    assert (await two.rosters.look(ANN, STORE, NOW_MS)).fill_permit == permit
    proof, given, random = permit.rsplit("|", 2)
    for age_ms, is_given_again in ((20_000, True), (40_000, False)):
        older = f"{proof}|{int(given) - age_ms}|{random}"
        await redis_admin.hset("member:ann", ".filling", older)
        assert ((await two.rosters.look(ANN, STORE, NOW_MS)).fill_permit == older) is is_given_again
    for age_ms, is_taken in ((40_000, True), (70_000, False)):
        older = f"{proof}|{int(given) - age_ms}|{random}"
        await redis_admin.hset("member:ann", ".filling", older)
        assert await one.rosters.fill(ANN, STORE, older, [row(C)], NOW_MS) is is_taken
        await redis_admin.delete("member:ann")


async def test_a_cursor_is_not_told_while_it_is_being_written(redis_server: RedisServer, new_node: NewNode) -> None:
    """An instance that dies between the store and Redis leaves it unknown, never too low."""
    one, two = await new_node("one").start(), await new_node("two").start()
    await filled(one, row(C), row(D))
    dying = await two.rosters.begin_reads(C, [ANN])
    assert await cursors(one) == {C: None, D: 3}
    writing = await one.rosters.begin_reads(C, [ANN])
    one.rosters.end_reads(writing, C, {ANN: 5}, STORE)

    async def is_known(cursor: int | None) -> bool:
        return await cursors(one) == {C: cursor, D: 3}

    await eventually(lambda: is_known(None))
    two.rosters.end_reads(dying, C, {ANN: 4}, STORE)
    await eventually(lambda: is_known(5))


async def cursors(one: RedisNode) -> dict[str, int | None]:
    """Ann's, as Redis remembers them."""
    rows = (await one.rosters.look(ANN, STORE, NOW_MS)).rows
    assert rows is not None
    return {r.membership.conversation_id: r.last_read_seq for r in rows}


async def test_a_cursor_that_moves_while_a_roster_is_written_ends_the_writing(
    redis_server: RedisServer, new_node: NewNode
) -> None:
    """The writer may have read the store before."""
    one = await new_node("one").start()
    permit = (await one.rosters.look(ANN, STORE, NOW_MS)).fill_permit
    name = await one.rosters.begin_reads(C, [ANN])
    assert not await one.rosters.fill(ANN, STORE, permit, [row(C)], NOW_MS)
    permit = (await one.rosters.look(ANN, STORE, NOW_MS)).fill_permit
    assert await one.rosters.fill(ANN, STORE, permit, [row(C)], NOW_MS)
    assert await cursors(one) == {C: None}
    one.rosters.end_reads(name, C, {ANN: 9}, STORE)
    await eventually(lambda: _is(one, 9))


async def test_nor_may_who_read_it_while_it_was_written(redis_server: RedisServer, new_node: NewNode) -> None:
    """Asked for a permit after the writing began, read the store before it was done, and wrote the roster after."""
    one = await new_node("one").start()
    name = await one.rosters.begin_reads(C, [ANN])
    permit = (await one.rosters.look(ANN, STORE, NOW_MS)).fill_permit
    one.rosters.end_reads(name, C, {ANN: 9}, STORE)
    await one.bus.pipeline.ask("PING")
    assert not await one.rosters.fill(ANN, STORE, permit, [row(C)], NOW_MS)
    permit = (await one.rosters.look(ANN, STORE, NOW_MS)).fill_permit
    assert await one.rosters.fill(ANN, STORE, permit, [row(C, cursor=9)], NOW_MS)


async def _is(one: RedisNode, cursor: int) -> bool:
    return await cursors(one) == {C: cursor}


async def _is_unknown(one: RedisNode) -> bool:
    return (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None


async def test_it_is_believed_of_one_redis_one_store_and_one_era(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Changes lost with a flush, a restored store, or with writes that never came, would be missing in it for ever."""
    one = await new_node("one").start()
    proof = (await filled(one, row(C))).proof
    one.bus.publish_commit(PublishedCommit(C, 9, [b"m9"], ENVELOPE, "store-2"))
    await eventually(partial(_is_unknown, one))
    await filled(one, row(C))
    assert (await one.rosters.look(ANN, "store-2", NOW_MS)).rows is None
    proof = (await filled(one, row(C))).proof
    permit = (await one.rosters.look(BEN, STORE, NOW_MS)).fill_permit
    await one.rosters.new_era()
    assert await one.rosters.tails([C], STORE, proof) is None
    assert not await one.rosters.fill(BEN, STORE, permit, [], NOW_MS)
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None
    proof = (await filled(one, row(C))).proof
    await redis_admin.flushall()
    assert await one.rosters.tails([C], STORE, proof) is None
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None


async def test_a_redis_that_came_back_from_its_snapshot_is_not_believed(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Changes since the snapshot are missing in it, and nothing in the keys tells."""
    one = await new_node("one").start()
    await filled(one, row(C))
    kept = await redis_admin.hgetall("member:ann")
    era = await redis_admin.get("registry:era")
    redis_server.kill()
    await redis_server.start()
    await redis_admin.hset("member:ann", mapping=kept)
    await redis_admin.set("registry:era", str(era))

    await eventually(partial(_is_unknown, one))


async def test_a_redis_that_was_a_replica_in_between_is_not_believed(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Failed over and back: the process is the same, and what the other was told is missing in it."""
    one = await new_node("one").start()
    await filled(one, row(C))
    await redis_admin.replicaof("127.0.0.1", str(redis_server.port))
    await redis_admin.replicaof("NO", "ONE")

    await eventually(partial(_is_unknown, one))


async def test_what_could_not_be_written_is_counted(redis_server: RedisServer, new_node: NewNode) -> None:
    """It is the sign for a new era."""
    one = await new_node("one").start()
    await filled(one, row(C))
    await one.rosters.begin_reads(C, [ANN])
    assert one.rosters.losses == 0
    redis_server.kill()
    await one.rosters.begin_reads(C, [ANN])
    assert one.rosters.losses > 0


async def test_what_somebody_else_wrote_there_is_no_roster(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Strictly read: the store is asked instead."""
    one = await new_node("one").start()
    for field, value in ((C, "x y z"), (C, ""), ("a/x", "1 1 1 1 1 1"), (C, "1 1 1 1 1")):
        await redis_admin.delete("member:ann")
        await filled(one, row(D))
        await redis_admin.hset("member:ann", field, value)
        assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None


@pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)  # it is about the time that calls take
async def test_thousands_who_come_back_at_once_wait_their_turn(redis_server: RedisServer, new_node: NewNode) -> None:
    """They must not queue for a connection against its deadline: Redis would seem to be away."""
    one = await new_node("one").start()
    await filled(one, *(row(f"c{number}") for number in range(50)))
    found = await asyncio.gather(*(one.rosters.look(ANN, STORE, NOW_MS) for _ in range(3_000)))
    assert all(look.rows is not None and len(look.rows) == 50 for look in found)
    assert one.watch.failures == []


async def test_rows_of_another_version_are_not_read(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """During a rolling upgrade both kinds of instances are up: an older one fails on a row with more numbers than it knows."""
    one = await new_node("one").start()
    proof = (await filled(one, row(C))).proof
    earlier = proof.partition("|")[2]
    await redis_admin.hset("member:ann", mapping={C: "1 2 5 1700000000000 2 3", ".proof": earlier})
    assert (await one.rosters.look(ANN, STORE, NOW_MS)).rows is None
    assert not await redis_admin.hexists("member:ann", C)
