"""One socket of the client, against a peer that stops reading: its buffers fill, and every write waits for ever."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Self

import pytest

from client_conformance.server import ScriptedServer
from holdfast.client import connection as module
from holdfast.client.connection import Connection


class Deaf(ScriptedServer):
    """Reads nothing after the handshake, and has no room for much."""

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._server = await asyncio.start_server(self._accept, sock=listening, limit=2**12)
        self.port = listening.getsockname()[1]
        return self


@contextlib.asynccontextmanager
async def _stuck(keepalive_ms: int = 20_000) -> AsyncIterator[tuple[Connection, "asyncio.Task[None]"]]:
    """A connection with a write that does not end."""
    script = {"sockets": [[{"welcome": {"keepalive_ms": keepalive_ms}}, {"until": "the end"}]]}
    async with Deaf(script) as server, asyncio.timeout(30):
        connection = await Connection.open(f"ws://127.0.0.1:{server.port}/ws", "token")
        reading = asyncio.create_task(connection.read(lambda _frame: None))
        writing = asyncio.create_task(connection.write("x" * 16_000_000))
        try:
            yield connection, reading
        finally:
            connection.abort()
            await asyncio.gather(reading, writing)


async def test_peer_that_stops_reading_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ping waits in the same full buffer; without a bound the client would never connect elsewhere."""
    monkeypatch.setattr(module, "_PONG_SECONDS", 0.1)
    async with _stuck(keepalive_ms=1_000) as (connection, _):
        await connection.ended.wait()
        assert connection.code == 1006


async def test_close_ends_although_the_peer_stopped_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.1)
    async with _stuck() as (connection, reading):
        await asyncio.sleep(0)
        await connection.close()
        await reading
        assert connection.ended.is_set()


async def test_close_that_is_cancelled_ends_the_socket_at_once() -> None:
    async with _stuck() as (connection, reading):
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        await reading
        with pytest.raises(asyncio.CancelledError):
            await closing
