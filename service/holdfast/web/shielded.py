"""What every answer over HTTP says to browsers: take it for what it is called, run nothing of it, show it in no frame."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFFING: Final = ("X-Content-Type-Options", "nosniff")
POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For answers that are no pages. Those of a page say what it needs instead."""
NOTHING_RUNS: Final = ("Content-Security-Policy", POLICY)

_SNIFFING, _POLICY = [tuple(part.lower().encode() for part in header) for header in (NO_SNIFFING, NOTHING_RUNS)]


class Shielded:
    """An ASGI application, outside of all others: answers to mistakes of ours pass it, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and add what is missing to the head of the answer."""

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                has_policy = any(name.lower() == _POLICY[0] for name, _ in headers)
                message = {**message, "headers": [*headers, _SNIFFING, *([] if has_policy else [_POLICY])]}
            await send(message)

        await self._app(scope, receive, shielded)
