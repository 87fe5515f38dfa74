"""uvicorn's HTTP protocol with guards where bytes come in, and a hand-over of upgrades that leaves nothing behind.

A request head has 16 KB and 3 s. uvicorn's protocol and its parser form a cycle that would survive the upgrade (4.7 KB a
connection until the collector comes by): it is broken here.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast.web.handshake import Refusal, UpgradeRequest, refused

MAX_HEAD_BYTES: Final = 16 * 1024
HEAD_SECONDS: Final = 3.0


class GuardedHttp(HttpToolsProtocol):
    """One HTTP connection, until it becomes a WebSocket."""

    _head_bytes = 0
    _head_end = b""
    _is_in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """For asyncio."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """For asyncio: count what belongs to a head before it is parsed."""
        if self._is_in_head and not self._is_small_head(data):
            self._refuse(431, "headers are limited to 16 KB")
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """For httptools: another head, on a connection that was kept."""
        super().on_message_begin()
        if self._head_timer is None:
            self._start_timer()

    def on_message_complete(self) -> None:
        """For httptools: what comes next is another head, whose time begins with its first byte."""
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0
        self._head_end = b""

    def on_headers_complete(self) -> None:
        """For httptools."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """For uvicorn: what is not HTTP gets the same kind of answer as everything else."""
        self._refuse(400, msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the socket's class, and let go of everything of ours."""
        self._stop_timer()
        self.connections.discard(self)
        transport = self.transport
        request = UpgradeRequest(self.scope["method"], self.url, self.headers)
        socket = self.ws_protocol_class(config=self.config, server_state=self.server_state, app_state=self.app_state)  # type: ignore[call-arg,misc]  # uvicorn declares its own classes only
        transport.set_protocol(socket)
        self.parser = self.scope = self.headers = self.flow = None  # type: ignore[assignment]  # breaks the cycle
        socket.adopt(transport, request)  # type: ignore[union-attr]  # our class, whatever uvicorn declares

    def _is_small_head(self, data: bytes) -> bool:
        """Count what of `data` belongs to the head; its end may be split over two reads, and a body may follow it."""
        known = len(self._head_end)
        window = self._head_end + data
        end = window.find(b"\r\n\r\n")
        self._head_bytes += len(data) if end < 0 else end + 4 - known
        self._head_end = window[-3:]
        return self._head_bytes <= MAX_HEAD_BYTES

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, "a request head has 3 s")

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, detail: str) -> None:
        self._stop_timer()
        if self.transport is not None and not self.transport.is_closing():
            if self._head_bytes or status != 408:  # who sent nothing gets nothing
                self.transport.write(refused(Refusal(status, "invalid_request", detail)))
            self.transport.close()
