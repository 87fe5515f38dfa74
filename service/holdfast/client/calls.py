"""Calls of REST: the machine's authorities, as for sockets, no proxy of the environment, no redirect. The size and the time of an
answer are bounded."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from holdfast.client.errors import ClientStopped
from holdfast.client.tls import authorities
from holdfast.errors import HoldfastError

_SECONDS: Final = 10.0
_MAX_BYTES: Final = 64 * 1024 * 1024  # a page of 200 messages that each fill a frame takes 26 MB


class Unanswered(HoldfastError):
    """No answer came, or none of a size that the service gives. The call may have been carried out."""


class Unreached(Unanswered):
    """There was no connection: the call was not carried out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, of the service or of a proxy. `retry_after`: the header, empty where there is none."""

    status: int
    content: bytes
    retry_after: str


class Calls:
    """Of one client; keeps connections open between calls. A call that fails closes its connection: an instance that
    has not begun with it then never does (docs/protocol.md, *REST*)."""

    def __init__(self) -> None:
        """Connects to nothing yet."""
        self._http: httpx.AsyncClient | None = None  # most clients never need one
        self._is_closed = False

    async def close(self) -> None:
        """Let go; calls fail from now on."""
        self._is_closed = True
        if self._http is not None:
            await self._http.aclose()

    async def call(
        self, method: str, url: str, token: str, params: Mapping[str, int] | None = None, body: bytes | None = None
    ) -> Answer:
        """One attempt, within 10 s.

        Raises:
            Unanswered: it failed.
            Unreached: it failed before it was sent.
            ClientStopped: the client was closed.
        """
        if self._is_closed:
            raise ClientStopped("closed", "the client was closed")
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=_SECONDS, trust_env=False, verify=authorities(), follow_redirects=False)
        headers = {"Authorization": f"Bearer {token}", **({} if body is None else {"Content-Type": "application/json"})}
        try:
            async with asyncio.timeout(_SECONDS):
                return await _answer(
                    self._http, self._http.build_request(method, url, params=params, content=body, headers=headers)
                )
        except httpx.ConnectError as error:
            raise Unreached(type(error).__name__) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, ValueError, RuntimeError) as error:
            raise Unanswered(type(error).__name__) from None


async def _answer(http: httpx.AsyncClient, request: httpx.Request) -> Answer:
    response = await http.send(request, stream=True)
    try:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > _MAX_BYTES:
                raise Unanswered(f"an answer of more than {_MAX_BYTES} bytes")
        return Answer(response.status_code, bytes(content), response.headers.get("Retry-After", ""))
    finally:
        await response.aclose()
