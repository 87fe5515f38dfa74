"""The acceptance guide, scenario by scenario, on real processes: what an operator who follows it line by line sees.

Redis is looked at with the guide's own commands, Firestore with its own client.
"""

import json
import time
from typing import Any

import httpx
from redis.asyncio import Redis

from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.fixtures_cluster import Pair
from support.instances import Instances
from support.monitor import Monitor
from support.redis_server import RedisServer
from support.store_view import view_of

GRACE = {"HOLDFAST_PRESENCE__GRACE_SECONDS": "2"}


async def online(instances: Instances, user_id: str) -> bool:
    """As REST tells it, asked by the user itself."""
    async with Rest(instances.all[0], user_id) as rest:
        answer: bool = (await rest.get(f"/api/users/{user_id}/presence")).json()["online"]
        return answer


async def test_scenario_1_basic_connection(pair: Pair, pair_operator: "Redis") -> None:
    """Connect; `HGETALL connections:…` and `SMEMBERS subscriptions:…` show it, and the store says online."""
    a, _ = pair.both
    async with Chatter(a, "user123") as user:
        connection_id = (await user.receive("welcome"))["connection_id"]
        fields = await pair_operator.hgetall("connections:user123")
        assert list(fields) == [connection_id]
        assert json.loads(fields[connection_id])["instance_id"] == "instance-1"
        assert "user:user123" in await pair_operator.smembers("subscriptions:instance-1")
        async with view_of(pair.instances) as store:
            assert (await store.user("user123"))["online"] is True
    await eventually(lambda: _gone(pair_operator, "connections:user123"))
    assert "user:user123" not in await pair_operator.smembers("subscriptions:instance-1")


async def _gone(operator: "Redis", key: str) -> bool:
    return not await operator.exists(key)


async def test_scenario_2_cross_instance_delivery(pair: Pair, pair_operator: "Redis") -> None:
    """What A says at instance A reaches B at instance B, goes through Redis, and is in the store."""
    a, b = pair.both
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as alice, Chatter(b, "bob") as bob, Monitor(pair_operator) as monitor:
        ack = await alice.say(c, "hello")
        message = await bob.receive("message", conversation_id=c)
        assert (message["body"], message["seq"], message["sender"]) == ("hello", ack["seq"], "alice")
        await eventually(lambda: "messages" in monitor.kinds(f"conversation:{c}"))
        async with view_of(pair.instances) as store:
            stored = await store.message(c, ack["message_id"])
            assert (stored["body"], stored["sender"], stored["seq"]) == ("hello", "alice", 1)


async def test_scenario_3_read_receipts(pair: Pair, pair_operator: "Redis") -> None:
    """B reads, by socket and by REST; A hears of it, Redis carried it, and `readBy` says so."""
    a, b = pair.both
    c = await new_conversation(a, "alice", "bob", "carol")
    async with Chatter(a, "alice") as alice, Chatter(b, "bob") as bob, Monitor(pair_operator) as monitor:
        ack = await alice.say(c, "hello")
        await bob.receive("message", conversation_id=c)
        done = await bob.ask(type="read", conversation_id=c, message_id=ack["message_id"])
        assert (done["type"], done["seq"]) == ("ok", 1)
        receipt = await alice.receive("receipt", user_id="bob")
        assert (receipt["message_id"], receipt["seq"]) == (ack["message_id"], 1)
        async with Rest(b, "carol") as rest:
            assert (await rest.post(f"/api/conversations/{c}/messages/{ack['message_id']}/read")).status_code == 200
        await alice.receive("receipt", user_id="carol")
        await eventually(lambda: monitor.kinds(f"conversation:{c}").count("receipt") == 2)
        async with view_of(pair.instances) as store:
            assert sorted((await store.message(c, ack["message_id"]))["readBy"]) == ["bob", "carol"]


async def test_scenario_4_typing(pair: Pair, pair_operator: "Redis") -> None:
    """A types; B hears it, A's own connections do not."""
    a, b = pair.both
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as alice, Chatter(b, "bob") as bob, Monitor(pair_operator) as monitor:
        assert (await alice.ask(type="typing", conversation_id=c, active=True))["type"] == "ok"
        notice = await bob.receive("typing", conversation_id=c)
        assert (notice["user_id"], notice["active"], notice["expires_in_ms"]) == ("alice", True, 6000)
        await eventually(lambda: "typing" in monitor.kinds(f"conversation:{c}"))
        await alice.say(c, "done")
        assert not [frame for frame in alice.frames if frame["type"] == "typing"]


async def test_scenario_7_offline_notification_filtering(instances: Instances) -> None:
    """User B is disconnected and is notified; user A is not, and the log says why."""
    a, b = await instances.start("instance-1", "instance-2")
    c = await new_conversation(b, "user-a", "user-b")
    async with Chatter(a, "user-a") as user_a, view_of(instances) as store:
        await user_a.say(c, "are you there?")
        await eventually(store.notifications)
        await eventually(lambda: "user='user-b'" in a.log() + b.log())
        records = list((await store.notifications()).values())
        assert [(record["userId"], record["conversationId"], record["seq"]) for record in records] == [("user-b", c, 1)]
        filtered = [line for line in a.log().splitlines() if "active connection" in line]
        assert filtered
        assert "users='user-a'" in filtered[0]
        notified = [line for line in (a.log() + b.log()).splitlines() if "holdfast.push: offline notification" in line]
        assert len(notified) == 1


