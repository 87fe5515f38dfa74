"""With a bus secret the conversation list of a user counts only as an instance signed it: a program that may write in Redis
decides neither the members of a conversation nor its end."""

from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from holdfast.domain.conversations import Membership, RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, UserId
from holdfast.ports import PublishedChange, PublishedCommit
from holdfast.protocol.seals import Seals
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

SECRET, OTHER = "the-secret-of-the-bus-of-32-bytes", "another-secret-that-has-32-bytes!"
ANN, BEN = UserId("ann"), UserId("ben")
C, D = ConversationId("c1"), ConversationId("c2")
STORE = "store-1"
NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000
ENVELOPE = b'{"v":1,"kind":"conversation","c":"c1"}'


def row(conversation_id: ConversationId, *, tail: int = 5, cursor: int | None = 3, revision: int = 2) -> RosterRow:
    """A row of a list."""
    return RosterRow(Membership(conversation_id, 1, revision, tail, NOW_MS, 2), cursor)


async def look(node: RedisNode, user_id: UserId = ANN, now_ms: int = NOW_MS) -> RosterLook:
    """The answer of Redis about the user."""
    return await node.rosters.look(user_id, STORE, now_ms)


async def fill(node: RedisNode, *rows: RosterRow, user_id: UserId = ANN) -> None:
    """The node writes the user's list."""
    assert await node.rosters.fill(user_id, STORE, (await look(node, user_id)).fill_permit, rows, NOW_MS)


async def done(node: RedisNode) -> None:
    """Everything that the node queued has reached Redis."""
    await node.bus.pipeline.ask("PING")


async def heals(node: RedisNode, *rows: RosterRow) -> None:
    """The forged value is gone: the list is written as soon as a permit is younger than the removal, and is believed."""
    await done(node)

    async def is_written() -> bool:
        return await node.rosters.fill(ANN, STORE, (await look(node)).fill_permit, rows, NOW_MS)

    await eventually(is_written)
    found = (await look(node)).rows
    assert found is not None
    assert sorted(found, key=lambda each: each.membership.conversation_id) == list(rows)


async def sent_bytes(redis: Redis) -> int:
    """The bytes that Redis has sent to all its clients; the simulated one does not count them."""
    return int((await redis.info("stats")).get("total_net_output_bytes", 0))


@dataclass
class Scene:
    """Two instances that sign, the lists of ann (two conversations) and ben (one), and what an attacker has: all of Redis."""

    one: RedisNode
    two: RedisNode
    attacker: Redis

    async def is_refused(self) -> bool:
        """Whether the second instance asks the store about ann; it is counted once, and what it did not believe is gone."""
        before = self.two.bus.counters.unsigned
        found = await look(self.two)
        await done(self.two)
        assert self.two.watch.unread == []
        return found == RosterLook(None) and self.two.bus.counters.unsigned == before + 1


