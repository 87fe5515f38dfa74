"""Bytes on a TCP connection, for what no library would send."""

import asyncio
import base64
import json
import os
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from support.eventually import PATIENCE_SECONDS
from support.instances import Serving

ENDED_SECONDS, CUT_SECONDS = 5.0, 10.0  # what breaks the protocol, or floods, stays no longer
TEXT, BINARY, CONTINUATION, CLOSE, PING = 0x1, 0x2, 0x0, 0x8, 0x9


def ws_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One client frame (RFC 6455 §5.2), well-formed or not."""
    size, mask_bit = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65_536:
        head += bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" + payload if masked else payload)  # a mask of zeros changes nothing


@dataclass
class Answered:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """Its body, which is a problem document."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Raw:
    """One TCP connection to an instance. `frames`: (opcode, payload) received so far."""

    instance: Serving
    frames: list[tuple[int, bytes]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.instance.port)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Bytes, as they are."""
        self.writer.write(data)

    async def answer(self, within: float = PATIENCE_SECONDS) -> Answered:
        """The head and the body of an HTTP answer."""
        async with asyncio.timeout(within):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answered(int(head[0].split()[1]), headers, body)

    async def ended(self, within: float = ENDED_SECONDS) -> None:
        """Returns once the server has ended the connection."""
        async with asyncio.timeout(within):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass

    async def upgrade(self, *lines: str, path: str = "/ws", method: str = "GET", **replaced: str | None) -> Answered:
        """Ask for an upgrade; headers of a good one can be replaced (`origin=…`) or left out (None)."""
        headers: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.instance.port}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        for name, value in replaced.items():
            headers[name.replace("_", "-").title().replace("Websocket", "WebSocket")] = value
        head = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", *head, *lines, "", ""]).encode("latin-1"))
        return await self.answer()

    async def open(self, bearer: str) -> "Raw":
        """Upgrade, say hello, and wait for `synced`."""
        answered = await self.upgrade(authorization=f"Bearer {bearer}")
        assert answered.status == 101, answered
        self.send(ws_frame(TEXT, b'{"type":"hello"}'))
        while (await self.frame())[1][:18] != b'{"type":"synced","':
            pass
        return self

    async def frame(self, within: float = PATIENCE_SECONDS) -> tuple[int, bytes]:
        """The next frame of the server."""
        async with asyncio.timeout(within):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self.reader.readexactly(size)
        self.frames.append((first & 0x0F, payload))
        return self.frames[-1]

    async def close_code(self, within: float = CUT_SECONDS) -> int:
        """The code of the server's close frame; 1006 when it ended without one."""
        async with asyncio.timeout(within):
            try:
                while True:
                    opcode, payload = await self.frame(within)
                    if opcode == CLOSE:
                        return int.from_bytes(payload[:2], "big")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 1006

    def errors(self) -> list[str]:
        """Codes of the `error` frames received so far."""
        documents = [json.loads(payload) for opcode, payload in self.frames if opcode == TEXT]
        return [document["code"] for document in documents if document["type"] == "error"]
