"""An instance whose wall clock is wrong: its clients come with tokens of an issuer whose clock is right."""

import time

import pytest

from holdfast.drills.local.clock import missing_faketime, shifted
from holdfast.protocol.jsontext import ms_of
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving, token


@pytest.mark.parametrize("offset", ["-15s", "+1h", "-1h"])
async def test_fresh_tokens_are_accepted_by_an_instance_whose_clock_is_wrong(instances: Instances, offset: str) -> None:
    """Both ways in, and the socket stays; operators see the condition. A token that has expired is refused all the same."""
    if reason := missing_faketime():
        pytest.skip(reason)
    (right,) = await instances.start("right")
    (wrong,) = await instances.start("wrong", **shifted(offset))
    await eventually(lambda: _is_skewed(wrong), within=10)
    assert not await _is_skewed(right)
    async with Chatter(wrong, "alice", bearer=token("alice", 300)) as client:
        async with Rest(wrong, "alice") as rest:
            assert (await rest.get("/api/conversations")).status_code == 200
            expired = {"Authorization": f"Bearer {token('alice', 60, ahead_seconds=-120)}"}
            answer = await rest.get("/api/conversations", headers=expired)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
        conversation = await new_conversation(wrong, "alice")
        ack = await client.say(conversation, "hello")
        assert abs((ms_of(ack["sent_at"]) or 0) - time.time() * 1000) < 5_000, "other clients are shown this time"
        assert not [frame for frame in client.frames if frame["type"] == "token_expiring"]


async def _is_skewed(instance: Serving) -> bool:
    async with Rest(instance, None) as rest:
        body = (await rest.get("/api/health")).json()
    return any(each["type"] == "ClockSkewed" and each["status"] == "True" for each in body["conditions"])
