"""The front of `holdfast up` against small servers that stand for instances."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import jwt
import pytest

from holdfast.cli.front import page
from holdfast.cli.front import server as front_server
from holdfast.cli.front.backends import Backend, Backends, Health
from holdfast.cli.front.fleet import Order
from holdfast.cli.front.server import Front
from support.eventually import eventually

_SECRET = "s" * 32
_UPGRADE = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_BIG_BYTES = 64 * 1024 * 1024


class Instance:
    """A server that answers with its name, echoes after an upgrade, and keeps what it heard. Closed by `running`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.readyz = 200
        self.heads: list[bytes] = []
        self.open = 0
        self.is_flooding = False
        self.flooded_bytes = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """Refuse connections and reset those that are there."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    @property
    def requests(self) -> list[bytes]:
        """Heads without the front's own probes."""
        return [head for head in self.heads if not head.startswith(b"GET /readyz")]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, EOFError):
                await self._answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(head)
        if head.startswith(b"GET /readyz"):
            writer.write(f"HTTP/1.1 {self.readyz} .\r\nContent-Length: 0\r\n\r\n".encode())
        elif b"Upgrade: websocket" in head:
            await self._talk(reader, writer)
        else:
            writer.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{self.name}".encode())
        await writer.drain()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            writer.write(f"HTTP/1.1 101 .\r\n\r\n{self.name}\n".encode())
            while self.is_flooding and self.flooded_bytes < _BIG_BYTES:
                writer.write(b"x" * 65_536)
                await writer.drain()
                self.flooded_bytes += 65_536
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        finally:
            self.open -= 1


