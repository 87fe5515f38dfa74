"""The edge of the network: balancers that keep connections, proxies that rewrite headers, clusters without IPv4."""

import asyncio
import socket

import httpx
import pytest

from support.chatting import Rest
from support.instances import Instances, Serving, token
from support.raw_socket import Raw

_OLD_DEFAULT_SECONDS = 5.0  # of uvicorn: shorter than what any balancer keeps


@pytest.fixture
async def instance(sqlite_instances: Instances) -> Serving:
    """One instance on all addresses, behind a proxy on this machine."""
    (serving,) = await sqlite_instances.start(
        "instance-1",
        HOLDFAST_HTTP__HOST="",
        HOLDFAST_HTTP__TRUSTED_PROXIES="127.0.0.1",
        HOLDFAST_HTTP__ALLOWED_ORIGINS="HTTPS://App.Example.com:443/",
        HOLDFAST_LIMITS__CONNECTIONS_PER_ADDRESS="1",
    )
    return serving


async def test_an_idle_connection_of_a_balancer_is_kept(instance: Serving) -> None:
    """A balancer that keeps a connection for 60 s sends its next request on it: if it was closed meanwhile, that is a 502."""
    request = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with Raw(instance) as client:
        client.send(request)
        assert (await client.answer()).status == 200
        with pytest.raises(TimeoutError):  # nothing is read, and no end, for longer than the old default
            await asyncio.wait_for(client.reader.read(1), _OLD_DEFAULT_SECONDS + 1)
        client.send(request)
        assert (await client.answer()).status == 200


async def test_how_long_an_idle_connection_is_kept_is_a_setting(sqlite_instances: Instances) -> None:
    """A balancer that keeps connections for longer needs more."""
    (serving,) = await sqlite_instances.start("instance-1", HOLDFAST_HTTP__KEEP_ALIVE_SECONDS="0.5")
    async with Raw(serving) as client:
        client.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.ended(within=5)


async def test_both_families_are_served_on_both_ports(instance: Serving) -> None:
    """A cluster without IPv4 probes and balances over IPv6; elsewhere it is IPv4."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with httpx.AsyncClient(verify=False) as client:
        for host in ("127.0.0.1", "[::1]"):
            for port in (instance.port, instance.internal_port):
                assert (await client.get(f"http://{host}:{port}/readyz")).status_code == 200, (host, port)


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost"])
async def test_an_address_of_one_family_may_be_named(sqlite_instances: Instances, host: str) -> None:
    """With and without brackets, or by name."""
    serving = Serving("instance-1", sqlite_instances.environ | {"HOLDFAST_HTTP__HOST": host}, sqlite_instances.directory)
    sqlite_instances.all.append(serving)
    serving.launch()
    at = "localhost" if host == "localhost" else "[::1]"
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=0, verify=False)) as client, asyncio.timeout(30):
        while True:
            try:
                assert (await client.get(f"http://{at}:{serving.port}/livez")).status_code == 200
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
            else:
                break


async def test_health_answers_head_as_it_answers_get(instance: Serving) -> None:
    """Many balancers check health by HEAD; a 405 takes every instance out of service."""
    async with httpx.AsyncClient(verify=False) as client:
        for url in (instance.url, instance.internal_url):
            answer = await client.head(f"{url}/api/health")
            assert (answer.status_code, answer.content) == (200, b"")
            assert int(answer.headers["content-length"]) == pytest.approx(
                len((await client.get(f"{url}/api/health")).content), abs=20
            )


async def test_every_call_that_reads_answers_head(instance: Serving) -> None:
    """RFC 9110 §9.1: what answers GET answers HEAD."""
    headers = {"Authorization": f"Bearer {token('alice')}"}
    async with httpx.AsyncClient(verify=False, base_url=instance.url, headers=headers) as rest:
        for path in ("/api/conversations", "/api/connections/stats", "/api/openapi.json", "/api/docs", "/api/users/bob/presence"):
            head, get = await rest.head(path), await rest.get(path)
            assert (head.status_code, head.content) == (get.status_code, b""), path


async def test_an_upgrade_header_may_be_a_list_and_stand_twice(instance: Serving) -> None:
    """A proxy adds a `Connection` line of its own, a client offers h2c as well: RFC 9110 §5.3, §7.8."""
    for lines in (
        ("Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket"),
        ("Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"),
        ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket"),
        ("Connection: Upgrade", "Upgrade: h2c, websocket"),
        ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
    ):
        async with Raw(instance) as client:
            answered = await client.upgrade(*lines, connection=None, upgrade=None, authorization=f"Bearer {token('alice')}")
            assert (answered.status, answered.headers.get("upgrade")) == (101, "websocket"), lines


async def test_an_offer_of_h2c_alone_is_a_plain_request(instance: Serving) -> None:
    """`curl --http2` gets its answer in HTTP/1.1."""
    async with Raw(instance) as client:
        client.send(
            b"GET /readyz HTTP/1.1\r\nHost: x\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n"
        )
        assert (await client.answer()).status == 200


async def test_clients_behind_a_proxy_have_limits_of_their_own(instance: Serving) -> None:
    """With ports and both families in the header, and the proxy itself seen as `::ffff:127.0.0.1`."""
    async with Raw(instance) as one, Raw(instance) as other, Raw(instance) as third:
        addresses = ("198.51.100.1:50001", "198.51.100.2:50002", "[2001:db8::1]:50003")
        for client, forwarded in zip((one, other, third), addresses, strict=True):
            answered = await client.upgrade(x_forwarded_for=forwarded, authorization=f"Bearer {token('alice')}")
            assert answered.status == 101, forwarded
        for forwarded in ("198.51.100.1:50009", "::ffff:198.51.100.2", "2001:db8::2"):
            async with Raw(instance) as another:
                answered = await another.upgrade(x_forwarded_for=forwarded, authorization=f"Bearer {token('alice')}")
                assert (answered.status, answered.problem["code"]) == (429, "connection_limit"), forwarded


async def test_an_origin_with_capitals_a_port_and_a_slash_is_the_origin_that_a_browser_sends(instance: Serving) -> None:
    """The same list for the socket and for REST."""
    origin = "https://app.example.com"
    async with Raw(instance) as client:
        assert (await client.upgrade(origin=origin, authorization=f"Bearer {token('alice')}")).status == 101
    async with Rest(instance, "alice") as rest:
        answer = await rest.get("/api/conversations", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == origin
