"""The conversation of two users, opened from both sides."""

import asyncio

from holdfast.domain.conversations import direct_id
from holdfast.domain.ids import UserId, is_id
from support.chatting import Chatter, Rest
from support.fixtures_cluster import Pair


async def test_two_users_who_create_the_same_conversation_at_once_get_one(pair: Pair) -> None:
    """Its members decide, not which of them asked first."""
    a, b = pair.both
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


async def test_direct_conversation_is_the_same_from_both_sides(pair: Pair) -> None:
    """However often, and at the same time; both are told of it."""
    a, b = pair.both
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


async def test_user_who_left_a_direct_conversation_is_in_it_again(pair: Pair) -> None:
    """From either side; messages of the time between are history."""
    a, _ = pair.both
    async with Rest(a, "ann") as ann, Rest(a, "ben") as ben:
        c = (await ann.put("/api/conversations/direct/ben")).json()["conversation_id"]
        for number, rest in enumerate((ann, ben)):
            assert (await ben.delete(f"/api/conversations/{c}/members/ben")).status_code == 204
            message = {"client_message_id": f"k{number}", "body": "hello?"}
            assert (await ann.post(f"/api/conversations/{c}/messages", json=message)).status_code == 201
            opened = await rest.put(f"/api/conversations/direct/{'ben' if rest is ann else 'ann'}")
            assert (opened.status_code, sorted(opened.json()["members"])) == (200, ["ann", "ben"])
        view = (await ben.get(f"/api/conversations/{c}")).json()
        assert (view["joined_seq"], view["unread_count"]) == (2, 0)


async def test_id_of_a_direct_conversation_cannot_be_taken_by_others(pair: Pair) -> None:
    """It can be computed from the names."""
    a, _ = pair.both
    c = direct_id(UserId("cyd"), UserId("dan"))
    async with Rest(a, "mallory") as mallory, Rest(a, "cyd") as cyd:
        for members in ([], ["cyd"], ["cyd", "dan"]):
            refused = await mallory.post("/api/conversations", json={"members": members, "conversation_id": c})
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
        assert (await cyd.post("/api/conversations", json={"members": ["dan"], "conversation_id": c})).status_code == 201
        assert (await cyd.put("/api/conversations/direct/dan")).status_code == 200


def test_direct_ids_are_ids_of_bounded_length() -> None:
    """Whatever the names are."""
    long, other = UserId("x" * 128), UserId("y" * 128)
    assert is_id(direct_id(long, other))
    assert len(direct_id(long, other)) == 47
    assert direct_id(UserId("a"), UserId("bc")) != direct_id(UserId("ab"), UserId("c"))