class Setting:
    """A front, its instances and its parts."""

    def __init__(self, front: Front, backends: Backends, instances: list[Instance], parts: "NoParts") -> None:
        self.front = front
        self.parts = parts
        self.backends = backends
        self.instances = instances

    async def ask(self, request: bytes) -> bytes:
        """One request on a connection of its own, until its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), timeout=10)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def get(self, path: str) -> bytes:
        """The answer to a plain GET of a client that would keep its connection."""
        return await self.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n".encode())

    async def token(self, body: bytes, *headers: str, method: str = "POST") -> bytes:
        """The answer to a request for a token."""
        return await self.form("/demo/token", body, *headers, method=method)

    async def form(self, path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
        """The answer to a form."""
        default = ("Host: localhost:8000", "Content-Type: application/json", f"Content-Length: {len(body)}")
        return await self.ask("\r\n".join([f"{method} {path} HTTP/1.1", *(headers or default), "", ""]).encode() + body)

    @contextlib.asynccontextmanager
    async def socket(self) -> AsyncIterator[tuple[str, asyncio.StreamReader, asyncio.StreamWriter]]:
        """An upgraded connection: (the instance's name, reader, writer)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.port, limit=4_096)
        try:
            writer.write(_UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            yield (await reader.readline()).decode().strip(), reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class NoParts:
    """A cluster without parts; remembers its orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Order]] = []

    async def state(self) -> dict[str, object]:
        """None of them."""
        return {"parts": []}

    async def obey(self, part: str, order: Order) -> bool:
        """As if `redis` were one."""
        self.orders.append((part, order))
        return part == "redis"


@pytest.fixture
async def running() -> AsyncIterator[Setting]:
    """A front before two instances, both ready."""
    instances = [Instance("one"), Instance("two")]
    for instance in instances:
        await instance.start()
    backends = Backends(tuple(Backend(each.name, "127.0.0.1", each.port) for each in instances))
    parts = NoParts()
    front = Front(backends, _SECRET, page.load(), parts)
    await front.start(0)
    await eventually(lambda: all(backend.health is Health.READY for backend in backends.each))
    yield Setting(front, backends, instances, parts)
    await front.close()
    for instance in instances:
        instance.kill()


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def test_requests_are_spread_though_the_client_keeps_its_connections(running: Setting) -> None:
    """No stickiness: any instance answers any request."""
    assert [_body(await running.get("/api/health")) for _ in range(4)] == [b"one", b"two", b"one", b"two"]
    assert all(b"Connection: close" in head for instance in running.instances for head in instance.requests)


async def test_sockets_are_spread_evenly(running: Setting) -> None:
    """Two tabs are on two instances."""
    async with contextlib.AsyncExitStack() as stack:
        names = [(await stack.enter_async_context(running.socket()))[0] for _ in range(6)]
    assert sorted(names) == ["one"] * 3 + ["two"] * 3


async def test_bytes_pass_both_ways_unchanged(running: Setting) -> None:
    """Frames are binary: nothing is decoded, cut or added."""
    sent = bytes(range(256)) * 512
    async with running.socket() as (_, reader, writer):
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent


async def test_the_next_instance_is_taken_when_one_refuses(running: Setting) -> None:
    """At once, before any probe has noticed."""
    running.instances[0].kill()
    assert [_body(await running.get("/api/health")) for _ in range(3)] == [b"two"] * 3


async def test_an_instance_that_came_back_is_taken_again(running: Setting) -> None:
    """The front needs no command for it."""
    running.instances[0].kill()
    await running.get("/api/health")
    await running.instances[0].start()
    await eventually(lambda: running.backends.each[0].health is Health.READY)
    assert {_body(await running.get("/api/health")) for _ in range(2)} == {b"one", b"two"}


async def test_a_draining_instance_gets_no_new_sockets(running: Setting) -> None:
    """Its own clients are just being asked to leave."""
    running.instances[0].readyz = 503
    await eventually(lambda: running.backends.each[0].health is Health.NOT_READY)
    for _ in range(3):
        async with running.socket() as (name, _, _):
            assert name == "two"


async def test_503_with_retry_after_when_no_instance_answers(running: Setting) -> None:
    """A problem that says that trying again helps (C9)."""
    for instance in running.instances:
        instance.kill()
    answer = await running.get("/api/health")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 1\r\n" in answer
    assert b"application/problem+json" in answer
    problem = json.loads(_body(answer))
    assert (problem["code"], problem["retryable"]) == ("overloaded", True)


async def test_the_end_of_a_socket_reaches_the_other_side(running: Setting) -> None:
    """An instance must hear that its client left, and a client that its instance died."""
    async with running.socket():
        await eventually(lambda: sum(instance.open for instance in running.instances) == 1)
    await eventually(lambda: sum(instance.open for instance in running.instances) == 0)
    async with running.socket() as (name, reader, _):
        next(instance for instance in running.instances if instance.name == name).kill()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), timeout=5) == b""
    await eventually(lambda: all(backend.connections == 0 for backend in running.backends.each))


async def test_a_client_that_does_not_read_stops_its_instance(running: Setting) -> None:
    """Back-pressure: the front's memory is not where an instance's 64 MB wait."""
    for instance in running.instances:
        instance.is_flooding = True
    reader, writer = await asyncio.open_connection("127.0.0.1", running.front.port, limit=1_024)
    writer.write(_UPGRADE)
    levels: list[int] = []

    def is_stopped() -> bool:
        levels.append(sum(instance.flooded_bytes for instance in running.instances))
        return levels[-1] > 0 and levels[-20:].count(levels[-1]) == 20

    await eventually(is_stopped, within=10)
    assert levels[-1] < _BIG_BYTES / 2
    received = 0
    while received < _BIG_BYTES:
        received += len(await asyncio.wait_for(reader.read(1_048_576), timeout=5))
    writer.close()


async def test_an_oversized_head_is_431(running: Setting) -> None:
    """Bounded before it is understood."""
    answer = await running.ask(b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000)
    assert answer.startswith(b"HTTP/1.1 431")


async def test_a_head_that_never_ends_is_408(running: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """And bounded in time."""
    monkeypatch.setattr(front_server, "_HEAD_SECONDS", 0.2)
    before = time.monotonic()
    answer = await running.ask(b"GET / HTTP/1.1\r\n")
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - before < 3


async def test_the_page_is_served_with_its_policy(running: Setting) -> None:
    """By the front itself: instances are not asked."""
    answer = await running.get("/?user=user123")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Security-Policy: default-src 'none'" in answer
    assert b'data-testid="user-picker"' in answer
    assert (await running.get("/page/chat.js")).startswith(b"HTTP/1.1 200")
    assert (await running.get("/page/../secret")).startswith(b"HTTP/1.1 404")


async def test_the_page_is_not_served_while_no_instance_is_ready(running: Setting) -> None:
    """A page that can do nothing says less than an error; and a script that waits for `/` waits for what it needs."""
    for instance in running.instances:
        instance.kill()
    await eventually(lambda: not running.backends.has_ready)
    answer = await running.get("/?user=user123")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 1" in answer
    assert json.loads(_body(answer))["retryable"] is True
    answer = await running.ask(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"No instance answers" in answer
    assert b'<script src="/page/again.js"></script>' in answer, "the browser tries again by itself"
    assert b"script-src 'self'" in answer
    assert (await running.get("/page/again.js")).startswith(b"HTTP/1.1 200")
    await running.instances[0].start()
    await eventually(lambda: running.backends.has_ready)
    assert (await running.get("/")).startswith(b"HTTP/1.1 200")


async def test_a_demo_token_is_what_instances_believe(running: Setting) -> None:
    """Signed with the cluster's secret, for an hour."""
    answer = await running.token(b'{"user_id": "user123"}')
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Cache-Control: no-store" in answer
    reply = json.loads(_body(answer))
    claims = jwt.decode(reply["token"], _SECRET, algorithms=["HS256"], audience="holdfast", issuer="holdfast")
    assert claims["sub"] == "user123"
    assert "scope" not in claims
    assert claims["exp"] - claims["iat"] == 3_600
    assert reply["expires_at"].endswith("Z")


async def test_demo_tokens_never_leave_the_front(running: Setting) -> None:
    """Instances have no such path, and none of these requests reaches them."""
    await running.token(b'{"user_id": "user123"}')
    assert (await running.token(b"", method="GET")).startswith(b"HTTP/1.1 405")
    assert [instance.requests for instance in running.instances] == [[], []]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"user_id": "a/b"}', (), 400),
        (b'{"user_id": 7}', (), 400),
        (b"[]", (), 400),
        (b"{", (), 400),
        (b"{}", ("Host: evil.example", "Content-Type: application/json", "Content-Length: 2"), 400),
        (b"{}", ("Host: localhost", "Content-Type: text/plain", "Content-Length: 2"), 415),
        (b"", ("Host: localhost", "Content-Type: application/json", "Content-Length: 99999"), 413),
        (b"", ("Host: localhost", "Content-Type: application/json", "Transfer-Encoding: chunked"), 413),
    ],
)
async def test_a_demo_token_is_refused_to_others(running: Setting, body: bytes, headers: tuple[str, ...], status: int) -> None:
    """No foreign page (a form, or a name that resolves to this machine) can have one, and no user that could not exist."""
    assert (await running.token(body, *headers)).startswith(f"HTTP/1.1 {status}".encode())


