"""Failures and their effects: Redis killed, flushed or absent, an instance killed or stopped, the store frozen."""

import asyncio
import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from holdfast.launcher.ports import free_port
from support.chatting import Chatter, Rest, new_conversation
from support.devices import Device
from support.emulator import Emulator
from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import RedisServer
from support.store_view import view_of
from support.trickle import Trickle, assert_in_order, assert_stored

BULLETIN_SECONDS = 5.0  # how long the slow path may take
REGISTERED_SECONDS = 5.0


async def health(instance: Serving) -> dict[str, Any]:
    """As an operator asks for it."""
    async with httpx.AsyncClient(verify=False) as client:
        return dict((await client.get(f"{instance.url}/api/health", timeout=5)).json())


async def says(instance: Serving, status: str) -> bool:
    """Whether the instance calls itself that."""
    return (await health(instance))["status"] == status


async def _is_degraded(instance: Serving) -> bool:
    """The same of an instance that may not listen yet."""
    try:
        return await says(instance, "degraded")
    except httpx.HTTPError:
        return False


async def registered(operator: "Redis", user_id: str) -> list[str]:
    """Where Redis says that the user is connected."""
    return sorted(json.loads(field)["instance_id"] for field in (await operator.hgetall(f"connections:{user_id}")).values())


async def is_registered(operator: "Redis", user_id: str, *names: str) -> bool:
    """Whether that is exactly where; and the instances' own sets say the same."""
    if await registered(operator, user_id) != sorted(names):
        return False
    return all([await operator.sismember(f"subscriptions:{name}", f"user:{user_id}") for name in set(names)])


async def is_subscribed(operator: "Redis", name: str, *channels: str) -> bool:
    """Whether Redis says that an instance hears these channels: they are written behind the registrations, not with them."""
    return all([await operator.sismember(f"subscriptions:{name}", channel) for channel in channels])


async def complete(instances: Instances, c: str, trickle: Trickle, *devices: Device) -> None:
    """The store holds what was acknowledged, and these devices, still connected, have been shown exactly that."""
    async with view_of(instances) as view:
        stored = await assert_stored(view, c, trickle.sent)
    assert_in_order(trickle.acked)
    for device in devices:
        await eventually(partial(device.has, c, len(stored)), within=20)
        assert device.bodies(c) == {message["seq"]: message["body"] for message in stored}


async def test_redis_killed_and_started_again_empty(instances: Instances, redis7: RedisServer, operator: "Redis") -> None:
    """Nothing acknowledged is lost: the same instance at once, others through the store; then it is all registered again."""
    a, b = await instances.start("one", "two")
    c = await new_conversation(a, "teller", "ann", "ben")
    ann, ben = Device("ann"), Device("ben")
    await asyncio.gather(ann.connect(a), ben.connect(b))
    await asyncio.gather(*(eventually(partial(says, each, "healthy"), within=15) for each in (a, b)))
    async with Trickle([a], "teller", c) as trickle:
        await eventually(lambda: ben.has(c, 5))
        redis7.kill()
        await asyncio.gather(*(eventually(partial(says, each, "degraded")) for each in (a, b)))
        told = await health(a)
        assert (told["services"]["redis"]["status"], bool(told["services"]["redis"]["error"])) == ("disconnected", True)
        assert "127.0.0.1" not in json.dumps(told), "the answer must not name the address of Redis"
        for _ in range(3):
            last = trickle.last(c) + 2
            await eventually(lambda last=last: trickle.last(c) >= last)
            await eventually(partial(ann.has, c, last), within=1)
            await eventually(partial(ben.has, c, last), within=BULLETIN_SECONDS)
        assert not [sent for sent in trickle.sent if sent.errors], "a send was refused for Redis's sake"
        late = Device("ben")
        await late.connect(a)  # connections are accepted without Redis
        await redis7.start()
        await eventually(partial(is_registered, operator, "ben", "one", "two"), within=10)
        await eventually(partial(is_subscribed, operator, "one", f"conversation:{c}", "user:ann"))
        await asyncio.gather(*(eventually(partial(says, each, "healthy"), within=20) for each in (a, b)))
    await complete(instances, c, trickle, ann, ben, late)
    told = [frame for frame in ann.connection.frames if frame["type"] in ("degraded", "restored")] if ann.connection else []
    assert [frame["type"] for frame in told] == ["degraded", "restored"]
    await asyncio.gather(ann.leave(), ben.leave(), late.leave())


