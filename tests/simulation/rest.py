"""REST as a simulated user calls it: one connection a call, HTTP/1.1 by hand. A library would cost more than the service.

The status of an answer is 0 where no instance listens, and -1 where none came: the call may be done.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from holdfast.drills.calls import Answer

_CALL_SECONDS: Final = 6.0
_ROUNDS: Final = 20
_ROUND_SECONDS: Final = 0.5


async def call(url: str, token: str, method: str, path: str, body: object = None) -> Answer:
    """One attempt at one instance."""
    is_sent = False
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            address = urlsplit(url)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                is_sent = True
                writer.write(_request(address.netloc, token, method, path, body))
                return await _answer(reader)
            finally:
                writer.transport.abort()
    except (OSError, EOFError, TimeoutError, ValueError):
        return Answer(-1 if is_sent else 0, {})


async def insist(urls: Sequence[str], token: Callable[[], str], method: str, path: str, body: object = None) -> Answer:
    """At one instance after the other, until one does it or refuses for good; -1 where none answers for long."""
    for _ in range(_ROUNDS):
        for url in urls:
            answer = await call(url, token(), method, path, body)
            if answer.is_success or answer.is_refusal:
                return answer
        await asyncio.sleep(_ROUND_SECONDS)
    return Answer(-1, {})


def _request(host: str, token: str, method: str, path: str, body: object) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {token}",
        "Connection: close",
        *(["Content-Type: application/json"] if content else []),
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = headers.get("content-length")
    content = await reader.readexactly(int(length)) if length is not None else b""
    found = json.loads(content) if content else {}
    return Answer(int(head[0].split()[1]), found if isinstance(found, dict) else {})
