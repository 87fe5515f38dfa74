"""A user who is added to a conversation by an unknown user stays hidden from that user until the added user reads or writes
there."""

from functools import partial

from support.chatting import Chatter, Frame, Rest, new_conversation
from support.eventually import eventually
from support.hostile import assert_problem
from support.instances import Instances, Serving

GRACE = {"HOLDFAST_PRESENCE__GRACE_SECONDS": "2"}


def presences(chatter: Chatter) -> list[tuple[str, bool]]:
    """What a device was told."""
    return [(frame["user_id"], frame["online"]) for frame in chatter.frames if frame["type"] == "presence"]


async def sees(asker: Rest, user_id: str) -> bool:
    """Whether the asker is answered about the user's presence."""
    return (await asker.get(f"/api/users/{user_id}/presence")).status_code == 200


async def is_offline(instance: Serving, user_id: str) -> bool:
    """As an administrator is told."""
    async with Rest(instance, "operator", is_admin=True) as operator:
        return (await operator.get(f"/api/users/{user_id}/presence")).json()["online"] is False


async def shows_online(asker: Rest, conversation_id: str, user_id: str) -> bool:
    """Whether the conversation's detail has the member's presence."""
    members: list[Frame] = (await asker.get(f"/api/conversations/{conversation_id}")).json()["members"]
    return "online" in next(member for member in members if member["user_id"] == user_id)


async def test_victim_is_hidden_until_the_first_read_and_then_both_hear_at_once(sqlite_instances: Instances) -> None:
    """Also a member who was added later, when there were messages: being added makes no user visible."""
    here, there = await sqlite_instances.start("one", "two", **GRACE)
    c = await new_conversation(here, "mallory", "carl")
    async with Rest(here, "mallory") as mallory, Rest(there, "victim") as victim, Chatter(here, "mallory") as watching:
        ack = await watching.say(c, "hello")
        assert (await mallory.put(f"/api/conversations/{c}/members/victim")).status_code == 201
        async with Chatter(there, "victim") as added:
            first = (await watching.say(c, "are you there?"))["message_id"]
            assert (await added.receive("message", body="are you there?"))["message_id"] == first
        # The victim's grace ends and begins anew: no notice is sent.
        await eventually(partial(is_offline, here, "victim"), within=15)
        async with Chatter(there, "victim") as added:
            assert_problem(await mallory.get("/api/users/victim/presence"), "user_not_found")
            assert_problem(await victim.get("/api/users/mallory/presence"), "user_not_found")
            assert not await shows_online(mallory, c, "victim")
            assert not await shows_online(victim, c, "mallory")
            assert (await victim.get("/api/users/victim/presence")).json()["online"] is True
            await watching.say(c, "still nothing?")
            await added.receive("message", body="still nothing?")
            assert presences(watching) == presences(added) == []
            assert (await added.ask(type="read", conversation_id=c, message_id=ack["message_id"]))["type"] == "ok"
            assert (await watching.receive("presence", user_id="victim"))["online"] is True
            assert (await added.receive("presence", user_id="mallory"))["online"] is True
            assert await sees(mallory, "victim")
            assert await sees(victim, "mallory")
            assert await shows_online(mallory, c, "victim")
            assert await shows_online(victim, c, "mallory")
        assert (await watching.receive("presence", within=15, user_id="victim", online=False))["online"] is False


async def test_message_by_rest_counts_and_an_administrators_in_the_users_name_does_not(instances: Instances) -> None:
    """The message lies behind one that its sender has not read; it is the sender's all the same."""
    here, there = await instances.start("one", "two")
    c = await new_conversation(here, "ann", "ben")
    async with (
        Rest(there, "ann") as ann,
        Rest(here, "ben") as ben,
        Rest(here, "operator", is_admin=True) as operator,
        Chatter(here, "ann") as watching,
        Chatter(there, "ben") as writing,
    ):
        await watching.say(c, "hello")
        body = {"client_message_id": "m", "body": "not by ben", "sender": "ben"}
        assert (await operator.post(f"/api/conversations/{c}/messages", json=body)).status_code in (200, 201)
        await writing.receive("message", body="not by ben")
        assert_problem(await ann.get("/api/users/ben/presence"), "user_not_found")
        body = {"client_message_id": "own", "body": "by ben"}
        assert (await ben.post(f"/api/conversations/{c}/messages", json=body)).status_code in (200, 201)
        assert (await watching.receive("presence", user_id="ben"))["online"] is True
        assert (await writing.receive("presence", user_id="ann"))["online"] is True
        await eventually(partial(sees, ann, "ben"))
        summary = (await ben.get(f"/api/conversations/{c}")).json()
        assert (summary["last_read_seq"], summary["unread_count"]) == (0, 3)