async def test_flushall_under_load_costs_latency_only(sqlite_instances: Instances, operator: "Redis") -> None:
    """All messages arrive, and all connections are registered again within 5 s."""
    a, b = await sqlite_instances.start("one", "two")
    c = await new_conversation(a, "teller", "ann", "ben")
    ann, ben = Device("ann"), Device("ben")
    await asyncio.gather(ann.connect(a), ben.connect(b))
    async with Trickle([a, b], "teller", c, every_seconds=0.01) as trickle:
        await eventually(lambda: trickle.last(c) >= 20)
        await operator.flushall()
        await eventually(partial(is_registered, operator, "ann", "one"), within=REGISTERED_SECONDS)
        await eventually(partial(is_registered, operator, "ben", "two"), within=REGISTERED_SECONDS)
        await eventually(partial(_is_leased, operator, "one", "two"), within=REGISTERED_SECONDS)
        again = trickle.last(c) + 20
        await eventually(lambda: trickle.last(c) >= again)
        assert not [sent for sent in trickle.sent if sent.errors]
    await complete(sqlite_instances, c, trickle, ann, ben)
    await asyncio.gather(ann.leave(), ben.leave())


async def _is_leased(operator: "Redis", *names: str) -> bool:
    leases = [await operator.hgetall(f"instance:{name}") for name in names]
    return all(lease.get("registered") == "1" for lease in leases)


async def test_redis_absent_at_the_start_refuses_nobody(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis"
) -> None:
    """Ready without it, chat works across instances, and everybody is registered when it appears."""
    redis7.kill()
    started_at = time.monotonic()
    a, b = await sqlite_instances.start("one", "two")
    assert time.monotonic() - started_at < 15 + 5, "ready within 15 s, and what processes need to start"
    assert await says(a, "degraded")
    c = await new_conversation(a, "teller", "ann", "ben")
    ann, ben = Device("ann"), Device("ben")
    await asyncio.gather(ann.connect(a), ben.connect(b))
    async with Trickle([a, b], "teller", c, every_seconds=0.2) as trickle:
        await eventually(lambda: trickle.last(c) >= 3)
        for device in (ann, ben):
            await eventually(partial(device.has, c, 3), within=BULLETIN_SECONDS)
        await redis7.start()
        await eventually(partial(is_registered, operator, "ann", "one"), within=10)
        await eventually(partial(is_registered, operator, "ben", "two"), within=10)
        await asyncio.gather(*(eventually(partial(says, each, "healthy"), within=20) for each in (a, b)))
    await complete(sqlite_instances, c, trickle, ann, ben)
    await asyncio.gather(ann.leave(), ben.leave())


async def test_one_instance_cut_from_redis_is_heard_by_the_others(sqlite_instances: Instances) -> None:
    """Its users send, receive, create conversations and stay online; everybody hears of it within 5 s, both ways.

    The load balancer does not choose it, since it never reached Redis; connections that come to it are served all the same.
    """
    (well,) = await sqlite_instances.start("well")
    environ = sqlite_instances.environ | {"HOLDFAST_REDIS__URL": f"redis://127.0.0.1:{free_port()}/0"}
    cut = Serving("cut", environ, sqlite_instances.directory)
    sqlite_instances.all.append(cut)
    cut.launch()
    await eventually(partial(_is_degraded, cut), within=30)
    await eventually(partial(says, well, "healthy"), within=15)
    c = await new_conversation(well, "ann", "ben")
    async with Chatter(well, "ann") as ann, Chatter(cut, "ben") as ben:
        await ben.say(c, "from the cut one")
        await ann.receive("message", within=BULLETIN_SECONDS, conversation_id=c, seq=1)
        await ann.say(c, "from the others")
        await ben.receive("message", within=BULLETIN_SECONDS, conversation_id=c, seq=2)
        new = await new_conversation(cut, "ben", "ann")
        await ann.receive("conversation", within=BULLETIN_SECONDS, conversation_id=new)
        await ben.say(new, "in a new conversation")
        await ann.receive("message", within=BULLETIN_SECONDS, conversation_id=new)
        assert ann.seqs(c) == ben.seqs(c) == [1, 2]
        assert not [frame for frame in ann.frames if frame["type"] == "presence" and not frame["online"]]


