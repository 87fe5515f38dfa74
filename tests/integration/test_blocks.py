"""One user blocks another, at one instance; the other is bound by it at every instance."""

from functools import partial

from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.hostile import assert_problem
from support.instances import Instances


async def sees(asker: Rest, user_id: str) -> bool:
    """Whether the asker is answered about the user's presence."""
    return (await asker.get(f"/api/users/{user_id}/presence")).status_code == 200


async def test_a_blocked_user_cannot_add_the_other_at_any_instance(instances: Instances) -> None:
    """The answer is that of a full list; conversations of before go on, and a repeated creation of one is answered."""
    here, there = await instances.start("one", "two")
    shared = await new_conversation(there, "mallory", "bob", conversation_id="shared")
    own = await new_conversation(there, "mallory", "carl")
    async with Rest(here, "bob") as bob, Rest(there, "mallory") as mallory, Rest(there, "operator", is_admin=True) as operator:
        assert_problem(await bob.put("/api/blocks/bob"), "invalid_request", "user_id")
        assert_problem(await bob.put("/api/blocks/a%20b"), "invalid_request", "user_id")
        for _ in range(2):
            assert (await bob.put("/api/blocks/mallory")).status_code == 204
        assert (await bob.get("/api/blocks")).json() == {"blocks": ["mallory"]}
        assert (await mallory.get("/api/blocks")).json() == {"blocks": []}
        assert_problem(await mallory.post("/api/conversations", json={"members": ["carl", "bob"]}), "limit_reached", "members")
        assert_problem(await mallory.put(f"/api/conversations/{own}/members/bob"), "limit_reached", "members")
        again = {"members": ["bob"], "conversation_id": shared}
        assert (await mallory.post("/api/conversations", json=again)).status_code == 200
        assert (await operator.post("/api/conversations", json={"members": ["bob"]})).status_code == 201
        assert (await mallory.post("/api/conversations", json={"members": ["carl"]})).status_code == 201
        for _ in range(2):
            assert (await bob.delete("/api/blocks/mallory")).status_code == 204
        assert (await mallory.put(f"/api/conversations/{own}/members/bob")).status_code == 201


async def test_blocked_users_do_not_see_each_others_presence_and_still_hear_each_other(sqlite_instances: Instances) -> None:
    """Neither by a frame nor by REST; their common conversation goes on."""
    here, there = await sqlite_instances.start("one", "two")
    c = await new_conversation(here, "bob", "mallory", "carl")
    async with Rest(here, "bob") as bob, Rest(there, "mallory") as mallory, Rest(there, "carl") as carl:
        for rest in (mallory, carl):
            await rest.post(f"/api/conversations/{c}/messages", json={"client_message_id": "m", "body": "hello"})
            await eventually(partial(sees, rest, "bob"))
        assert (await bob.put("/api/blocks/mallory")).status_code == 204
        async with Chatter(there, "mallory") as watching, Chatter(there, "carl") as other, Chatter(here, "bob") as blocker:
            assert (await other.receive("presence", user_id="bob"))["online"] is True
            assert (await blocker.say(c, "hello"))["type"] == "ack"
            assert (await watching.receive("message", conversation_id=c))["body"] == "hello"
            assert not [frame for frame in watching.frames if frame["type"] == "presence" and frame["user_id"] == "bob"]
            for one, another in ((mallory, "bob"), (bob, "mallory")):
                assert_problem(await one.get(f"/api/users/{another}/presence"), "user_not_found")
                members = {each["user_id"]: each for each in (await one.get(f"/api/conversations/{c}")).json()["members"]}
                assert "online" not in members[another]
                assert "online" in members["carl"]
            assert (await carl.get("/api/users/bob/presence")).json()["online"] is True
