"""Exactly once, in order, on whichever instance and connection: retries, contention, a restless client."""

import asyncio
import os
import random
import time
from functools import partial
from typing import Any

from support.chatting import Chatter, Rest, insist, new_conversation
from support.devices import Device
from support.eventually import eventually
from support.fixtures_cluster import Pair
from support.instances import Instances
from support.store_view import view_of
from support.trickle import Sent, Trickle, assert_in_order, assert_stored


async def test_twenty_retries_at_once_are_one_message(pair: Pair) -> None:
    """By socket and REST, at two instances, at the same time: one document and twenty equal answers; other content is refused."""
    a, b = pair.both
    c = await new_conversation(a, "alice", "bob")
    async with (
        Chatter(a, "alice") as phone,
        Chatter(b, "alice") as laptop,
        Rest(a, "alice") as rest_a,
        Rest(b, "alice") as rest_b,
        Chatter(b, "bob") as bob,
    ):

        async def post(rest: Any, body: str) -> dict[str, Any]:
            answer = await insist(rest, c, "k1", body)
            return dict(answer.json()) | {"status": answer.status_code}

        answers = await asyncio.gather(
            *(phone.insist(c, "once", "k1") for _ in range(5)),
            *(laptop.insist(c, "once", "k1") for _ in range(5)),
            *(post(rest_a, "once") for _ in range(5)),
            *(post(rest_b, "once") for _ in range(5)),
        )
        assert {(each["seq"], each["message_id"], each["sent_at"]) for each in answers} == {
            (1, "000000000001", answers[0]["sent_at"])
        }
        assert {each["status"] for each in answers if "status" in each} <= {200, 201}
        other = await asyncio.gather(
            phone.insist(c, "other", "k1"), laptop.insist(c, "other", "k1"), post(rest_a, "x"), post(rest_b, "x")
        )
        assert {each["code"] for each in other} == {"idempotency_conflict"}
        assert {each["outcome"] for each in other} == {"refused"}
        assert {each["status"] for each in other if "status" in each} == {409}
        await bob.insist(c, "last", "k1")  # another sender's key is another key
        for chatter in (phone, laptop, bob):
            await chatter.receive("message", seq=2)
            assert chatter.seqs(c) == [1, 2]
    async with view_of(pair.instances) as view:
        assert [(m["seq"], m["sender"], m["body"]) for m in await view.messages(c)] == [(1, "alice", "once"), (2, "bob", "last")]


async def test_of_two_contents_under_one_key_one_wins_everywhere(pair: Pair) -> None:
    """Sent at the same time at two instances: whichever is first is the message, the others are told that they are not."""
    a, b = pair.both
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as phone, Chatter(b, "alice") as laptop:
        for key in ("k1", "k2", "k3", "k4", "k5"):
            sends = [(device, body) for device in (phone, laptop) for body in ("left", "right")]
            answers = await asyncio.gather(*(device.insist(c, body, key) for device, body in sends))
            won = {body for (_, body), answer in zip(sends, answers, strict=True) if answer["type"] == "ack"}
            lost = {answer["code"] for answer in answers if answer["type"] == "error"}
            assert (len(won), lost) == (1, {"idempotency_conflict"})
    async with view_of(pair.instances) as view:
        assert [m["clientMessageId"] for m in await view.messages(c)] == ["k1", "k2", "k3", "k4", "k5"]


async def test_48_senders_at_three_instances(instances: Instances) -> None:
    """Gapless; the ack's seq is the message's; order follows real time; all 48 see everything once and in order."""
    serving = await instances.start("one", "two", "three")
    users = [f"user-{number}" for number in range(48)]
    c = await new_conversation(serving[0], users[0], *users[1:])
    chatters = [Chatter(serving[number % 3], user) for number, user in enumerate(users)]
    await asyncio.gather(*(chatter.connect() for chatter in chatters))
    sent: list[Sent] = []

    async def talk(chatter: Chatter, words: int = 5) -> None:
        for number in range(words):
            key = f"{chatter.user_id}-{number}"
            each = Sent(c, key, f"body of {key}", time.monotonic())
            ack = await chatter.insist(c, each.body, key)
            assert ack["type"] == "ack", ack
            each.acked_at, each.seq = time.monotonic(), ack["seq"]
            sent.append(each)

    await asyncio.gather(*(talk(chatter) for chatter in chatters))
    total = len(sent)
    for chatter in chatters:
        await chatter.receive("message", seq=total)
        assert chatter.seqs(c) == list(range(1, total + 1)), chatter.user_id
    assert_in_order(sent)
    async with view_of(instances) as view:
        stored = await assert_stored(view, c, sent)
    assert len(stored) == total
    for chatter in chatters:
        assert [m["body"] for m in chatter.messages(c)] == [m["body"] for m in stored]
    await asyncio.gather(*(chatter.close() for chatter in chatters))


async def test_200_rounds_of_coming_and_going(instances: Instances) -> None:
    """Connect, send, leave (politely, abruptly, in the middle of a replay), resume elsewhere: one unbroken stream."""
    seed = int(os.environ.get("HOLDFAST_TEST_SEED", random.randrange(1 << 32)))
    print(f"HOLDFAST_TEST_SEED={seed}")
    serving = await instances.start("one", "two", "three")
    users = ["ann", "ben", "cyd", "dan", "eva"]
    conversations = [await new_conversation(serving[0], "teller", *users) for _ in range(2)]
    devices = [Device(user) for user in users]
    sent: list[Sent] = []

    async def wander(device: Device, rounds: int) -> None:
        dice = random.Random(f"{seed}-{device.user_id}")
        for number in range(rounds):
            here = dice.choice(serving)
            if dice.random() < 0.2:
                chatter = await device.open(here)
                await eventually(partial(_has_frames, chatter, dice.randrange(1, 7)))
            else:
                chatter = await device.connect(here)
                if dice.random() < 0.5:
                    each = Sent(dice.choice(conversations), f"{device.user_id}-{number}", f"{seed} {number}", time.monotonic())
                    ack = await chatter.insist(each.conversation_id, each.body, each.client_message_id)
                    each.acked_at, each.seq = time.monotonic(), ack["seq"]
                    sent.append(each)
                await eventually(partial(_has_frames, chatter, len(chatter.frames) + dice.randrange(4)))
            await device.leave(dice)

    async with Trickle(serving, "teller", *conversations, every_seconds=0.05) as trickle:
        await asyncio.gather(*(wander(device, 40) for device in devices))
    await _all_complete(instances, devices, conversations, [*sent, *trickle.sent])


def _has_frames(chatter: Chatter, count: int) -> bool:
    return len(chatter.frames) >= count


async def _all_complete(instances: Instances, devices: list[Device], conversations: list[str], sent: list[Sent]) -> None:
    """The store holds what was sent, and every device has seen exactly that."""
    async with view_of(instances) as view:
        for device in devices:
            await device.connect(instances.all[0])
        for c in conversations:
            stored = await assert_stored(view, c, sent)
            assert_in_order([each for each in sent if each.conversation_id == c])
            for device in devices:
                await eventually(partial(device.has, c, len(stored)))
                assert device.bodies(c) == {message["seq"]: message["body"] for message in stored}
                assert not device.skipped
        for device in devices:
            await device.leave()
