"""REST as the probe's users call it. Each call has one attempt and a time limit: the probe counts, it does not insist."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import msgspec

from holdfast.client.tls import authorities
from holdfast.errors import ConfigurationError, HoldfastError

Token = Callable[[], Awaitable[str]]

_PAGE: Final = 200


class CallFailed(HoldfastError):
    """Not done, or not known to be done; its text says what came instead."""


class Calls:
    """Of one user; `close` when it is over. Every call raises CallFailed."""

    def __init__(self, urls: tuple[str, ...], token: Token, seconds: float) -> None:
        """`urls`: of the service, asked in turn. `seconds`: for one call."""
        self._urls = urls
        self._token = token
        self._seconds = seconds
        self._at = 0
        # No connection is kept: each call may reach another instance than the one before.
        each_anew = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(trust_env=False, verify=authorities(), timeout=seconds, limits=each_anew)

    async def close(self) -> None:
        """No call is made after this."""
        await self._http.aclose()

    async def direct(self, other: str) -> str:
        """The id of the conversation with that user, which is created where there is none."""
        return str((await self._call("PUT", f"/conversations/direct/{other}"))["conversation_id"])

    async def create(self, conversation: str, *others: str) -> None:
        """A conversation with them."""
        await self._call("POST", "/conversations", {"conversation_id": conversation, "members": list(others)})

    async def leave(self, conversation: str, user: str) -> None:
        """The caller, `user`, is no member any more."""
        await self._call("DELETE", f"/conversations/{conversation}/members/{user}")

    async def send(self, conversation: str, key: str, body: str) -> tuple[int, bool]:
        """The seq of the message, and whether it was stored before."""
        answer = await self._call("POST", f"/conversations/{conversation}/messages", {"client_message_id": key, "body": body})
        return int(answer["seq"]), bool(answer["duplicate"])

    async def conversations(self) -> list[dict[str, Any]]:
        """Summaries of the latest 200 of the caller."""
        return list((await self._call("GET", f"/conversations?limit={_PAGE}"))["conversations"])

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        url = f"{self._urls[self._at % len(self._urls)]}/api{path}"
        self._at += 1
        try:
            async with asyncio.timeout(self._seconds):
                headers = {"Authorization": f"Bearer {await self._token()}"}
                answer = await self._http.request(method, url, json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ConfigurationError) as error:
            raise CallFailed(f"{method} {path}: {str(error) or type(error).__name__}") from None
        if not answer.is_success:
            raise CallFailed(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        try:
            return msgspec.json.decode(answer.content or b"{}", type=dict[str, Any])
        except msgspec.MsgspecError:
            raise CallFailed(f"{method} {path}: not an answer of the service") from None
