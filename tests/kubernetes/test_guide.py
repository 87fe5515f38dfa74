"""The acceptance guide on a real cluster, through the Service and through an edge without stickiness.

A client cannot choose a pod: a client that has to be at another pod, or at the same, connects until it is, as people would.
"""

import json
import time
from collections.abc import Callable
from functools import partial

import pytest
from redis.asyncio import Redis

from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.fixtures_kubernetes import Front, Release
from support.kit import in_namespace
from support.monitor import Monitor
from support.store_view import view_of

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

GRACE_SECONDS = 5.0  # ci/cluster-values.yaml
TRIES = 40


async def at(front: Front, user: str, is_right: Callable[[str], bool]) -> Chatter:
    """A connection of the user to an instance that is right; the others, held meanwhile so that an edge goes on, are closed."""
    wrong: list[Chatter] = []
    try:
        for _ in range(TRIES):
            chatter = await Chatter(front, user).connect()
            if is_right(await place_of(chatter)):
                return chatter
            wrong.append(chatter)
    finally:
        for each in wrong:
            await each.close()
    raise AssertionError(f"{TRIES} connections, and none to the right instance")


async def place_of(chatter: Chatter) -> str:
    """The pod."""
    name: str = (await chatter.receive("welcome"))["instance_id"]
    return name


async def two(front: Front, one: str, other: str) -> tuple[Chatter, Chatter]:
    """Two people at two pods."""
    first = await Chatter(front, one).connect()
    here = await place_of(first)
    return first, await at(front, other, lambda name: name != here)


def people(front: Front, scenario: int) -> tuple[str, str]:
    """Users of no earlier scenario."""
    return f"a{scenario}-{front.name}", f"b{scenario}-{front.name}"


async def _is_registered_at(redis: "Redis", user: str, *pods: str) -> bool:
    """Exactly there: a pod that has only just got Redis back says so a moment later."""
    fields = (await redis.hgetall(f"connections:{user}")).values()
    return sorted(json.loads(each)["instance_id"] for each in fields) == sorted(pods)


async def test_scenario_1_basic_connection(front: Front, release: Release, cluster_redis: "Redis") -> None:
    """Named by its pod in Redis, online in the store."""
    user, _ = people(front, 1)
    async with Chatter(front, user) as chatter:
        welcome = await chatter.receive("welcome")
        await eventually(partial(_is_registered_at, cluster_redis, user, welcome["instance_id"]), within=10)
        assert list(await cluster_redis.hgetall(f"connections:{user}")) == [welcome["connection_id"]]
        assert f"user:{user}" in await cluster_redis.smembers(f"subscriptions:{welcome['instance_id']}")
        assert welcome["instance_id"] in in_namespace("get", "pods", "-o", "name")
        async with view_of(release) as store:
            assert (await store.user(user))["online"] is True


async def test_scenarios_2_3_4_between_two_pods(front: Front, release: Release, cluster_redis: "Redis") -> None:
    """A message, its receipt and typing go from pod to pod, by way of Redis; the store has them."""
    a, b = people(front, 2)
    c = await new_conversation(front, a, b)
    alice, bob = await two(front, a, b)
    async with Monitor(cluster_redis) as monitor:
        ack = await alice.say(c, "hello")
        message = await bob.receive("message", conversation_id=c)
        assert (message["body"], message["seq"], message["sender"]) == ("hello", ack["seq"], a)
        assert (await bob.ask(type="read", conversation_id=c, message_id=ack["message_id"]))["type"] == "ok"
        assert (await alice.receive("receipt", user_id=b))["message_id"] == ack["message_id"]
        assert (await alice.ask(type="typing", conversation_id=c, active=True))["type"] == "ok"
        assert (await bob.receive("typing", conversation_id=c))["user_id"] == a
        await eventually(lambda: {"messages", "receipt", "typing"} <= set(monitor.kinds(f"conversation:{c}")))
    async with view_of(release) as store:
        stored = await store.message(c, ack["message_id"])
        assert (stored["body"], stored["sender"], stored["readBy"]) == ("hello", a, [b])
    await alice.close()
    await bob.close()


async def test_scenario_5_an_instance_shuts_down(front: Front, cluster_redis: "Redis") -> None:
    """Its user comes back at another pod, is online all the while, and the conversation goes on without a hole."""
    a, b = people(front, 5)
    c = await new_conversation(front, a, b)
    alice, bob = await two(front, a, b)
    here = await place_of(alice)
    assert (await bob.say(c, "before"))["type"] == "ack"
    await alice.receive("message", body="before")
    in_namespace("delete", "pod", here, "--wait=false")
    assert await alice.closed(within=40) in (1001, 1012)
    assert (await bob.say(c, "while she is away"))["type"] == "ack"
    alice = await Chatter(front, a).connect({c: 1})
    assert await place_of(alice) != here
    assert (await alice.receive("message", body="while she is away"))["seq"] == 2
    assert (await alice.say(c, "back"))["type"] == "ack"
    await bob.receive("message", body="back")
    await eventually(partial(_is_registered_at, cluster_redis, a, await place_of(alice)), within=10)
    assert not [each for each in bob.frames if each["type"] == "presence" and not each["online"]]
    async with Rest(front, b) as rest:
        assert (await rest.get(f"/api/users/{a}/presence")).json()["online"] is True
    await alice.close()
    await bob.close()
    in_namespace("rollout", "status", "deployment/holdfast", "--timeout=60s")