async def test_scenario_8_several_connections_of_one_user(instances: Instances, operator: "Redis") -> None:
    """Both clients hear it; one leaves, the user stays online; both gone, offline after the grace and not before."""
    a, b = await instances.start("instance-1", "instance-2", **GRACE)
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(b, "bob") as bob:
        first = await Chatter(a, "alice").connect()
        second = await Chatter(b, "alice").connect()
        await bob.say(c, "to both")
        for device in (first, second):
            assert (await device.receive("message"))["body"] == "to both"
        places = {json.loads(field)["instance_id"] for field in (await operator.hgetall("connections:alice")).values()}
        assert places == {"instance-1", "instance-2"}
        await first.close()
        await eventually(lambda: _count(operator, "connections:alice", 1))
        assert await online(instances, "alice")
        left_at = time.monotonic()
        await second.close()
        assert await online(instances, "alice")
        notice = await bob.receive("presence", user_id="alice", online=False)
        assert time.monotonic() - left_at >= 1.9, "offline before the grace was over"
        assert notice["last_seen_at"]
        for instance in (a, b):
            async with Rest(instance, "bob") as rest:
                assert (await rest.get("/api/users/alice/presence")).json()["online"] is False
        assert len([f for f in bob.frames if f["type"] == "presence" and not f["online"]]) == 1


async def _count(operator: "Redis", key: str, count: int) -> bool:
    return await operator.hlen(key) == count


async def test_scenario_9_rest_beside_the_socket(pair: Pair, pair_operator: "Redis") -> None:
    """The guide's own two paths at the root, and theirs under `/api`: 200, published, heard."""
    a, b = pair.both
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(b, "bob") as bob, Rest(a, "alice") as rest, Monitor(pair_operator) as monitor:
        message_id = (await bob.say(c, "read me"))["message_id"]
        for prefix in ("", "/api/conversations"):
            bob.frames.clear()
            assert (await rest.post(f"{prefix}/{c}/typing")).status_code == 200
            assert (await bob.receive("typing"))["user_id"] == "alice"
        assert (await rest.post(f"/{c}/messages/{message_id}/read")).status_code == 200
        assert (await bob.receive("receipt"))["user_id"] == "alice"
        assert (await rest.post(f"/api/conversations/{c}/messages/{message_id}/read")).status_code == 200
        await eventually(lambda: {"typing", "receipt"} <= set(monitor.kinds(f"conversation:{c}")))


async def test_scenario_10_health(instances: Instances, redis7: RedisServer) -> None:
    """healthy; Redis shut down: degraded with its error, still 200 and ready; started again: healthy."""
    (a,) = await instances.start("instance-1")

    async def health() -> dict[str, Any]:
        async with httpx.AsyncClient(verify=False) as client:
            answer = await client.get(f"{a.url}/api/health")
            assert answer.status_code == 200
            return dict(answer.json())

    async def says(status: str) -> bool:
        return (await health())["status"] == status

    await eventually(lambda: says("healthy"), within=15)
    assert (await health())["services"]["redis"]["status"] == "connected"
    redis7.kill()
    await eventually(lambda: says("degraded"), within=5)
    redis = (await health())["services"]["redis"]
    assert redis["status"] == "disconnected"
    assert redis["error"]
    assert await a.is_ready()
    await redis7.start()
    await eventually(lambda: says("healthy"), within=20)


async def test_monitoring_commands_of_the_guide(sqlite_instances: Instances, operator: "Redis") -> None:
    """`PUBSUB CHANNELS`, `SMEMBERS subscriptions:…` and the three curl lines answer."""
    (a,) = await sqlite_instances.start("instance-1")
    c = await new_conversation(a, "user123", "user456")
    async with Chatter(a, "user123"), httpx.AsyncClient(verify=False, base_url=a.url) as curl:
        channels = set(await operator.pubsub_channels())
        assert {f"conversation:{c}", "user:user123"} <= channels
        await eventually(lambda: _equal(operator, channels))
        stats = (await curl.get("/api/connections/stats")).json()
        assert (stats["instance_id"], stats["connections"], stats["users"]) == ("instance-1", 1, 1)
        assert (await curl.get("/api/health")).json()["instance_id"] == "instance-1"
        info = (await curl.get("/api/connections/info")).json()
        assert "connections" not in info
        async with Rest(a, "user123") as rest:
            info = (await rest.get("/api/connections/info")).json()
            assert [each["instance_id"] for each in info["connections"]] == ["instance-1"]


async def _equal(operator: "Redis", channels: set[str]) -> bool:
    return await operator.smembers("subscriptions:instance-1") == channels
