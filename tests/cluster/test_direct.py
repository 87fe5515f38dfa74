"""The conversation of two users, opened from both sides."""

import asyncio

from holdfast.domain.conversations import direct_id
from holdfast.domain.ids import UserId, is_id
from support.chatting import Chatter, Rest
from support.instances import Instances


async def test_two_users_who_create_the_same_conversation_at_once_get_one(instances: Instances) -> None:
    """Its members decide, not which of them asked first."""
    a, b = await instances.start("instance-1", "instance-2")
    async with Rest(a, "alice") as alice, Rest(b, "bob") as bob:
        for number in range(5):
            wish = {"conversation_id": f"pair-{number}"}
            answers = await asyncio.gather(
                alice.post("/api/conversations", json={**wish, "members": ["bob"]}),
                bob.post("/api/conversations", json={**wish, "members": ["alice"]}),
            )
            assert sorted(answer.status_code for answer in answers) == [200, 201]
            assert (await bob.post("/api/conversations", json={**wish, "members": ["alice"]})).status_code == 200
            other = await bob.post("/api/conversations", json={**wish, "members": ["alice", "carol"]})
            assert (other.status_code, other.json()["code"]) == (409, "conversation_exists")


async def test_direct_conversation_is_the_same_from_both_sides(instances: Instances) -> None:
    """However often, and at the same time; both are told of it."""
    a, b = await instances.start("instance-1", "instance-2")
    async with Chatter(a, "alice") as device, Rest(a, "alice") as alice, Rest(b, "bob") as bob:
        answers = await asyncio.gather(
            *(rest.put(f"/api/conversations/direct/{other}") for rest, other in ((alice, "bob"), (bob, "alice")) * 5)
        )
        assert sorted(answer.status_code for answer in answers) == [*[200] * 9, 201]
        (c,) = {answer.json()["conversation_id"] for answer in answers}
        assert c == direct_id(UserId("bob"), UserId("alice"))
        await device.receive("conversation", conversation_id=c, event="created")
        assert len([frame for frame in device.frames if frame["type"] == "conversation"]) == 1
        assert (await bob.put(f"/api/conversations/{c}/members/carol")).json()["code"] == "forbidden"
        for wrong, code in (("alice", "invalid_request"), ("__x__", "invalid_request"), ("x" * 129, "invalid_request")):
            assert (await alice.put(f"/api/conversations/direct/{wrong}")).json()["code"] == code


async def test_user_who_left_a_direct_conversation_is_in_it_again(instances: Instances) -> None:
    """From either side; messages of the time between are history."""
    (a,) = await instances.start("instance-1")
    async with Rest(a, "alice") as alice, Rest(a, "bob") as bob:
        c = (await alice.put("/api/conversations/direct/bob")).json()["conversation_id"]
        for number, rest in enumerate((alice, bob)):
            assert (await bob.delete(f"/api/conversations/{c}/members/bob")).status_code == 204
            message = {"client_message_id": f"k{number}", "body": "hello?"}
            assert (await alice.post(f"/api/conversations/{c}/messages", json=message)).status_code == 201
            opened = await rest.put(f"/api/conversations/direct/{'bob' if rest is alice else 'alice'}")
            assert (opened.status_code, sorted(opened.json()["members"])) == (200, ["alice", "bob"])
        view = (await bob.get(f"/api/conversations/{c}")).json()
        assert (view["joined_seq"], view["unread_count"]) == (2, 0)


async def test_id_of_a_direct_conversation_cannot_be_taken_by_others(instances: Instances) -> None:
    """It can be computed from the names."""
    (a,) = await instances.start("instance-1")
    c = direct_id(UserId("alice"), UserId("bob"))
    async with Rest(a, "mallory") as mallory, Rest(a, "alice") as alice:
        for members in ([], ["alice"], ["alice", "bob"]):
            refused = await mallory.post("/api/conversations", json={"members": members, "conversation_id": c})
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
        assert (await alice.post("/api/conversations", json={"members": ["bob"], "conversation_id": c})).status_code == 201
        assert (await alice.put("/api/conversations/direct/bob")).status_code == 200


def test_direct_ids_are_ids_of_bounded_length() -> None:
    """Whatever the names are."""
    long, other = UserId("x" * 128), UserId("y" * 128)
    assert is_id(direct_id(long, other))
    assert len(direct_id(long, other)) == 47
    assert direct_id(UserId("a"), UserId("bc")) != direct_id(UserId("ab"), UserId("c"))