async def _presence(instance: Serving, asker: str, user_id: str) -> bool:
    async with Rest(instance, asker, is_admin=True) as rest:
        return bool((await rest.get(f"/api/users/{user_id}/presence")).json()["online"])


async def _is_offline(instance: Serving, asker: str, user_id: str) -> bool:
    return not await _presence(instance, asker, user_id)


def _told(device: Device, user_id: str) -> list[bool]:
    """What the device has been told of that user's presence."""
    frames = device.connection.frames if device.connection else []
    return [frame["online"] for frame in frames if frame["type"] == "presence" and frame["user_id"] == user_id]


async def test_an_instance_killed_under_load(sqlite_instances: Instances, operator: "Redis") -> None:
    """Its clients resume elsewhere and miss nothing; users who do not come back are offline after the grace, others never
    were."""
    a, b, doomed = await sqlite_instances.start("one", "two", "doomed", HOLDFAST_PRESENCE__GRACE_SECONDS="5")
    c = await new_conversation(a, "teller", "ann", "ben", "cyd")
    ann, ben, cyd, watcher = Device("ann"), Device("ben"), Device("cyd"), Device("teller")
    await asyncio.gather(ann.connect(doomed), ben.connect(doomed), cyd.connect(a), watcher.connect(b))
    async with Trickle([doomed, a, b], "teller", c, every_seconds=0.02) as trickle:
        await eventually(lambda: trickle.last(c) >= 30)
        for device in (ann, ben, cyd):
            assert device.connection is not None
            await device.connection.ask(type="read", conversation_id=c, message_id="000000000001")
        doomed.kill()
        killed_at = time.monotonic()
        ben.judge()
        await ben.connect(b)
        seen = trickle.last(c)
        for device in (ben, cyd, watcher):
            await eventually(partial(device.has, c, seen))
        await eventually(lambda: trickle.last(c) >= seen + 30)
    assert await _presence(a, "teller", "ann"), "offline before the grace was over"
    await eventually(partial(_count, operator, "connections:ann", 0), within=30)
    await eventually(partial(is_registered, operator, "ben", "two"), within=5)
    await eventually(partial(_is_offline, a, "teller", "ann"), within=35 - (time.monotonic() - killed_at))
    assert time.monotonic() - killed_at > 5, "offline before the grace was over"
    assert await _presence(a, "teller", "ben")
    ann.judge()
    await ann.connect(a)
    await complete(sqlite_instances, c, trickle, ann, ben, cyd, watcher)
    for device in (cyd, watcher):
        await eventually(lambda device=device: _told(device, "ann")[-2:] == [False, True])
        assert False not in _told(device, "ben"), "flicker"
    assert not await operator.exists("subscriptions:doomed")
    await asyncio.gather(*(device.leave() for device in (ann, ben, cyd, watcher)))


async def _count(operator: "Redis", key: str, count: int) -> bool:
    return bool(await operator.hlen(key) == count)


async def test_sigterm_drains(sqlite_instances: Instances, operator: "Redis") -> None:
    """Told, closed with 1012, nothing under way lost, status 0, nothing left in the registry, no user offline by it."""
    a, b = await sqlite_instances.start("one", "two", HOLDFAST_DRAIN__WINDOW_SECONDS="2")
    c = await new_conversation(a, "teller", "ann", "ben")
    ann, ben = Device("ann"), Device("ben")
    await asyncio.gather(ann.connect(a), ben.connect(b))
    async with Trickle([a, b], "teller", c, every_seconds=0.01) as trickle:
        await eventually(lambda: trickle.last(c) >= 20)
        for device in (ann, ben):
            assert device.connection is not None
            await device.connection.ask(type="read", conversation_id=c, message_id="000000000001")
        a.signal(signal.SIGTERM)
        connection = ann.connection
        assert connection is not None
        draining = await connection.receive("draining")
        assert 0 <= draining["reconnect_after_ms"] <= draining["closes_in_ms"] <= 2_000
        assert await connection.closed() == 1012
        ann.judge()
        await ann.connect(b)
        await eventually(lambda: not a.is_running, within=15)
        assert a.exit_code == 0
        seen = trickle.last(c) + 20
        await eventually(lambda: trickle.last(c) >= seen)
    assert not await operator.exists("subscriptions:one", "instance:one")
    assert await registered(operator, "ann") == ["two"]
    assert await _presence(b, "teller", "ann")
    await complete(sqlite_instances, c, trickle, ann, ben)
    assert ben.connection is not None
    assert not [f for f in ben.connection.frames if f["type"] == "presence" and f["user_id"] == "ann" and not f["online"]]
    await asyncio.gather(ann.leave(), ben.leave())


