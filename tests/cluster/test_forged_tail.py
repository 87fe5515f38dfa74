"""A seq that is too high, from a program that may publish in Redis, and sends right after it."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from support.chatting import Chatter, new_conversation
from support.fixtures_cluster import Pair

FORGED = {
    "messages": {"kind": "messages", "seq": 50, "instance": "evil", "age_ms": 0, "messages": []},
    "header": {"kind": "tomorrow", "seq": 50},
}


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("has_generation", [False, True])
async def test_sends_after_a_forged_seq_get_the_next_seq_and_are_shown_to_all(
    pair: Pair, pair_operator: "Redis", kind: str, *, has_generation: bool
) -> None:
    """Stored behind a gap they would be acknowledged and never shown, like everything after them."""
    one, two = pair.both
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        generation = await generation_heard(pair_operator, c, alice)
        envelope = {"v": 1, "c": c, "generation": generation if has_generation else ""} | FORGED[kind]
        await pair_operator.publish(f"conversation:{c}", json.dumps(envelope))
        for sender, body, seq in ((alice, "two", 2), (bob, "three", 3), (alice, "four", 4)):
            assert (await sender.say(c, body))["seq"] == seq
            for device in (alice, bob):
                await device.receive("message", seq=seq, body=body)
        assert alice.seqs(c) == bob.seqs(c) == [1, 2, 3, 4]


async def generation_heard(operator: "Redis", conversation_id: str, sender: Chatter) -> str:
    """What an eavesdropper learns from the first message: the generation that every envelope carries."""
    async with operator.pubsub() as tap:
        await tap.subscribe(f"conversation:{conversation_id}")
        await sender.say(conversation_id, "one")
        heard: dict[str, Any] | None = None
        while heard is None:
            heard = await tap.get_message(ignore_subscribe_messages=True, timeout=5)
    return str(json.loads(heard["data"])["generation"])
