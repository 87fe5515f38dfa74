"""Many changes of members of one conversation at once, on real processes."""

import asyncio
import collections
from functools import partial

import pytest

from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances

UNPACED = {"HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0", "HOLDFAST_LIMITS__ADDS_PER_MINUTE": "0"}
COUNT = 60


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three")], ids=["one instance", "three instances"])
async def test_sixty_members_added_at_once_are_all_in_and_each_is_told_once(instances: Instances, names: tuple[str, ...]) -> None:
    """Before, 31 to 48 of 60 calls ended with 503 in Firestore. Then all are removed at once."""
    serving = await instances.start(*names, **UNPACED)
    c = await new_conversation(serving[0], "alice")
    users = [f"user-{number}" for number in range(COUNT)]
    rests = [Rest(each, "alice") for each in serving]
    devices = [await Chatter(each, "alice").connect() for each in serving]
    try:
        for event, method, statuses, left in (("member_added", "PUT", [201], COUNT + 1), ("member_removed", "DELETE", [204], 1)):
            calls = (
                rests[number % len(rests)].client.request(method, f"/api/conversations/{c}/members/{user}")
                for number, user in enumerate(users)
            )
            answers = collections.Counter(answer.status_code for answer in await asyncio.gather(*calls))
            assert answers == collections.Counter(statuses * COUNT)
            view = (await rests[0].client.get(f"/api/conversations/{c}")).json()
            assert (view["member_count"], view["revision"]) == (left, 1 + COUNT * (1 if left > 1 else 2))
            for device in devices:
                await eventually(partial(_has_told, device, event, users))
    finally:
        for rest in rests:
            await rest.client.aclose()
        for device in devices:
            await device.close()


def _has_told(device: Chatter, event: str, users: list[str]) -> bool:
    told = [f["user_id"] for f in device.frames if f["type"] == "conversation" and f["event"] == event]
    return sorted(told) == sorted(users)


@pytest.mark.parametrize("names", [("one", "two")], ids=["two instances"])
async def test_limit_of_members_is_kept_exactly(instances: Instances, names: tuple[str, ...]) -> None:
    """However many are added at once, and wherever."""
    serving = await instances.start(*names, **UNPACED, HOLDFAST_LIMITS__MEMBERS="10")
    c = await new_conversation(serving[0], "alice")
    async with Rest(serving[0], "alice") as here, Rest(serving[1], "alice") as there:
        answers = await asyncio.gather(
            *((here, there)[number % 2].put(f"/api/conversations/{c}/members/user-{number}") for number in range(20))
        )
        assert collections.Counter(answer.status_code for answer in answers) == {201: 9, 409: 11}
        assert (await here.get(f"/api/conversations/{c}")).json()["member_count"] == 10
