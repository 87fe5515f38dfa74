"""What a client gets that was away: everything it missed, up to the limits; and where its conversations begin and end."""

import asyncio
from functools import partial
from typing import Any

import httpx

from support.chatting import Chatter, Frame, Rest, new_conversation
from support.devices import Device
from support.eventually import eventually
from support.instances import Instances, Serving

UNPACED = {"HOLDFAST_LIMITS__SENDS_PER_SECOND": "0", "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0"}
BEYOND = 510  # a little more than one conversation's replay


async def _fill(chatter: Chatter, c: str, count: int) -> None:
    """So many messages, in order."""
    for start in range(0, count, 60):
        numbers = range(start, min(start + 60, count))
        answers = await asyncio.gather(*(chatter.say(c, f"body {number}") for number in numbers))
        assert [answer for answer in answers if answer["type"] != "ack"] == []


def _kinds(frames: list[Frame], c: str) -> list[tuple[Any, ...]]:
    """The frames that move a cursor, in short."""
    return [
        (f["type"], f["seq"]) if f["type"] == "message" else (f["type"], f["from_seq"], f["to_seq"])
        for f in frames
        if f["type"] in ("message", "truncated") and f["conversation_id"] == c
    ]


async def test_too_much_to_replay_is_truncated(sqlite_instances: Instances) -> None:
    """500 of one conversation, 2,000 in all, the oldest after the cursor; the rest is named, and live goes on after it."""
    a, b = await sqlite_instances.start("one", "two", **UNPACED)
    conversations = [await new_conversation(a, "alice", "bob") for _ in range(5)]
    async with Chatter(a, "alice") as alice:
        for c in conversations:
            await _fill(alice, c, BEYOND)
        bob = Device("bob")
        bob.cursors[conversations[0]] = 5
        chatter = await bob.connect(b)
        replayed = {c: len(chatter.messages(c)) for c in conversations}
        assert max(replayed.values()) == 500
        assert sum(replayed.values()) == 2_000
        first = conversations[0]
        if replayed[first]:
            expected = [("message", seq) for seq in range(6, 506)] + [("truncated", 506, BEYOND)]
            assert _kinds(chatter.frames, first) == expected
        nothing = [c for c in conversations if not replayed[c]]
        assert [_kinds(chatter.frames, c) for c in nothing] == [
            [("truncated", bob.cursors.get(c, 0) + 1, BEYOND)] for c in nothing
        ]
        for c in conversations:
            await alice.say(c, "live")
            await eventually(partial(bob.has, c, BEYOND + 1))
            assert bob.seqs(c)[-1] == BEYOND + 1
        assert len(bob.skipped) == 5
        await bob.leave()


async def test_a_short_absence_costs_the_store_no_message(instances: Instances) -> None:
    """After a drain everybody misses the same few messages; Redis still has them. Without Redis the store gives the same."""
    a, b = await instances.start("one", "two", **UNPACED)
    c = await new_conversation(a, "alice", "bob")
    bob = Device("bob")
    async with Chatter(a, "alice") as alice:
        await _fill(alice, c, 5)
        await bob.connect(b)
        assert bob.judge().seqs(c) == [1, 2, 3, 4, 5]
        await bob.leave()
        assert await _replays(b) == {"recent": 1.0}
        await _fill(alice, c, 60)
        await bob.connect(a)
        assert bob.judge().seqs(c) == list(range(1, 66))
        await bob.leave()
        assert await _replays(a) == {"recent": 1.0}
        await _fill(alice, c, 65)
        await bob.connect(a)
        assert bob.judge().seqs(c) == list(range(1, 131))
        await bob.leave()
        assert await _replays(a) == {"recent": 1.0, "store": 1.0}


async def _replays(instance: Serving) -> dict[str, float]:
    async with httpx.AsyncClient(verify=False) as client:
        lines = (await client.get(f"{instance.internal_url}/metrics")).text.splitlines()
    prefix = 'holdfast_replays_total{source="'
    found = [line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix)]
    return {source: float(value) for source, value in found if float(value)}