async def test_scenarios_6_and_10_redis_is_shut_down_and_comes_back(front: Front) -> None:
    """Healthy; degraded with its error, everybody ready, a message at one instance delivered; healthy again."""
    a, b = people(front, 6)
    c = await new_conversation(front, a, b)
    alice = await Chatter(front, a).connect()
    here = await place_of(alice)
    bob = await at(front, b, lambda name: name == here)
    async with Rest(front, None) as rest:

        async def says(status: str) -> bool:
            answer = await rest.get("/api/health")
            assert answer.status_code == 200
            return bool(answer.json()["status"] == status)

        await eventually(lambda: says("healthy"), within=15)
        in_namespace("scale", "statefulset/holdfast-redis", "--replicas=0")
        try:
            await eventually(lambda: says("degraded"), within=20)  # the pod has 5 s to end
            assert (await alice.say(c, "without Redis"))["type"] == "ack"
            assert (await bob.receive("message", conversation_id=c))["body"] == "without Redis"
            await eventually(lambda: _has_an_error(rest), within=10)
            ready = in_namespace("get", "deployment", "holdfast", "-o", "jsonpath={.status.readyReplicas}")
            assert ready == "3"
        finally:
            in_namespace("scale", "statefulset/holdfast-redis", "--replicas=1")
        await eventually(lambda: says("healthy"), within=40)
    await alice.close()
    await bob.close()


async def _has_an_error(rest: object) -> bool:
    redis = (await rest.get("/api/health")).json()["services"]["redis"]  # type: ignore[attr-defined]  # an AsyncClient
    return redis["status"] == "disconnected" and bool(redis.get("error"))


async def test_scenario_7_only_who_is_away_is_notified(front: Front, release: Release) -> None:
    """One record for user B; the log says why user A got none."""
    a, b = people(front, 7)
    c = await new_conversation(front, a, b)
    async with Chatter(front, a) as alice, view_of(release) as store:
        assert (await alice.say(c, "are you there?"))["type"] == "ack"

        async def notified() -> list[str]:
            return [each["userId"] for each in (await store.notifications()).values() if each["conversationId"] == c]

        await eventually(notified, within=10)
        assert await notified() == [b]
        log = in_namespace("logs", await place_of(alice))
        assert [line for line in log.splitlines() if "active connection" in line and a in line]


async def test_scenario_8_several_connections_of_one_user(front: Front, cluster_redis: "Redis") -> None:
    """Both hear it; with one gone the user is online; with both gone offline after the grace, and not before."""
    a, b = people(front, 8)
    c = await new_conversation(front, a, b)
    bob = await Chatter(front, b).connect()
    first, second = await two(front, a, a)
    assert (await bob.say(c, "to both"))["type"] == "ack"
    for device in (first, second):
        assert (await device.receive("message"))["body"] == "to both"
    await eventually(partial(_is_registered_at, cluster_redis, a, await place_of(first), await place_of(second)), within=10)
    await first.close()
    async with Rest(front, b) as rest:
        assert (await rest.get(f"/api/users/{a}/presence")).json()["online"] is True
        left_at = time.monotonic()
        await second.close()
        await bob.receive("presence", within=20, user_id=a, online=False)
        assert time.monotonic() - left_at >= GRACE_SECONDS - 0.1, "offline before the grace was over"
        assert (await rest.get(f"/api/users/{a}/presence")).json()["online"] is False
    await bob.close()


async def test_scenario_9_rest_beside_the_socket(front: Front, cluster_redis: "Redis") -> None:
    """The guide's own paths: 200, published, heard."""
    a, b = people(front, 9)
    c = await new_conversation(front, a, b)
    async with Chatter(front, b) as bob, Rest(front, a) as rest, Monitor(cluster_redis) as monitor:
        message_id = (await bob.say(c, "read me"))["message_id"]
        assert (await rest.post(f"/{c}/typing")).status_code == 200
        assert (await bob.receive("typing"))["user_id"] == a
        assert (await rest.post(f"/{c}/messages/{message_id}/read")).status_code == 200
        assert (await bob.receive("receipt"))["user_id"] == a
        await eventually(lambda: {"typing", "receipt"} <= set(monitor.kinds(f"conversation:{c}")))
