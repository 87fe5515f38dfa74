"""REST as simulated users call it: each call by a connection of its own."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from holdfast.client.tls import authorities
from holdfast.launcher.waiting import TargetFailed

_CALL_SECONDS: Final = 5.0
_ROUNDS: Final = 20
_ROUND_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What an instance said. `status`: 0 where no instance listens. `content`: the JSON object, empty where it was none."""

    status: int
    content: dict[str, Any]

    @property
    def is_success(self) -> bool:
        """Done."""
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """Not done, and never will be: the same call again would be answered the same."""
        return 400 <= self.status < 500 and not self.content.get("retryable", False)

    @property
    def is_elsewhere(self) -> bool:
        """Not done here; another instance may do it."""
        return self.status == 0 or self.code in ("draining", "overloaded")

    @property
    def code(self) -> str:
        """Of the problem, empty where there is none."""
        return str(self.content.get("code", ""))


class Calls:
    """Of a drill's users; `close` when it is over."""

    def __init__(self, urls: Callable[[], Sequence[str]]) -> None:
        """`urls`: of the instances that may be asked now."""
        self._urls = urls
        # No connection is kept: behind a Service the next attempt has to reach another instance than the one that failed.
        each_anew = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(trust_env=False, verify=authorities(), timeout=_CALL_SECONDS, limits=each_anew)

    async def close(self) -> None:
        """No call is made after this."""
        await self._http.aclose()

    async def once(self, url: str, token: str, method: str, path: str, body: Any = None) -> Answer | None:
        """One attempt at one instance; None where it did not answer: then the call may have been carried out, or will be."""
        try:
            answer = await self._http.request(method, url + path, json=body, headers={"Authorization": f"Bearer {token}"})
        except httpx.ConnectError:
            return Answer(0, {})
        except httpx.HTTPError:
            return None
        try:
            content = msgspec.json.decode(answer.content, type=dict[str, Any]) if answer.content else {}
        except msgspec.MsgspecError:
            content = {}
        return Answer(answer.status_code, content)

    async def insist(
        self, token: str, method: str, path: str, body: Any = None, *, first: str = "", is_enough: Callable[[Answer], bool]
    ) -> Answer:
        """At one instance after the other, until one gives an answer that is enough. `first`: the URL to begin with.

        Raises:
            TargetFailed: none does, for long.
        """
        told = "no instance answers"
        for _ in range(_ROUNDS):
            urls = list(self._urls())
            for url in [each for each in urls if each == first] + [each for each in urls if each != first]:
                answer = await self.once(url, token, method, path, body)
                if answer is not None and is_enough(answer):
                    return answer
                told = f"{url}: {'no answer' if answer is None else f'{answer.status} {answer.content}'}"[:300]
            await asyncio.sleep(_ROUND_SECONDS)
        raise TargetFailed(f"{method} {path}: {told}")
