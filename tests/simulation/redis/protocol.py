"""The server's end of a connection: RESP2 over any transport of asyncio, pipelined. Slow subscribers are cut off."""

import asyncio
from typing import TYPE_CHECKING, Final

import hiredis

from simulation.redis.replies import Refused, error_line
from simulation.redis.state import Client

if TYPE_CHECKING:
    from simulation.redis.server import RedisServer

_HARD_BYTES: Final = 33_554_432  # client-output-buffer-limit pubsub 32mb 8mb 60
_SOFT_BYTES: Final = 8_388_608
_SOFT_SECONDS: Final = 60.0
_NOTHING: Final = object()


class RedisProtocol(Client, asyncio.Protocol):
    """One connection. Replies and pushed messages leave in the order in which Redis makes them."""

    def __init__(self, server: "RedisServer") -> None:
        super().__init__()
        self._server = server
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._replies: list[bytes] | None = None
        self._soft_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.is_running:
            transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if peer else "127.0.0.1:0"
        self._server.state.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.state.leave(self)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._server.is_frozen:
            self._server.wait(self)
        else:
            self.serve()

    def serve(self) -> None:
        """Carry out all commands that have arrived whole."""
        self._replies = []
        try:
            while self._transport is not None and not self.has_quit and self._serve_next():
                pass
        finally:
            data, self._replies = b"".join(self._replies), None
            self.send(data)
        if self.has_quit and self._transport is not None:
            self._server.state.leave(self)
            self._transport.close()

    def _serve_next(self) -> bool:
        try:
            words = self._reader.gets()
        except hiredis.ProtocolError:
            words = None
        if words is _NOTHING:
            return False
        if not isinstance(words, list) or not all(isinstance(word, bytes) for word in words):
            self.has_quit = True
            self.send(error_line(Refused("ERR Protocol error: expected '$'")))
        elif words:
            self.send(self._server.answer(self, words))
        return True

    # --- as a client of the engine --------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """See `Client`."""
        if self._replies is not None:
            self._replies.append(data)
        elif data and self._transport is not None:
            self._transport.write(data)
            if self.channels:
                self._judge(self._transport.get_write_buffer_size())

    def drop(self) -> None:
        """See `Client`. What the transport holds is lost."""
        transport, self._transport = self._transport, None
        self._server.state.leave(self)
        if transport is not None:
            transport.abort()

    def _judge(self, unsent_bytes: int) -> None:
        now = self._server.state.clock()
        if unsent_bytes <= _SOFT_BYTES:
            self._soft_since = None
        elif self._soft_since is None:
            self._soft_since = now
        is_slow = self._soft_since is not None and now - self._soft_since > _SOFT_SECONDS
        if is_slow or unsent_bytes > _HARD_BYTES:
            self.drop()
