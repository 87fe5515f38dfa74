"""Changes of conversations and blocks are not carried out if their clients gave them up before they were begun.

An instance that stood still finds such calls when it goes on. Their clients had no answer in time, repeated them at another
instance, and may have undone them there since: carried out now, a call would undo what came after it. Revocations are carried
out all the same: a client that logs out may close its connection at once.
"""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_PATHS: Final = ("/api/conversations", "/api/blocks")
_TURNS: Final = 3  # of the loop: the end of a connection comes with the next read after the request, and one turn later here


class Abandoned:
    """ASGI middleware, outside of what counts: these calls have no answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve. A call with a body learns that its client is gone when the body is read."""
        if not _is_concerned(scope):
            await self._app(scope, receive, send)
            return
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if _has_body(scope):
            await self._app(scope, receive, send)
            return
        waiting = [await receive()]
        if waiting[0]["type"] == "http.disconnect":
            return

        async def replayed() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replayed, send)


def _is_concerned(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] not in _READING and scope["path"].startswith(_PATHS)


def _has_body(scope: Scope) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in scope["headers"])