@contextmanager
def _frozen(instances: Instances, request: pytest.FixtureRequest) -> Iterator[None]:
    """The store gives no answers: the emulator stands still; of SQLite, another process holds the write lock."""
    url = instances.environ["HOLDFAST_STORE__URL"]
    if url.startswith("firestore:"):
        emulator: Emulator = request.getfixturevalue("firestore_emulator")
        emulator.freeze()
        try:
            yield
        finally:
            emulator.thaw()
        return
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


async def test_a_drained_instance_refuses_connections_while_it_ends(
    sqlite_instances: Instances, request: pytest.FixtureRequest
) -> None:
    """Its last writes may take seconds: a client that was accepted meanwhile would wait for nothing."""
    (one,) = await sqlite_instances.start("one")
    with _frozen(sqlite_instances, request):
        one.signal(signal.SIGTERM)
        await eventually(lambda: one.log().count("Finished server process") == 2, within=15)  # of two ports
        for port in (one.port, one.internal_port):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)


async def test_a_frozen_store_acknowledges_nothing(instances: Instances, request: pytest.FixtureRequest) -> None:
    """Each send has its retryable error within 3 s, the sockets stay, and afterwards the same id is one message."""
    a, b = await instances.start("one", "two")
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as phone, Chatter(b, "alice") as laptop, Chatter(b, "bob") as bob, Rest(a, "alice") as rest:
        await phone.say(c, "before", "k0")
        await bob.receive("message", seq=1)
        with _frozen(instances, request):
            for turn in ("first", "second"):
                async with asyncio.timeout(3.5):  # 3 s are promised, the rest is this process's own
                    refusals = await asyncio.gather(
                        *(_refusal(phone, c, number) for number in (1, 2)),
                        *(_refusal(laptop, c, number) for number in (1, 2, 3)),
                        _refusal_of_rest(rest, c, 4),
                    )
                assert {each["code"] for each in refusals} == {"store_unavailable"}, turn
                assert all(each["retryable"] and each["outcome"] in ("unknown", "refused") for each in refusals)
            assert (await phone.ask(type="ping"))["type"] == "pong"
            if "FIRESTORE_EMULATOR_HOST" in instances.environ:  # a locked SQLite still answers reads
                await eventually(partial(says, a, "degraded"), within=5)
        assert phone.close_code is None
        answers: dict[str, int] = {}
        for number in (1, 2, 3, 4):
            acks = [await _insist(device, c, number) for device in (laptop, phone)]
            assert acks[0]["seq"] == acks[1]["seq"]
            answers[f"k{number}"] = acks[0]["seq"]
        last = (await phone.say(c, "after", "k5"))["seq"]
        for chatter in (phone, laptop, bob):
            await chatter.receive("message", within=20, seq=last)
            assert chatter.seqs(c) == list(range(1, last + 1))
    async with view_of(instances) as view:
        stored = await view.messages(c)
    assert sorted(m["clientMessageId"] for m in stored) == ["k0", "k1", "k2", "k3", "k4", "k5"]
    assert {m["clientMessageId"]: m["seq"] for m in stored if m["clientMessageId"] in answers} == answers


async def _refusal(device: Chatter, c: str, number: int) -> dict[str, Any]:
    answer = await device.say(c, f"body {number}", f"k{number}")
    assert answer["type"] == "error", answer
    return answer


async def _refusal_of_rest(rest: httpx.AsyncClient, c: str, number: int) -> dict[str, Any]:
    body = {"client_message_id": f"k{number}", "body": f"body {number}"}
    answer = await rest.post(f"/api/conversations/{c}/messages", json=body)
    assert answer.status_code == 503
    return dict(answer.json())


async def _insist(device: Chatter, c: str, number: int) -> dict[str, Any]:
    """Send again under the same id until it is acknowledged, as clients do."""
    deadline = time.monotonic() + 15
    while True:
        answer = await device.say(c, f"body {number}", f"k{number}")
        if answer["type"] == "ack":
            return answer
        assert answer["retryable"], answer
        assert time.monotonic() < deadline, answer