@pytest.fixture
async def scene(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> Scene:
    """Everything written by the first instance."""
    one, two = [await new_node(name, seals=Seals(SECRET)).start() for name in ("one", "two")]
    await fill(one, row(C), row(D))
    await fill(one, row(C), user_id=BEN)
    return Scene(one, two, redis_admin)


async def test_list_that_another_instance_signed_is_believed_with_all_that_followed(scene: Scene) -> None:
    """A user who reconnects costs the store no read; messages, changes and read cursors are in it."""
    scene.one.bus.publish_commit(PublishedCommit(C, 6, [b"m6", b"m7"], ENVELOPE, STORE))
    scene.one.bus.publish_change(PublishedChange(D, 3, 9, ENVELOPE, [], STORE))
    for cursor in (4, 6, 5):
        name = await scene.one.rosters.begin_reads(C, [ANN, BEN])
        scene.one.rosters.end_reads(name, C, {ANN: cursor, BEN: 1}, STORE)
    await done(scene.one)
    found = await look(scene.two)
    changed = RosterRow(Membership(D, 1, 3, 5, NOW_MS, 9), 3)
    assert {each.membership.conversation_id: each for each in found.rows or ()} == {C: row(C, tail=7, cursor=6), D: changed}
    assert (await look(scene.two, BEN)).rows == [row(C, tail=7)]
    assert await scene.two.rosters.tails([C, D], STORE, found.proof) == {C: 7, D: 5}
    assert scene.two.bus.counters.unsigned == 0


@pytest.mark.parametrize(
    "way",
    ["row added", "row left out", "row changed", "row of another", "whole list of another", "unsigned", "empty", "no stamp"],
)
async def test_list_that_no_instance_wrote_for_the_user_is_not_believed(scene: Scene, way: str) -> None:
    """The user would be shown a foreign conversation, or would not be shown an own one."""
    member = "member:ann"
    genuine, bens = await scene.attacker.hgetall(member), await scene.attacker.hgetall("member:ben")
    if way == "row added":
        await scene.attacker.hset(member, "c3", genuine[C])
        await scene.attacker.hset("head:c3", mapping=await scene.attacker.hgetall("head:c1"))
    elif way == "row left out":
        await scene.attacker.hdel(member, D)
    elif way == "row changed":
        await scene.attacker.hset(member, C, genuine[C].replace("1 2 5", "1 2 4"))
    elif way == "row of another":
        await fill(scene.one, row(C, cursor=4), user_id=UserId("eve"))
        await scene.attacker.hset(member, C, str(await scene.attacker.hget("member:eve", C)))
    elif way == "whole list of another":
        await scene.attacker.delete(member)
        await scene.attacker.hset(member, mapping=bens)
    elif way == "unsigned":
        await scene.attacker.hset(member, ".signed", f"{NOW_MS + MINUTE_MS} ")
    elif way == "empty":
        await scene.attacker.hdel(member, C, D)
    else:
        await scene.attacker.hdel(member, ".signed")
    assert await scene.is_refused()
    assert await scene.attacker.exists(member) == 0
    await heals(scene.two, row(C), row(D))


@pytest.mark.parametrize("way", ["rows in the proof", "of the future", "of another layout", "more behind it", "too long"])
async def test_permit_that_no_instance_gave_is_not_used(scene: Scene, way: str) -> None:
    """What an instance signs would be chosen by the program that writes the permit."""
    await scene.attacker.hdel("member:ann", ".proof")
    genuine = (await look(scene.one)).fill_permit
    proof, given, digits = genuine.rsplit("|", 2)
    forged = {
        "rows in the proof": f"{proof}\nsecret-conv 1 9 900 1700000000000 3 0 0|{given}|abcdef",
        "of the future": f"{proof}|{int(given) + MINUTE_MS}|{digits}",
        "of another layout": f"2~other{proof[proof.index('|') :]}|{given}|{digits}",
        "more behind it": f"{genuine}|{given}|{digits}",
        "too long": f"{genuine}{'0' * 2_000}",
    }[way]
    await scene.attacker.hset("member:ann", ".filling", forged)
    assert not await scene.one.rosters.fill(ANN, STORE, forged, [row(C)], NOW_MS)
    await scene.attacker.hset("member:ann", ".filling", forged)
    permit = (await look(scene.one)).fill_permit
    assert permit.startswith(f"{proof}|")
    assert permit != forged
    await heals(scene.two, row(C), row(D))


async def test_row_that_was_put_into_the_permit_is_not_signed(scene: Scene) -> None:
    """The user would be let into a foreign conversation, and stay there: its row says a revision that is never reached."""
    secret = "1 9 900 1700000000000 3 0 0"
    proof = str(await scene.attacker.hget("member:ann", ".proof"))
    now_ms = int(float((await scene.attacker.time())[0]) * 1_000)
    await scene.attacker.hdel("member:ann", ".proof")
    await scene.attacker.hset("member:ann", ".filling", f"{proof}\na3 {secret}|{now_ms}|abcdef")
    await scene.one.rosters.fill(ANN, STORE, (await look(scene.one)).fill_permit, [row(C), row(D)], NOW_MS)
    await scene.attacker.hset("member:ann", "a3", secret)
    await scene.attacker.hset("head:a3", mapping={"generation": STORE, "seq": "900", "revision": "9"})
    assert "a3" not in {each.membership.conversation_id for each in (await look(scene.two)).rows or ()}


async def test_list_counts_from_when_its_permit_was_given(scene: Scene) -> None:
    """A permit that is put back would make an older reading of the store count longer."""
    seconds, micros = await scene.attacker.time()
    now_ms = int(seconds) * 1_000 + int(micros) // 1_000
    await scene.attacker.delete("member:ann")
    permit = (await look(scene.one)).fill_permit
    given = int(permit.rsplit("|", 2)[1])
    assert await scene.one.rosters.fill(ANN, STORE, permit, [row(C)], now_ms + MINUTE_MS // 2)
    until = str(await scene.attacker.hget("member:ann", ".signed")).partition(" ")[0]
    assert int(until) <= given + 10 * MINUTE_MS + 10_000


@pytest.mark.parametrize("field", [C, "c3", ".signed", ".proof", ".filling", "?name", "x" * 2_000_000])
async def test_list_with_a_value_of_megabytes_does_not_leave_redis(scene: Scene, field: str) -> None:
    """Each user who connects would have it sent to an instance."""
    await scene.attacker.hset("member:ann", field, "1" * 2_000_000)
    before = await sent_bytes(scene.attacker)
    assert (await look(scene.two)).fill_permit
    assert await sent_bytes(scene.attacker) - before < 100_000
    assert await scene.attacker.hkeys("member:ann") == [".filling"]
    await heals(scene.two, row(C), row(D))


@pytest.mark.parametrize("field", ["seq", "seq_stamp", "revision", "revision_stamp", "members"])
@pytest.mark.parametrize("question", ["look", "tails"])
async def test_head_with_a_value_of_megabytes_does_not_leave_redis(scene: Scene, field: str, question: str) -> None:
    """Each user who connects would have it sent to an instance."""
    proof = (await look(scene.two)).proof
    await scene.attacker.hset("head:c1", field, "1" * 2_000_000)
    before = await sent_bytes(scene.attacker)
    if question == "look":
        assert (await look(scene.two)).fill_permit
    elif field.startswith("seq"):
        assert await scene.two.rosters.tails([C, D], STORE, proof) is None
    assert await sent_bytes(scene.attacker) - before < 100_000
    await heals(scene.two, row(C), row(D))


async def test_list_of_a_member_who_was_removed_counts_for_ten_minutes_at_most(scene: Scene) -> None:
    """A copy of a genuine list is all that an attacker has; and its time is signed, too."""
    copy = await scene.attacker.hgetall("member:ann")
    scene.one.bus.publish_change(PublishedChange(C, 3, 1, ENVELOPE, [ANN], STORE))
    await done(scene.one)
    await scene.attacker.hset("member:ann", mapping=copy)
    assert (await look(scene.two, now_ms=NOW_MS + 9 * MINUTE_MS)).rows
    until, _, stamp = copy[".signed"].partition(" ")
    for later in (copy[".signed"], f"{int(until) + MINUTE_MS} {stamp}"):
        await scene.attacker.hset("member:ann", mapping=copy | {".signed": later})
        assert (await look(scene.two, now_ms=NOW_MS + 11 * MINUTE_MS)) == RosterLook(None)
        await done(scene.two)


@pytest.mark.parametrize("other", ["generation", "era"])
async def test_list_of_another_store_or_era_is_not_believed_under_the_present_token(scene: Scene, other: str) -> None:
    """Its messages were lost with the store, or changes of members are missing in it."""
    copy = await scene.attacker.hgetall("member:ann")
    now = copy[".proof"].replace(STORE, "store-2")
    if other == "era":
        await scene.one.rosters.new_era()
        now = (await look(scene.one)).fill_permit.rsplit("|", 2)[0]
    await scene.attacker.hset("member:ann", mapping=copy | {".proof": now})
    generation = STORE if other == "era" else "store-2"
    for head in ("head:c1", "head:c2"):
        await scene.attacker.hset(head, "generation", generation)
    assert (await scene.two.rosters.look(ANN, generation, NOW_MS)) == RosterLook(None)
    assert scene.two.bus.counters.unsigned == 1


@pytest.mark.parametrize(("field", "value"), [("seq", "99"), ("revision", "99"), ("seq_stamp", ""), ("revision_stamp", "x:y")])
async def test_head_beyond_the_list_that_no_instance_published_is_not_believed(scene: Scene, field: str, value: str) -> None:
    """Clients would wait for messages that do not exist, or would not notice that they were removed."""
    scene.one.bus.publish_commit(PublishedCommit(C, 6, [b"m6"], ENVELOPE, STORE))
    scene.one.bus.publish_change(PublishedChange(C, 4, 2, ENVELOPE, [], STORE))
    await done(scene.one)
    await scene.attacker.hset("head:c1", field, value)
    assert await scene.is_refused()
    assert await scene.attacker.hkeys("head:c1") == ["generation", "forgotten"]
    await heals(scene.two, row(C, tail=6, revision=4), row(D))


@pytest.mark.parametrize("members", ["3", "many"])
async def test_number_of_members_that_no_instance_published_is_not_believed(scene: Scene, members: str) -> None:
    """It is signed with the revision that it belongs to."""
    scene.one.bus.publish_change(PublishedChange(C, 4, 2, ENVELOPE, [], STORE))
    await done(scene.one)
    await scene.attacker.hset("head:c1", "members", members)
    assert await scene.is_refused()
    await heals(scene.two, row(C, revision=4), row(D))


@pytest.mark.parametrize("forged", [{"seq": "99"}, {"seq": "4"}, {"seq_stamp": ""}, {"seq": "\x00"}])
async def test_tail_that_no_instance_published_is_not_believed(scene: Scene, forged: dict[str, str]) -> None:
    """Delivery would begin behind messages that do not exist."""
    proof = (await look(scene.two)).proof
    await scene.attacker.hset("head:c1", mapping=forged)
    assert await scene.two.rosters.tails([C, D], STORE, proof) is None
    assert scene.two.bus.counters.unsigned == 1
    await done(scene.two)
    assert (await look(scene.two)).fill_permit
    await heals(scene.two, row(C), row(D))


async def test_list_is_not_written_where_a_head_was_removed_since_its_permit(scene: Scene) -> None:
    """A message that was published before the removal may be missing in it: it would be late until the next one."""
    await scene.attacker.delete("member:ann")
    permit = (await look(scene.one)).fill_permit
    await scene.attacker.hset("head:c1", "seq", "99")
    scene.one.bus.publish_commit(PublishedCommit(C, 6, [b"m6"], ENVELOPE, STORE))
    await done(scene.one)
    assert (await look(scene.two, BEN)).rows is None
    await done(scene.two)
    assert not await scene.one.rosters.fill(ANN, STORE, permit, [row(C), row(D)], NOW_MS)
    await heals(scene.one, row(C, tail=6), row(D))


@pytest.mark.parametrize("way", ["higher", "without its stamp", "of another conversation"])
async def test_read_cursor_that_no_instance_wrote_is_not_believed(scene: Scene, way: str) -> None:
    """Messages that the user has not read would count as read."""
    name = await scene.one.rosters.begin_reads(C, [ANN])
    scene.one.rosters.end_reads(name, C, {ANN: 5}, STORE)
    await done(scene.one)
    texts = await scene.attacker.hgetall("member:ann")
    cursor = texts[C].split()[7:]
    if way == "higher":
        await scene.attacker.hset("member:ann", C, texts[C].removesuffix("5") + "9")
    elif way == "without its stamp":
        await scene.attacker.hset("member:ann", C, texts[C].replace(cursor[0] + " ", ""))
    else:
        await scene.attacker.hset("member:ann", D, " ".join((texts[D], *cursor)))
    assert await scene.is_refused()
    await heals(scene.two, row(C, cursor=5), row(D))


async def test_lists_are_believed_while_secrets_are_rotated(redis_server: RedisServer, new_node: NewNode) -> None:
    """A rotation costs the store no read."""
    older, newer = new_node("older", seals=Seals(OTHER, SECRET)), new_node("newer", seals=Seals(SECRET, OTHER))
    for writer, reader in ((await older.start(), await newer.start()), (newer, older)):
        await fill(writer, row(C))
        writer.bus.publish_commit(PublishedCommit(C, 6, [b"m6"], ENVELOPE, STORE))
        name = await writer.rosters.begin_reads(C, [ANN])
        writer.rosters.end_reads(name, C, {ANN: 4}, STORE)
        await done(writer)
        assert (await look(reader)).rows == [row(C, tail=6, cursor=4)]
        await reader.link.call("FLUSHALL")


async def test_lists_of_another_secret_are_not_believed(scene: Scene, new_node: NewNode) -> None:
    """A secret that is gone proves nothing."""
    evil = await new_node("evil", seals=Seals(OTHER)).start()
    await scene.attacker.delete("member:ann")
    await fill(evil, row(C), row(D))
    assert await scene.is_refused()


async def test_instances_with_and_without_a_secret_do_not_read_each_others_lists(
    redis_server: RedisServer, new_node: NewNode
) -> None:
    """While a secret is rolled out they ask the store: slower, never wrong, and nothing counts as garbage."""
    without = await new_node("without").start()
    signed = await new_node("with", seals=Seals(SECRET, may_be_unsigned=True)).start()
    for writer, reader in ((without, signed), (signed, without)):
        await fill(writer, row(C))
        permit = (await look(reader)).fill_permit
        assert permit
        assert await reader.rosters.fill(ANN, STORE, permit, [row(C)], NOW_MS)
        assert (await look(reader)).rows == [row(C)]
        assert (await look(writer)).fill_permit
    assert (signed.bus.counters.unsigned, without.watch.unread) == (0, [])


@pytest.mark.parametrize("way", ["change", "commit", "read"])
async def test_what_an_instance_without_signatures_writes_makes_a_signed_list_invalid(
    scene: Scene, new_node: NewNode, way: str
) -> None:
    """As instances of an older version do, during an upgrade: the list is never older than what happened."""
    older = await new_node("older").start()
    if way == "change":
        older.bus.publish_change(PublishedChange(C, 3, 1, ENVELOPE, [ANN], STORE))
    elif way == "commit":
        older.bus.publish_commit(PublishedCommit(C, 6, [b"m6"], ENVELOPE, STORE))
    else:
        name = await older.rosters.begin_reads(C, [ANN])
        assert [each.last_read_seq for each in (await look(scene.two)).rows or () if each.membership.conversation_id == C] == [
            None
        ]
        older.rosters.end_reads(name, C, {ANN: 5}, STORE)
    await done(older)
    assert (await look(scene.two)).rows is None


async def test_head_of_an_instance_without_signatures_stays_while_such_are_about(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Their own lists depend on it."""
    without = await new_node("without").start()
    signed = await new_node("with", seals=Seals(SECRET, may_be_unsigned=True)).start()
    await fill(signed, row(C))
    without.bus.publish_commit(PublishedCommit(C, 6, [b"m6"], ENVELOPE, STORE))
    await done(without)
    assert await look(signed) == RosterLook(None)
    await done(signed)
    assert await redis_admin.hget("head:c1", "seq") == "6"
