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
    _is_in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """For asyncio."""
        super().connection_made(transport)
        self._start_head()

    def data_received(self, data: bytes) -> None:
        """For asyncio: count what belongs to a head before it is parsed."""
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + 65_536 or (self._head_bytes > MAX_HEAD_BYTES and b"\r\n\r\n" not in data):
                self._refuse(431, "headers are limited to 16 KB")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """For httptools: another head, on a connection that was kept."""
        super().on_message_begin()
        if not self._is_in_head:
            self._start_head()

    def on_headers_complete(self) -> None:
        """For httptools."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

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

    def _start_head(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, "a request head has 3 s")

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, detail: str) -> None:
        self._stop_timer()
        if self.transport is not None and not self.transport.is_closing():
            if self._head_bytes:
                self.transport.write(refused(Refusal(status, "invalid_request", detail)))
            self.transport.close()