async def test_500_missed_messages_are_all_replayed(sqlite_instances: Instances) -> None:
    """Exactly the limit is not too much."""
    a, b = await sqlite_instances.start("one", "two", **UNPACED)
    c = await new_conversation(a, "alice", "bob")
    bob = Device("bob")
    async with Chatter(a, "alice") as alice:
        await _fill(alice, c, 500)
        await bob.connect(b)
        assert bob.judge().seqs(c) == list(range(1, 501))
        assert not bob.skipped
        await bob.leave()
        await _fill(alice, c, 501)
        await bob.connect(b)
        assert bob.judge().seqs(c) == list(range(1, 1001))
        assert bob.skipped == [(c, 1001, 1001)]
        await bob.leave()


async def test_where_a_client_begins(instances: Instances) -> None:
    """Beyond the end: reset. Created meanwhile: replayed. No cursors: nothing is. A non-member's cursor opens nothing."""
    a, b = await instances.start("one", "two")
    old = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as alice:
        await _fill(alice, old, 3)
        restored = Device("bob")
        restored.cursors[old] = 7
        chatter = await restored.connect(b)
        assert [f["last_seq"] for f in chatter.frames if f["type"] == "reset"] == [3]
        assert chatter.seqs(old) == []
        await restored.leave()

        away = Device("bob")
        away.cursors[old] = 3
        new = await new_conversation(a, "alice", "bob")
        await _fill(alice, new, 4)
        chatter = await away.connect(b)
        assert (chatter.seqs(old), chatter.seqs(new)) == ([], [1, 2, 3, 4])
        await away.leave()

        async with Chatter(b, "bob") as fresh:
            synced = await fresh.receive("synced")
            assert (synced["heads"], fresh.seqs(old)) == ({old: 3, new: 4}, [])
            await alice.say(old, "live")
            await fresh.receive("message", conversation_id=old)
            assert fresh.seqs(old) == [4]
        async with Chatter(b, "eve") as eve:
            assert (await eve.receive("synced"))["heads"] == {}
        stranger = Device("eve")
        stranger.cursors[old] = 1
        chatter = await stranger.open(a)
        assert (await chatter.receive("synced"))["heads"] == {}
        assert chatter.seqs(old) == []
        await chatter.close()


async def test_members_who_join_and_leave_while_connected(instances: Instances) -> None:
    """The event comes before the first message; live starts after the `last_seq` it names; a removed user gets nothing more."""
    a, b = await instances.start("one", "two", **UNPACED)
    c = await new_conversation(a, "alice", "carol")
    async with Chatter(a, "alice") as alice, Chatter(b, "carol") as carol, Rest(a, "alice") as rest:
        bobs = [Device("bob"), Device("bob")]
        for device, instance in zip(bobs, (a, b), strict=True):
            await device.connect(instance)
        for turn in range(5):
            talking = asyncio.create_task(_fill(alice, c, 20))
            await _change(rest, "put", c, "bob")
            await talking
            last = (await alice.say(c, "hello bob"))["seq"]
            for device in bobs:
                await eventually(partial(device.has, c, last))
            talking = asyncio.create_task(_fill(alice, c, 20))
            await _change(rest, "delete", c, "bob")
            await talking
            last = (await alice.say(c, f"not for bob {turn}"))["seq"]
            await carol.receive("message", seq=last)
            for device in bobs:
                await eventually(partial(_is_out, device, c))
        for device in bobs:
            assert not [body for body in device.bodies(c).values() if body.startswith("not for bob")]
            events = [f["event"] for f in _frames(device) if f["type"] == "conversation"]
            assert events == ["member_added", "member_removed"] * 5
            removed = [f for f in _frames(device) if f["type"] == "conversation" and f["event"] == "member_removed"]
            assert all("conversation" not in f for f in removed)
            await device.leave()
        assert carol.seqs(c) == list(range(1, last + 1))


def _frames(device: Device) -> list[Frame]:
    assert device.connection is not None
    return device.connection.frames


def _is_out(device: Device, c: str) -> bool:
    return c not in device.judge().cursors


async def _change(rest: httpx.AsyncClient, method: str, c: str, user_id: str) -> None:
    answer = await rest.request(method.upper(), f"/api/conversations/{c}/members/{user_id}")
    assert answer.status_code in (201, 204), answer.text
