"""Calls that a client gave up while the instance stood still."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from holdfast.adapters.machine.clock import SystemClock
from holdfast.web.abandoned import Abandoned
from holdfast.web.protocols import Protocols
from holdfast.web.refusals import Refusals
from support.eventually import eventually
from support.pipe import Serving


class _Server:
    """One that carries out calls by writing them down.

    Attributes:
        begun: calls that reached the application.
        done: those that were carried out.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.address = ("127.0.0.1", 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, as calls with and without a body use it."""
        request = Request(scope, receive)
        self.begun.append(request.url.path)
        if request.headers.get("content-length", "0") != "0":
            with contextlib.suppress(ClientDisconnect):
                await request.body()
                self.done.append(request.url.path)
        else:
            self.done.append(request.url.path)
        await Response(status_code=204)(scope, receive, send)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on loopback."""
        protocols = Protocols(Abandoned(self), None, 5.0, Refusals(SystemClock(), "a request"), Serving())
        server = await asyncio.get_running_loop().create_server(protocols, "127.0.0.1", 0)
        self.address = server.sockets[0].getsockname()
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    def send(self, method: str, path: str, body: bytes = b"") -> socket.socket:
        """A call, written while the loop stands still: this does not give it a turn."""
        made = socket.create_connection(self.address)
        made.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return made


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("give_up", [socket.socket.close, _reset])
async def test_change_given_up_before_it_was_begun_is_not_carried_out(give_up: object, body: bytes) -> None:
    """Its client has repeated it elsewhere, and may have undone it since."""
    server = _Server()
    async with server.serving():
        for number in range(5):
            given_up = server.send("PUT", f"/api/conversations/c/members/{number}", body)
            give_up(given_up)  # type: ignore[operator]  # two ways to end it
        waiting = server.send("PUT", "/api/conversations/c/members/last", body)
        await eventually(lambda: server.done)
        assert server.done == ["/api/conversations/c/members/last"]
        waiting.close()


async def test_revocation_is_carried_out_although_its_client_has_gone() -> None:
    """A client that logs out may close its connection without waiting."""
    server = _Server()
    async with server.serving():
        server.send("DELETE", "/api/connections").close()
        await eventually(lambda: server.done == ["/api/connections"])
