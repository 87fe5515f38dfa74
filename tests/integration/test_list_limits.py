"""What one user can do to the list of conversations of another: bounded by budgets, and by what the store counts."""

from support.chatting import Rest
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
