"""A client that costs next to nothing, so that a measurement is about the server.

It counts frames and looks for the few it was told to wait for; it does not parse the others.
"""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import Final

from msgspec import json

_OPENING: Final = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: holdfast.v1\r\n"
    "Authorization: Bearer {token}\r\n\r\n"
)
_END_OF_HEAD: Final = b"\r\n\r\n"


class RawClient(asyncio.Protocol):
    """One connection. `on_frame` is called with each text frame's payload; without it frames are only counted."""

    def __init__(self, token: str, host: str, on_frame: Callable[[bytes], None] | None = None) -> None:
        self.frames = 0
        self.on_frame = on_frame
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._opening = _OPENING.format(host=host, key=base64.b64encode(os.urandom(16)).decode(), token=token).encode()
        self._buffer = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For asyncio."""
        self._transport = transport  # type: ignore[assignment]  # a TCP connection; uvloop's class is no subclass of asyncio's
        self._transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        """For asyncio."""
        self._buffer += data
        if not self._is_open and not self._open():
            return
        self._take_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio."""
        for future in (self.opened, self.synced):
            if not future.done():
                future.set_exception(ConnectionError(f"closed: {bytes(self._buffer[:200])!r} {exc}"))
                future.exception()  # the waiting call gets it; no other code has to

    def send(self, frame: dict[str, object]) -> None:
        """One masked text frame (RFC 6455 §5.3; the mask is zero: its purpose is proxies, and there is none here)."""
        payload = json.encode(frame)
        size = len(payload)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    def close(self) -> None:
        """Leave without ceremony."""
        self._transport.abort()

    def _open(self) -> bool:
        end = self._buffer.find(_END_OF_HEAD)
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            self._transport.close()
            return False
        del self._buffer[: end + len(_END_OF_HEAD)]
        self._is_open = True
        self.opened.set_result(None)
        return True

    def _take_frames(self) -> None:
        buffer, at, size = self._buffer, 0, len(self._buffer)
        while size - at >= 2:
            length, head = buffer[at + 1] & 0x7F, 2
            if length == 126:
                if size - at < 4:
                    break
                length, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            elif length == 127:
                if size - at < 10:
                    break
                length, head = int.from_bytes(buffer[at + 2 : at + 10], "big"), 10
            if size - at < head + length:
                break
            if buffer[at] == 0x81:
                self._take(buffer, at + head, at + head + length)
            at += head + length
        if at:
            del buffer[:at]

    def _take(self, buffer: bytearray, start: int, end: int) -> None:
        self.frames += 1
        if not self.synced.done() and buffer.startswith(b'{"type":"synced"', start):
            self.synced.set_result(None)
        if self.on_frame is not None:
            self.on_frame(bytes(buffer[start:end]))


async def connect(
    host: str, port: int, token: str, *, hello: bool = True, on_frame: Callable[[bytes], None] | None = None
) -> RawClient:
    """Connect, and catch up unless `hello` is False."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: RawClient(token, host, on_frame), host, port)
    async with asyncio.timeout(30):
        await client.opened
        if hello:
            client.send({"type": "hello"})
            await client.synced
    return client
