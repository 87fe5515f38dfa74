"""The effect of one user on the list of conversations of another: bounded by budgets, and by the counts of the store."""

import asyncio

from support.chatting import Chatter, Rest
from support.hostile import assert_problem
from support.instances import Instances


async def test_creating_and_adding_have_budgets_and_a_repeated_call_is_free(sqlite_instances: Instances) -> None:
    """One account named a user in 1,000 conversations within seconds; each added member counts."""
    limits = {"CREATES_PER_MINUTE": 60, "CREATES_BURST": 4, "ADDS_PER_MINUTE": 60, "ADDS_BURST": 6}
    environ = {f"HOLDFAST_LIMITS__{name}": str(value) for name, value in limits.items()}
    (a,) = await sqlite_instances.start("instance-1", **environ)
    async with Rest(a, "mallory") as rest:
        body = {"members": ["bob"], "conversation_id": "one"}
        assert (await rest.post("/api/conversations", json=body)).status_code == 201
        for _ in range(12):
            assert (await rest.post("/api/conversations", json=body)).status_code == 200
            assert (await rest.put("/api/conversations/one/members/bob")).status_code == 200
        members = [f"user-{number}" for number in range(5)]
        assert (await rest.post("/api/conversations", json={"members": members})).status_code == 201
        refused = await rest.post("/api/conversations", json={"members": ["bob", "carol", "dave", "eve"]})
        assert_problem(refused, "rate_limited")
        assert 0 < refused.json()["retry_after_ms"] <= 4_001
        assert refused.json()["retryable"] is True
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await rest.post("/api/conversations", json={"members": []})).status_code == 201
        answers = [await rest.put(f"/api/conversations/one/members/more-{number}") for number in range(8)]
        assert_problem(answers[-1], "rate_limited")
    async with Rest(a, "bob") as rest:
        assert (await rest.post("/api/conversations", json={"members": ["carol", "dave"]})).status_code == 201
    async with Rest(a, "operator", is_admin=True) as rest:
        for _ in range(10):
            assert (await rest.post("/api/conversations", json={"members": ["bob"]})).status_code == 201


async def test_creations_at_the_same_time_end_at_the_limit_and_the_user_can_connect(sqlite_instances: Instances) -> None:
    """40 at once at 45 of 50 made 81, and the user's client could not connect any more: 4003 for ever."""
    limits = {"CONVERSATIONS_PER_USER": "50", "CONVERSATIONS_BY_OTHERS": "3", "CURSORS": "50"}
    serving = await sqlite_instances.start("one", "two", **{f"HOLDFAST_LIMITS__{name}": value for name, value in limits.items()})
    async with Rest(serving[0], "alice") as here, Rest(serving[1], "alice") as there:
        for number in range(45):
            made = await here.post("/api/conversations", json={"members": [], "conversation_id": f"c{number}"})
            assert made.status_code == 201
        both = (here, there)
        posts = (both[number % 2].post("/api/conversations", json={"members": []}) for number in range(40))
        answers = await asyncio.gather(*posts)
        assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 35
        for answer in answers:
            if answer.status_code == 409:
                assert_problem(answer, "limit_reached", "conversations_per_user")
    async with Rest(serving[0], "mallory") as rest:
        named = [await rest.post("/api/conversations", json={"members": ["alice"]}) for _ in range(4)]
        assert [answer.status_code for answer in named] == [201, 201, 201, 409]
    cursors = {f"c{number}": 0 for number in range(45)} | {f"gone-{number}": 1 for number in range(40)}
    client = Chatter(serving[0], "alice")
    await client.connect(hello=False)
    await client.send({"type": "hello", "cursors": cursors})
    assert len((await client.receive("synced"))["heads"]) == 53
    await client.close()
