"""Alerts over real faults: each fires while its fault lasts and resolves after it was mended.

A real Prometheus scrapes real instances; every duration in the rules is a thirtieth (`support.prometheus_rules.shortened`).
"""

import asyncio
import base64
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.client import Client
from holdfast.client.connection import Refused
from holdfast.drills.crowd import listening
from holdfast.drills.local.clock import missing_faketime, shifted
from holdfast.drills.local.proxy import Proxy
from holdfast.drills.offenders import Deaf, shout
from holdfast.launcher.ports import free_port
from support.chatting import Chatter, new_conversation
from support.instances import Instances, token
from support.redis_server import SYSTEM, RedisServer, require_binary
from support.throttled import throttled
from support.up import require
from support.watching import Alarms, watching

long = [pytest.mark.observability_long, pytest.mark.timeout(400)]
Told = Callable[[str, object], None]


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """Keeps a figure for the report of the run (`--junitxml=FILE`)."""

    def keep(name: str, value: object) -> None:
        request.node.user_properties.append((name, value))

    return keep


@contextlib.asynccontextmanager
async def going_on(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The work goes on meanwhile; where it fails, the test does."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout(300)
async def test_instances_near_their_limits(sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
    """Each is told with its own name, and where to read on."""
    (crowded,) = await sqlite_instances.start("crowded", HOLDFAST_LIMITS__CONNECTIONS="2")
    (heavy,) = await sqlite_instances.start("heavy", HOLDFAST_LIMITS__MEMORY_BYTES=str(32 * 1024 * 1024))
    async with watching(tmp_path, [crowded, heavy]) as prometheus:
        alarms = Alarms(prometheus, told)
        async with Chatter(crowded, "anna"), Chatter(crowded, "bert"):
            await alarms.fire("HoldfastConnectionsNearLimit", "HoldfastMemoryNearLimit", since=time.monotonic())
            firing = await prometheus.firing()
            assert firing["HoldfastConnectionsNearLimit"]["labels"]["instance"] == "crowded"
            assert firing["HoldfastMemoryNearLimit"]["labels"]["instance"] == "heavy"
            assert firing["HoldfastConnectionsNearLimit"]["annotations"]["runbook_url"]
        await alarms.resolve("HoldfastConnectionsNearLimit")


@pytest.mark.timeout(300)
async def test_lost_redis(sqlite_instances: Instances, redis7: RedisServer, tmp_path: Path, told: Told) -> None:
    """Redis is killed: all instances are degraded. Only a firing alert shows the text that the person on call reads."""
    pair = await sqlite_instances.start("instance-1", "instance-2")
    async with watching(tmp_path, pair) as prometheus:
        alarms = Alarms(prometheus, told)
        redis7.kill()
        await alarms.fire("HoldfastFleetDegraded", since=time.monotonic())
        alert = (await prometheus.firing())["HoldfastFleetDegraded"]
        labels = {"alertname": "HoldfastFleetDegraded", "severity": "page", "namespace": "chat", "release": "one"}
        assert alert["labels"] == labels
        assert " of the instances are degraded. Without Redis" in alert["annotations"]["description"]
        await redis7.start()
        await alarms.resolve("HoldfastFleetDegraded")


class TestLong:
    """Those of `make test-observability`."""

    pytestmark = long

    async def test_one_instance_without_redis(
        self, sqlite_instances: Instances, redis7: RedisServer, tmp_path: Path, told: Told
    ) -> None:
        """The way of one instance to Redis is cut: that one is named, and the fleet is well."""
        async with Proxy(redis7.port) as way:
            others = await sqlite_instances.start("instance-1", "instance-2")
            (cut,) = await sqlite_instances.start("instance-3", HOLDFAST_REDIS__URL=f"redis://{way.address}/0")
            async with watching(tmp_path, [*others, cut]) as prometheus:
                alarms = Alarms(prometheus, told)
                await alarms.quiet()
                await way.refuse()
                await alarms.fire("HoldfastInstanceIsolated", since=time.monotonic())
                assert (await prometheus.firing())["HoldfastInstanceIsolated"]["labels"]["instance"] == "instance-3"
                assert "HoldfastFleetDegraded" not in await prometheus.firing()
                await way.listen()
                await alarms.resolve("HoldfastInstanceIsolated")
                await alarms.quiet()

    async def test_deaf_bus(self, sqlite_instances: Instances, redis7: RedisServer, tmp_path: Path, told: Told) -> None:
        """The subscribed connection of one instance gets nothing any more, its commands are answered."""
        async with Proxy(redis7.port, marker=b"SUBSCRIBE") as way:
            others = await sqlite_instances.start("instance-1", "instance-2")
            (deaf,) = await sqlite_instances.start("instance-3", HOLDFAST_REDIS__URL=f"redis://{way.address}/0")
            async with watching(tmp_path, [*others, deaf]) as prometheus:
                alarms = Alarms(prometheus, told)
                way.deafen()
                await alarms.fire("HoldfastBusDeaf", since=time.monotonic())
                assert (await prometheus.firing())["HoldfastBusDeaf"]["labels"]["instance"] == "instance-3"
                way.flow()
                way.cut()
                await alarms.resolve("HoldfastBusDeaf")
                await alarms.quiet()

    async def test_two_redis_servers(self, sqlite_instances: Instances, redis7: RedisServer, tmp_path: Path, told: Told) -> None:
        """One instance is led to another Redis, as by a failover that it did not hear of."""
        second = RedisServer(require_binary(SYSTEM))
        await second.start()
        ports = [redis7.port]
        try:
            async with Proxy(lambda: ports[-1]) as way:
                others = await sqlite_instances.start("instance-1", "instance-2")
                (led,) = await sqlite_instances.start("instance-3", HOLDFAST_REDIS__URL=f"redis://{way.address}/0")
                async with watching(tmp_path, [*others, led]) as prometheus:
                    alarms = Alarms(prometheus, told)
                    ports.append(second.port)
                    way.cut()
                    await alarms.fire("HoldfastSplit", since=time.monotonic())
                    ports.append(redis7.port)
                    way.cut()
                    await alarms.resolve("HoldfastSplit", "HoldfastFleetDegraded")
                    await alarms.quiet()
        finally:
            second.close()

    async def test_slow_then_failing_store(
        self, redis7: RedisServer, firestore_store: dict[str, str], tmp_path: Path, told: Told
    ) -> None:
        """Each call takes a second more; then the store is away."""
        port = int(firestore_store["FIRESTORE_EMULATOR_HOST"].rpartition(":")[2])
        async with Proxy(port) as way:
            environ = firestore_store | {"FIRESTORE_EMULATOR_HOST": way.address}
            cluster = Instances(tmp_path, redis7.url, environ["HOLDFAST_STORE__URL"], **environ)
            try:
                pair = await cluster.start("instance-1", "instance-2")
                async with watching(tmp_path, pair) as prometheus:
                    alarms = Alarms(prometheus, told)
                    way.delay_seconds = 0.6  # each way
                    await alarms.fire("HoldfastStoreSlow", since=time.monotonic())
                    way.delay_seconds = 0.0
                    await alarms.resolve("HoldfastStoreSlow")
                    await way.refuse()
                    await alarms.fire("HoldfastStoreFailing", "HoldfastFleetDegraded", since=time.monotonic())
                    await way.listen()
                    await alarms.resolve("HoldfastStoreFailing", "HoldfastFleetDegraded")
            finally:
                cluster.close()

    async def test_clients_that_vanish_and_reconnect(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """As behind a network that resets connections: a storm, and closes without a close frame."""
        pair = await sqlite_instances.start("instance-1", "instance-2")

        async def come_and_vanish(number: int) -> None:
            chatter = Chatter(pair[number % 2], f"user-{number}")
            while True:
                await chatter.connect()
                await chatter.vanish()
                chatter = Chatter(pair[number % 2], f"user-{number}")
                await asyncio.sleep(0.5)  # the pace of the load

        async with watching(tmp_path, pair) as prometheus:
            alarms = Alarms(prometheus, told)
            await alarms.quiet()
            began = time.monotonic()
            async with going_on(*(come_and_vanish(number) for number in range(6))):
                await alarms.fire("HoldfastReconnectStorm", "HoldfastAbnormalCloses", since=began)
            await alarms.resolve("HoldfastReconnectStorm", "HoldfastAbnormalCloses")

    async def test_clients_that_do_not_read(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """Clients of a loud conversation whose sockets are never read are closed with 4000, and connect again."""
        (one,) = await sqlite_instances.start("instance-1")
        deaf = [f"deaf-{number}" for number in range(6)]
        room = await new_conversation(one, "loud", *deaf)

        async def connect_without_reading(number: int) -> None:
            await asyncio.sleep(2.5 * number)  # evenly spread, as with many users
            while True:
                with contextlib.suppress(OSError, Refused):
                    async with Deaf(one.url, token(deaf[number])):
                        await asyncio.sleep(15)  # the instance ends it meanwhile: no client is told, since it does not read

        loud = Client([one.url], token("loud"), cursors={})
        async with watching(tmp_path, [one]) as prometheus, listening(loud):
            alarms = Alarms(prometheus, told)
            began = time.monotonic()
            async with going_on(shout(loud, room), *map(connect_without_reading, range(6))):
                await alarms.fire("HoldfastSlowConsumers", since=began)
            await alarms.resolve("HoldfastSlowConsumers")

    async def test_drain_that_closes_clients(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """Clients that do not follow the `draining` frame are closed by the instance."""
        one, other = await sqlite_instances.start("instance-1", "instance-2", HOLDFAST_DRAIN__WINDOW_SECONDS="20")
        async with watching(tmp_path, [one, other]) as prometheus, contextlib.AsyncExitStack() as present:
            alarms = Alarms(prometheus, told)
            for number in range(80):
                await present.enter_async_context(Chatter(one, f"user-{number}"))
            await alarms.quiet()
            one.signal(signal.SIGTERM)
            await alarms.fire("HoldfastDrainForcesCloses", since=time.monotonic())
            await asyncio.to_thread(one.stop, 60)
            await one.start()
            await alarms.resolve("HoldfastDrainForcesCloses")

    async def test_late_loop(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """An instance that is stopped for most of each second, as by a throttled CPU."""
        one, other = await sqlite_instances.start("instance-1", "instance-2")

        async with watching(tmp_path, [one, other]) as prometheus:
            alarms = Alarms(prometheus, told)
            began = time.monotonic()
            async with throttled(one):
                await alarms.fire("HoldfastLoopLag", since=began)
                assert (await prometheus.firing())["HoldfastLoopLag"]["labels"]["instance"] == "instance-1"
            await alarms.resolve("HoldfastLoopLag")

    async def test_many_conversations(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """One user with all conversations that the instance may hold."""
        (one,) = await sqlite_instances.start("instance-1", HOLDFAST_LIMITS__SUBSCRIPTIONS="10")
        for number in range(9):
            await new_conversation(one, "anna", "bert", conversation_id=f"c-{number}")
        async with watching(tmp_path, [one]) as prometheus:
            alarms = Alarms(prometheus, told)
            async with Chatter(one, "anna"):
                await alarms.fire("HoldfastConversationsNearLimit", since=time.monotonic())
            await alarms.resolve("HoldfastConversationsNearLimit")

    async def test_webhook_that_refuses(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """The receiver of offline notifications answers each request with 500, then with 200."""
        answers = [b"500 Internal Server Error"]

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 " + answers[-1] + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()

        server = await asyncio.start_server(answer, "127.0.0.1", free_port())
        port = server.sockets[0].getsockname()[1]
        async with server:
            (one,) = await sqlite_instances.start(
                "instance-1",
                HOLDFAST_PUSH__WEBHOOK_URL=f"http://127.0.0.1:{port}/",
                HOLDFAST_PUSH__WEBHOOK_SECRET="whsec_" + base64.b64encode(bytes(32)).decode(),
            )
            room = await new_conversation(one, "anna", "bert", "carl", "dora")
            async with watching(tmp_path, [one]) as prometheus, Chatter(one, "anna") as anna:
                alarms = Alarms(prometheus, told)
                began = time.monotonic()

                async def talk() -> None:
                    while True:
                        await anna.say(room, "a message")
                        await asyncio.sleep(0.5)  # the pace of the load

                async with going_on(talk()):
                    await alarms.fire("HoldfastNotificationsFailing", since=began)
                    answers.append(b"200 OK")
                    await alarms.resolve("HoldfastNotificationsFailing")

    async def test_all_instances_are_killed(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """Nothing is scraped any more."""
        pair = await sqlite_instances.start("instance-1", "instance-2")
        async with watching(tmp_path, pair) as prometheus:
            alarms = Alarms(prometheus, told)
            await alarms.quiet()
            began = time.monotonic()
            for each in pair:
                each.kill()
            await alarms.fire("HoldfastMetricsAbsent", since=began)
            await asyncio.gather(*(each.start() for each in pair))
            await alarms.resolve("HoldfastMetricsAbsent")

    async def test_wrong_clock(self, sqlite_instances: Instances, tmp_path: Path, told: Told) -> None:
        """The clock of one instance is an hour ahead."""
        missing = missing_faketime()
        require(not missing, missing)
        one, other = await sqlite_instances.start("instance-1", "instance-2")
        async with watching(tmp_path, [one, other]) as prometheus:
            alarms = Alarms(prometheus, told)
            await alarms.quiet()
            other.stop()
            other.environ |= shifted("+1h")
            began = time.monotonic()
            await other.start()
            await alarms.fire("HoldfastClockSkewed", since=began)
            assert (await prometheus.firing())["HoldfastClockSkewed"]["labels"]["instance"] == "instance-2"
