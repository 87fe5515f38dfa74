"""`/metrics` and a few yes-or-no answers on a port of their own, for processes that serve nothing else.

Bounded: 32 connections, 8 KB of request, 5 s for one exchange. The working event loop itself answers, so a process that hangs
does not answer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from holdfast.errors import ConfigurationError

_MAX_CONNECTIONS: Final = 32
_MAX_REQUEST_BYTES: Final = 8_192
_SECONDS: Final = 5.0


class Exposition:
    """Listens inside `async with`."""

    def __init__(
        self, registry: CollectorRegistry, host: str | None, port: int, checks: Mapping[str, Callable[[], bool]]
    ) -> None:
        """`host`: None for all addresses. `checks`: path -> whether it is answered with 200; else 503."""
        self._registry = registry
        self._host = host
        self._port = port
        self._checks = checks
        self._open = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Raises ConfigurationError where the port cannot be had."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_MAX_REQUEST_BYTES)
        except OSError as error:
            raise ConfigurationError(f"metrics: cannot listen on port {self._port}: {error.strerror}") from None
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_SECONDS):
                    request = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(request))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            self._open -= 1
            writer.transport.abort()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1") if method == b"GET" else ""
        if path == "/metrics":
            return _response("200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry))
        if path in self._checks:
            return _response("200 OK", "text/plain", b"ok\n") if self._checks[path]() else _REFUSAL
        return _response("404 Not Found", "text/plain", f"here are {', '.join(['/metrics', *self._checks])}\n".encode())


def _response(status: str, content_type: str, content: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode() + content


_REFUSAL: Final = _response("503 Service Unavailable", "text/plain", b"no\n")
