"""The most ordinary moments: a conversation's first message, a new member's, that of a member who was removed and added again."""

import pytest

from support.chatting import Chatter, Rest, new_conversation
from support.devices import Device
from support.eventually import eventually
from support.fixtures_cluster import Pair
from support.instances import Instances
from support.redis_server import RedisServer
from support.rounds import Rounds

UNPACED = {
    "HOLDFAST_LIMITS__SENDS_PER_SECOND": "0",
    "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0",
    "HOLDFAST_LIMITS__CREATES_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__ADDS_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__CONVERSATIONS_PER_USER": "5000",
    "HOLDFAST_LIMITS__CONVERSATIONS_BY_OTHERS": "5000",
    "HOLDFAST_LIMITS__CONVERSATIONS_BY_ONE_OTHER": "5000",
}
USERS = [f"user-{number}" for number in range(6)]


async def play(instances: Instances, rounds: int, *, redis: RedisServer | None = None) -> None:
    """Rounds one by one, then several at once, on three instances; `redis` is killed before the first one."""
    serving = await instances.start("one", "two", "three", **UNPACED)
    async with Rounds(serving, USERS, within_seconds=20) as played:
        if redis is not None:
            redis.kill()
        alone = min(3, rounds // 2)
        await played.play(0, alone, at_once=1)
        await played.play(alone, rounds - alone, at_once=5)
    assert not played.missed, f"{len(played.missed)} of {played.looked}: {played.missed[:5]}"


async def test_the_first_message_reaches_every_connected_member(instances: Instances) -> None:
    """Delivery starts where membership starts, and not where the recipient's instance happened to look first."""
    await play(instances, 12)


async def test_the_first_message_reaches_every_connected_member_without_redis(instances: Instances, redis7: RedisServer) -> None:
    """The slow path tells of new conversations and members, too."""
    await play(instances, 4, redis=redis7)


@pytest.mark.endurance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("has_redis", [True, False], ids=["with Redis", "without Redis"])
async def test_five_hundred_first_messages_of_each_kind_reach_every_member(
    instances: Instances, redis7: RedisServer, *, has_redis: bool
) -> None:
    """A message that one in ten recipients missed has to be looked for often."""
    await play(instances, 500, redis=None if has_redis else redis7)


@pytest.mark.parametrize("is_local", [True, False], ids=["creator connected there", "no member connected there"])
async def test_a_conversation_read_before_its_channel_was_subscribed_is_read_again(pair: Pair, *, is_local: bool) -> None:
    """An instance that created a conversation learns of the members that were changed elsewhere while it did not listen."""
    here, there = pair.both
    async with Rest(here, "maker") as maker:
        c = await new_conversation(here, "maker", "ann", "bob")
        async with Rest(there, "maker") as elsewhere:
            assert (await elsewhere.put(f"/api/conversations/{c}/members/cyd")).status_code == 201
            assert (await elsewhere.delete(f"/api/conversations/{c}/members/bob")).status_code == 204
        user = "maker" if is_local else "ann"
        async with Chatter(here, user), Chatter(here, "cyd") as cyd, Chatter(here, "bob") as bob:
            answer = await cyd.say(c, "I am a member")
            assert answer["type"] == "ack", answer
            await cyd.receive("message", body="I am a member")

            async def is_refused() -> bool:
                answer = await bob.say(c, "I am none")
                async with Rest(here, "bob") as rest:
                    page = await rest.get(f"/api/conversations/{c}/messages")
                return (answer.get("code"), page.status_code) == ("conversation_not_found", 404)

            await eventually(is_refused, within=3)  # a removal is effective within a second
        assert (await maker.get(f"/api/conversations/{c}/messages")).status_code == 200


async def test_a_new_member_has_not_read_the_history_before_the_addition(pair: Pair) -> None:
    """It counts as read for the new member's own list, and no other member is told that the new member has read it."""
    here, _ = pair.both
    c = await new_conversation(here, "maker", "ann")
    async with Chatter(here, "maker") as maker, Chatter(here, "ann") as ann, Rest(here, "maker") as rest:
        await maker.say(c, "before")
        await ann.ask(type="read", conversation_id=c, message_id="000000000001")
        added = await rest.put(f"/api/conversations/{c}/members/bob")
        assert added.status_code == 201
        await maker.say(c, "after")
        async with Chatter(here, "bob") as bob:
            await bob.ask(type="read", conversation_id=c, message_id="000000000002")
        page = (await rest.get(f"/api/conversations/{c}/messages?after_seq=0")).json()
        assert [message["read_by"] for message in page["messages"]] == [["ann"], ["bob"]]


async def test_a_member_added_again_while_away_is_shown_what_follows(instances: Instances) -> None:
    """A client without a cursor for the conversation starts where its membership starts, not at the first message."""
    here, there = await instances.start("here", "there")
    c = await new_conversation(here, "maker", "ann")
    async with Chatter(here, "maker") as maker, Rest(there, "maker") as rest:
        for body in ("one", "two", "three"):
            await maker.say(c, body)
        assert (await rest.delete(f"/api/conversations/{c}/members/ann")).status_code == 204
        await maker.say(c, "four")
        assert (await rest.put(f"/api/conversations/{c}/members/ann")).status_code == 201
        await maker.say(c, "five")
        for instance in (here, there):
            for cursors, shown in (({}, [5]), ({c: 2}, [3, 4, 5])):  # a cursor that is given wins: history stays visible
                ann = Device("ann")
                ann.cursors = dict(cursors)
                await ann.connect(instance)
                await ann.leave()
                assert (ann.seqs(c), ann.cursors) == (shown, {c: 5})
