"""Answers that a client does not read, over a transport of the test's own."""

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError
from holdfast.web.calls import until_sent
from holdfast.web.http import UNREAD_SECONDS
from holdfast.web.pages import MAX_PAGES, PagesUnderWay
from holdfast.web.protocols import Protocols, public_protocols
from holdfast.web.refusals import Refusals
from support.eventually import eventually
from support.instances import token
from support.pipe import Pipe, Serving, not_started
from support.virtual_time import LoopClock, in_virtual_time, passed

_GET = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: holdfast.v1\r\n\r\n"
)
_BODY = b"x" * 1_000_000


class _Full(Pipe):
    """Takes 64 KB and then asks to wait, as asyncio's transports do, until `read`."""

    protocol: asyncio.Protocol

    is_full = False
    unread = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.unread += len(data)
        if self.unread > 65_536 and not self.is_full:
            self.is_full = True
            self.protocol.pause_writing()

    def read(self) -> None:
        """The client reads what there is."""
        self.unread, self.is_full = 0, False
        self.protocol.resume_writing()

    def abort(self) -> None:
        super().abort()
        self.protocol.connection_lost(ConnectionResetError())


class _Large:
    """Answers with 1 MB; each call is one user's page until it is sent."""

    def __init__(self) -> None:
        self.pages = PagesUnderWay()
        self.made = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await until_sent(Request(scope), self.pages.place(UserId("ann")))
        except CommandError:
            await Response(status_code=429)(scope, receive, send)
            return
        self.made += 1
        await Response(_BODY)(scope, receive, send)

    def connections(self, count: int) -> list[_Full]:
        protocols = Protocols(self, None, 75.0, Refusals(LoopClock(), "a request"), Serving())
        return [_Full(protocols()) for _ in range(count)]


@in_virtual_time
async def test_connection_that_reads_nothing_for_ten_seconds_is_cut() -> None:
    """Keep-alive would not end it: a close waits until all is read."""
    large = _Large()
    (client,) = large.connections(1)
    client.receive(_GET)
    await passed(UNREAD_SECONDS - 0.1)
    assert not client.is_closed
    await passed(0.2)
    assert client.is_closed
    assert len(client.written) < 200_000


@in_virtual_time
async def test_cut_connection_gets_no_answers_to_the_requests_behind_the_unread_one() -> None:
    """Each would take memory again, and be written to a connection that is no more."""
    large = _Large()
    (client,) = large.connections(1)
    client.receive(_GET * 4)
    await passed(UNREAD_SECONDS + 0.1)
    assert client.is_closed
    written = len(client.written)
    await passed(UNREAD_SECONDS)
    assert (large.made, len(client.written)) == (1, written)


@in_virtual_time
async def test_slow_client_that_reads_on_gets_its_whole_answer() -> None:
    """A slow line is no abuse."""
    large = _Large()
    (client,) = large.connections(1)
    client.receive(_GET)
    while not client.written.endswith(_BODY):
        await passed(UNREAD_SECONDS - 0.1)
        assert not client.is_closed
        client.read()
    await passed(UNREAD_SECONDS)
    assert not client.is_closed


@in_virtual_time
async def test_closing_connection_is_cut_when_its_answer_is_not_read() -> None:
    """`Connection: close` asks for the end, which would wait for the client."""
    large = _Large()
    (client,) = large.connections(1)
    client.receive(_GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await passed(UNREAD_SECONDS + 0.1)
    assert client.is_closed


@in_virtual_time
async def test_pages_that_one_user_does_not_read_are_few_at_a_time() -> None:
    """The others are refused, and those that follow the cut are made."""
    large = _Large()
    clients = large.connections(3 * MAX_PAGES)
    for client in clients:
        client.receive(_GET)
    await passed(UNREAD_SECONDS / 2)
    assert large.made == MAX_PAGES
    await passed(UNREAD_SECONDS)
    assert sum(client.is_closed for client in clients) >= MAX_PAGES
    (late,) = large.connections(1)
    late.receive(_GET)
    await passed(0.1)
    assert large.made == MAX_PAGES + 1


async def test_upgrade_behind_an_unread_answer_is_refused(tmp_path: Path) -> None:
    """The socket would take over a transport whose pause it was not told of, and would never measure what waits."""
    gate = not_started(tmp_path).gate
    gate.node.users.revocations.is_loaded = True  # else no token is accepted yet
    pipe = Pipe(public_protocols(gate)())
    assert isinstance(pipe.protocol, asyncio.Protocol)
    pipe.protocol.pause_writing()
    pipe.receive(_UPGRADE.replace(b"Host: x", b"Host: x\r\nAuthorization: Bearer " + token("alice").encode()))
    pipe.protocol.resume_writing()
    await eventually(lambda: b"\r\n\r\n" in pipe.written)
    assert pipe.written.startswith(b"HTTP/1.1 426 ")
