"""REST calls, counted by the route that answered them."""

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.telemetry import Telemetry
from holdfast.telemetry.labels import OTHER, ROUTES, STATUSES

_KNOWN: Final = frozenset(ROUTES)


class Counting:
    """ASGI middleware. Unknown paths and methods of callers make no series: they count as `other`."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._monotonic = monotonic
        self._seconds = {(method, route): telemetry.http_seconds.labels(route, method) for method, route in ROUTES}
        self._requests = {
            (method, route, status): telemetry.http_requests.labels(route, method, status)
            for method, route in ROUTES
            for status in STATUSES
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, self._monotonic()  # of a call that ends with an exception: the outermost handler answers it

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method, route = _route(scope)
            kind = "5xx" if status >= 500 else "4xx" if status >= 400 else "2xx"
            self._requests[method, route, kind].inc()
            self._seconds[method, route].observe(self._monotonic() - began)


def _route(scope: Scope) -> tuple[str, str]:
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    found = (method, getattr(scope.get("route"), "path", OTHER))
    return found if found in _KNOWN else (OTHER, OTHER)
