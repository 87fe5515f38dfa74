"""The frame of all answers over HTTP.

Browsers are told: take it for what it is called, run nothing of it, show it in no frame. A body goes out in parts: each waits
until the client has read most of those before it, so that an answer which is not read takes no second place in memory.
"""

from contextlib import AsyncExitStack
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFFING: Final = ("X-Content-Type-Options", "nosniff")
POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For answers that are no pages. Those of a page say what it needs instead."""
NOTHING_RUNS: Final = ("Content-Security-Policy", POLICY)
HELD: Final = "holdfast.held"
"""Of a scope: an `AsyncExitStack` that is closed once the answer is sent, or its connection has ended."""
PART_BYTES: Final = 64 * 1024  # as much as a transport takes before it asks to wait

_CLOSE: Final = (b"connection", b"close")
_SNIFFING, _POLICY = [tuple(part.lower().encode() for part in header) for header in (NO_SNIFFING, NOTHING_RUNS)]


class Lifetime(Protocol):
    """Whether the instance is about to stop. Its connections close with their next answer then, or would be cut later without a
    notice: a balancer keeps them, and does not leave by itself an instance that it connects to no more."""

    is_draining: bool


class Shielded:
    """An ASGI application, outside of all others: answers to mistakes of ours pass it, too."""

    def __init__(self, app: ASGIApp, lifetime: Lifetime) -> None:
        self._app = app
        self._lifetime = lifetime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and add what is missing to the head of the answer."""

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                has_policy = any(name.lower() == _POLICY[0] for name, _ in headers)
                message = {**message, "headers": [*headers, _SNIFFING, *([] if has_policy else [_POLICY])]}
                if self._lifetime.is_draining:
                    message["headers"].append(_CLOSE)
                await send(message)
            else:
                await _send_in_parts(message, send)

        async with AsyncExitStack() as held:
            await self._app({**scope, HELD: held}, receive, shielded)


async def _send_in_parts(message: Message, send: Send) -> None:
    body = message.get("body", b"")
    last = max(0, len(body) - 1) // PART_BYTES * PART_BYTES
    for start in range(0, last, PART_BYTES):
        await send({**message, "body": body[start : start + PART_BYTES], "more_body": True})
    await send({**message, "body": body[last:]})
