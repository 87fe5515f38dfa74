"""Members come and go at one instance while another one serves them."""

import asyncio
from pathlib import Path

from simulation.scenarios.scene import Scene, play


def test_member_added_elsewhere_who_connects_later_is_no_stranger(tmp_path: Path) -> None:
    """The instance that created the conversation had its old members in memory, and refused the new one."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        await scene.create("c0", "u1", "u2", at="i3")
        await asyncio.sleep(0.5)
        await scene.add("c0", "u3", by="u1", at="i1")
        await asyncio.sleep(10.0)
        carol = await scene.connect("u3", "i3", {})
        scene.say(alice, "c0", "alice 1")
        await asyncio.sleep(2.0)
        scene.say(carol, "c0", "carol 1")
        await asyncio.sleep(2.0)
        scene.say(alice, "c0", "alice 2")

    assert play(work, tmp_path) == []


def test_member_removed_elsewhere_is_refused_by_every_instance(tmp_path: Path) -> None:
    """An instance that nobody of the conversation was connected to went on serving the removed member."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        await scene.create("c0", "u1", "u2", "u3", at="i3")
        await asyncio.sleep(0.5)
        await scene.remove("c0", "u3", by="u1", at="i1")
        await asyncio.sleep(10.0)
        await scene.connect("u2", "i3", {})
        scene.say(alice, "c0", "secret 1")
        await asyncio.sleep(4.0)
        for instance in ("i1", "i2", "i3"):
            answer = await scene.post("c0", "u3", f"still here {instance}", at=instance)
            assert answer.code == "conversation_not_found"
            answer = await scene.call("u3", instance, "GET", "/api/conversations/c0/messages")
            assert answer.code == "conversation_not_found"

    assert play(work, tmp_path) == []


def test_first_messages_of_new_conversations_reach_members_at_every_instance(tmp_path: Path) -> None:
    """The first message is sent while the other instances are still hearing of the conversation."""

    async def work(scene: Scene) -> None:
        devices = [await scene.connect(f"u{number}", f"i{number}", {}) for number in (1, 2, 3)]
        for number in range(20):
            conversation = f"c{number}"
            await scene.create(conversation, "u1", "u2", "u3", at=f"i{number % 3 + 1}")
            scene.say(devices[number % 3], conversation, f"first of {number}")
            await asyncio.sleep(0.01 * (number % 5))
            scene.say(devices[(number + 1) % 3], conversation, f"second of {number}")

    assert play(work, tmp_path) == []


def test_member_removed_and_added_again_while_others_write_is_shown_all_that_follows(tmp_path: Path) -> None:
    """The second membership begins anew, at a position of its own."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        await scene.connect("u2", "i2", {})
        await scene.create("c0", "u1", "u2", "u3", at="i3")
        for number in range(10):
            scene.say(alice, "c0", f"before {number}")
            await scene.remove("c0", "u2", by="u1", at="i3")
            scene.say(alice, "c0", f"between {number}")
            await scene.add("c0", "u2", by="u1", at="i3")
            scene.say(alice, "c0", f"after {number}")

    assert play(work, tmp_path) == []


def test_addition_that_its_client_gave_up_at_a_frozen_instance_does_not_undo_a_later_removal(tmp_path: Path) -> None:
    """The client repeats the call at another instance, and removes the member again, before the frozen instance goes on."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        await scene.create("c0", "u1", "u2", at="i1")
        await asyncio.sleep(1.0)
        frozen = scene.cluster.instances["i2"].process
        with scene.history.fault("freeze", "i2"):
            frozen.freeze()
            given_up = await scene.call("u1", "i2", "PUT", "/api/conversations/c0/members/u3")
            assert given_up.status == -1
            await scene.add("c0", "u3", by="u1", at="i1")
            await scene.remove("c0", "u3", by="u1", at="i1")
            frozen.thaw()
        await asyncio.sleep(5.0)
        answer = await scene.call("u1", "i1", "GET", "/api/conversations/c0")
        assert [member["user_id"] for member in answer.content["members"]] == ["u1", "u2"]
        scene.say(alice, "c0", "alice 1")

    assert play(work, tmp_path) == []