@pytest.mark.parametrize("path", ["/page/nothing.js", "/demo/token", "/", "/page/chat.js"])
async def test_every_answer_of_the_front_itself_forbids_a_browser_to_guess_and_to_run(running: Setting, path: str) -> None:
    """As those of the instances behind it."""
    head, _, _ = (await running.get(path)).lower().partition(b"\r\n\r\n")
    assert head.count(b"\r\nx-content-type-options: nosniff") == 1
    (policy,) = [line for line in head.split(b"\r\n") if line.startswith(b"content-security-policy: ")]
    assert policy.startswith(
        b"content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert b"unsafe" not in policy
    assert b"*" not in policy


async def test_an_order_of_the_picture_reaches_its_part(running: Setting) -> None:
    """The answer is the state after it."""
    answer = await running.form("/fleet/orders", b'{"part": "redis", "order": "kill"}')
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(_body(answer)) == {"parts": []}
    assert running.parts.orders == [("redis", Order.KILL)]
    assert (await running.form("/fleet/orders", b'{"part": "moon", "order": "kill"}')).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"part": "redis", "order": "kill"}', ("Host: evil.example", "Content-Type: application/json"), 400),
        (b'{"part": "redis", "order": "kill"}', ("Host: localhost", "Content-Type: text/plain"), 415),
        (b'{"part": "redis", "order": "explode"}', (), 400),
        (b'{"part": "redis"}', (), 400),
        (b'{"part": 7, "order": "kill"}', (), 400),
    ],
)
async def test_no_other_site_and_no_nonsense_breaks_a_part(
    running: Setting, body: bytes, headers: tuple[str, ...], status: int
) -> None:
    """A page of another site may post to this machine, too."""
    more = (*headers, f"Content-Length: {len(body)}") if headers else ()
    assert (await running.form("/fleet/orders", body, *more)).startswith(f"HTTP/1.1 {status}".encode())
    assert running.parts.orders == []


async def test_the_picture_is_there_while_no_instance_is(running: Setting) -> None:
    """That is when it is wanted most."""
    for instance in running.instances:
        instance.kill()
    await eventually(lambda: not running.backends.has_ready)
    for path in ("/fleet", "/fleet/fleet.js", "/fleet/state"):
        assert (await running.get(path)).startswith(b"HTTP/1.1 200"), path
    assert (await running.get("/fleet/nothing.js")).startswith(b"HTTP/1.1 404")
    rebound = await running.ask(b"GET /fleet/state HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert rebound.startswith(b"HTTP/1.1 400"), "a foreign name that leads here reads no pids and no paths"
