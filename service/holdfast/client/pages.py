"""What the socket did not replay, from REST."""

from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from holdfast.client.problems import problem_in
from holdfast.client.tls import authorities
from holdfast.errors import HoldfastError
from holdfast.protocol.frames import MessageFrame

PAGE: Final = 200
_SECONDS: Final = 10.0


class PageUnavailable(HoldfastError):
    """A page could not be had now."""


class TokenRefused(PageUnavailable):
    """With this token; whether another one comes is for the socket to find out."""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in ascending order; `last_seq`: where the conversation ends in the store."""

    messages: list[MessageFrame]
    last_seq: int


class _Answer(msgspec.Struct):
    messages: list[msgspec.Raw]
    last_seq: int


class _Body(msgspec.Struct):
    """A message of a page: as in the frame, but for the `type`."""

    conversation_id: str
    seq: int
    message_id: str
    sender: str
    body: str
    client_message_id: str
    sent_at: str
    metadata: msgspec.Raw | msgspec.UnsetType | None = msgspec.UNSET


class Pages:
    """Reads messages by REST; keeps one connection open between pages."""

    def __init__(self) -> None:
        """Connects to nothing yet."""
        self._http: httpx.AsyncClient | None = None  # most clients never need a page

    async def close(self) -> None:
        """Let go."""
        if self._http is not None:
            await self._http.aclose()

    async def after(self, base_url: str, token: str, conversation_id: str, seq: int) -> Page | None:
        """Up to 200 messages after `seq`; None when the conversation is not ours any more, and it is the service that says so.

        Raises:
            PageUnavailable: not now.
            TokenRefused: not with this token.
        """
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=_SECONDS, trust_env=False, verify=authorities())
        try:
            answer = await self._http.get(
                f"{base_url}/api/conversations/{conversation_id}/messages",
                params={"after_seq": seq, "limit": PAGE},
                headers={"Authorization": f"Bearer {token}"},
            )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise PageUnavailable(f"{base_url}: {type(error).__name__}") from None
        if answer.status_code == 401:
            raise TokenRefused(f"{base_url}: answered 401")
        if answer.status_code != 200:
            problem = problem_in(answer.content)
            if problem is not None and problem.code == "conversation_not_found":
                return None
            raise PageUnavailable(f"{base_url}: answered {answer.status_code}")
        return _page(answer.content, base_url, conversation_id)


def _page(content: bytes, base_url: str, conversation_id: str) -> Page:
    try:
        answer = msgspec.json.decode(content, type=_Answer)
        bodies = [msgspec.json.decode(raw, type=_Body) for raw in answer.messages]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PageUnavailable(f"{base_url}: not a page ({type(error).__name__})") from None
    if any(body.conversation_id != conversation_id for body in bodies):
        raise PageUnavailable(f"{base_url}: a page of another conversation")
    return Page([_frame(body) for body in bodies], answer.last_seq)


def _frame(body: _Body) -> MessageFrame:
    return MessageFrame(
        conversation_id=body.conversation_id,
        seq=body.seq,
        message_id=body.message_id,
        sender=body.sender,
        body=body.body,
        client_message_id=body.client_message_id,
        sent_at=body.sent_at,
        metadata=msgspec.UNSET if body.metadata is None else body.metadata,
    )
