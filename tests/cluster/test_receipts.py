"""Receipts that users get of each other's reading, on real processes."""

from holdfast.domain.ids import message_id
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances
from support.store_view import StoreView, view_of


async def cursor_of(instances: Instances, conversation_id: str, user_id: str) -> int:
    """As REST tells it."""
    async with Rest(instances.all[0], user_id) as rest:
        members = (await rest.get(f"/api/conversations/{conversation_id}")).json()["members"]
    return next(int(member["last_read_seq"]) for member in members if member["user_id"] == user_id)


async def read_by(instances: Instances, conversation_id: str, seq: int) -> list[str]:
    """Which users have read a message, as REST tells it."""
    async with Rest(instances.all[0], "alice") as rest:
        messages = (await rest.get(f"/api/conversations/{conversation_id}/messages")).json()["messages"]
    found: list[str] = next(message["read_by"] for message in messages if message["seq"] == seq)
    return found


def receipts(device: Chatter, user_id: str) -> list[int]:
    """The receipts of that user that a device was given."""
    return [f["seq"] for f in device.frames if f["type"] == "receipt" and f["user_id"] == user_id]


async def test_answer_before_reading_sends_a_receipt_to_the_other_instance(instances: Instances) -> None:
    """Bob was shown the message and answers it: alice is told that he has read it, by his answer or at the latest by his read."""
    a, b = await instances.start("instance-1", "instance-2")
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as alice, Chatter(b, "bob") as bob:
        await alice.say(c, "are you there?")
        await bob.receive("message", seq=1)
        await bob.say(c, "yes")
        assert (await alice.receive("receipt", user_id="bob"))["seq"] == 2
        assert await read_by(instances, c, 1) == ["bob"]
        async with view_of(instances) as store:
            await eventually(lambda: _is_read_by(store, c, 1, "bob"))
        done = await bob.ask(type="read", conversation_id=c, message_id=message_id(1))
        assert (done["type"], done["seq"]) == ("ok", 2)
        await alice.say(c, "good")
        await bob.receive("message", seq=3)
        await bob.ask(type="read", conversation_id=c, message_id=message_id(3))
        await bob.say(c, "bye")
        await alice.receive("message", seq=4)
        await eventually(lambda: _is_at(instances, c, "bob", 4))
        assert receipts(alice, "bob") == [2, 3], "one that has read everything sends without a receipt"


async def test_message_kept_while_offline_reads_nothing_that_arrived_meanwhile(instances: Instances) -> None:
    """Bob wrote it before alice's messages; they are unread, until he reads them: then alice is told, below his own message."""
    a, b = await instances.start("instance-1", "instance-2")
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as alice:
        for body in ("one", "two"):
            await alice.say(c, body)
        bob = await Chatter(b, "bob").connect({c: 0})
        await bob.say(c, "kept by a client that says nothing of reading")
        await bob.say(c, "kept by a client that does", read_seq=0)
        await alice.receive("message", seq=4)
        await bob.ask(type="read", conversation_id=c, message_id=message_id(1))
        assert (await alice.receive("receipt", user_id="bob"))["seq"] == 1
        assert await cursor_of(instances, c, "bob") == 1
        await bob.ask(type="read", conversation_id=c, message_id=message_id(2))
        await alice.receive("receipt", user_id="bob", seq=4)
        assert receipts(alice, "bob") == [1, 4]
        await bob.close()


async def test_send_of_an_administrator_in_a_users_name_is_not_that_users_reading(instances: Instances) -> None:
    """The user may never have seen the conversation."""
    (a,) = await instances.start("instance-1")
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as alice, Rest(a, "root", is_admin=True) as admin:
        await alice.say(c, "one")
        message = {"client_message_id": "k", "body": "in bob's name", "sender": "bob", "read_seq": 1}
        assert (await admin.post(f"/api/conversations/{c}/messages", json=message)).status_code == 201
        await alice.receive("message", seq=2, sender="bob")
        await alice.ask(type="read", conversation_id=c, message_id=message_id(2))
        await alice.receive("receipt", user_id="alice")
        assert receipts(alice, "bob") == []
        assert await cursor_of(instances, c, "bob") == 0


async def _is_read_by(store: StoreView, conversation_id: str, seq: int, user_id: str) -> bool:
    return user_id in (await store.message(conversation_id, message_id(seq)))["readBy"]


async def _is_at(instances: Instances, conversation_id: str, user_id: str, seq: int) -> bool:
    return await cursor_of(instances, conversation_id, user_id) == seq
