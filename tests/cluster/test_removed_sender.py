"""The answer of a send was lost, and its sender is removed before trying again."""

from support.chatting import Chatter, Rest, new_conversation
from support.instances import Instances


async def test_retry_of_a_stored_send_by_a_removed_sender_is_acknowledged(instances: Instances) -> None:
    """Over both ways, at both instances: the message is stored and shown. New sends are refused, and other users learn
    nothing."""
    one, two = await instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    path, message = f"/api/conversations/{c}/messages", {"client_message_id": "m1", "body": "hello"}
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob, Rest(one, "alice") as owner:
        assert (await bob.say(c, "hello", "m1"))["seq"] == 1
        await alice.receive("message", seq=1)
        assert (await owner.delete(f"/api/conversations/{c}/members/bob")).status_code == 204
        await bob.receive("conversation", event="member_removed")
        again = await bob.say(c, "hello", "m1")
        assert (again["type"], again["seq"], again["duplicate"]) == ("ack", 1, True)
        assert (await bob.say(c, "new", "m2"))["code"] == "conversation_not_found"
        for instance in (one, two):
            async with Rest(instance, "bob") as former, Rest(instance, "mallory") as stranger:
                answer = await former.post(path, json=message)
                assert (answer.status_code, answer.json()["seq"]) == (200, 1), answer.text
                for refused in (
                    await former.post(path, json=message | {"client_message_id": "m3"}),
                    await stranger.post(path, json=message),
                ):
                    assert (refused.status_code, refused.json()["code"]) == (404, "conversation_not_found")
        assert (await alice.say(c, "last"))["seq"] == 2
        await alice.receive("message", seq=2)
