"""What the socket did not replay, from REST."""

from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.client.calls import Calls, Unanswered
from holdfast.client.problems import problem_in
from holdfast.errors import HoldfastError
from holdfast.protocol.frames import MessageFrame

PAGE: Final = 200


class PageUnavailable(HoldfastError):
    """A page could not be had now."""


class TokenRefused(PageUnavailable):
    """With this token; whether another one comes is for the socket to find out."""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in ascending order; `last_seq`: where the conversation ends in the store; `has_more`: in the asked direction."""

    messages: list[MessageFrame]
    last_seq: int
    has_more: bool = False


class _Answer(msgspec.Struct):
    messages: list[msgspec.Raw]
    last_seq: int
    has_more: bool = False


class _Body(msgspec.Struct):
    """A message of a page: as in the frame, but for the `type`."""

    conversation_id: str
    seq: int
    message_id: str
    sender: str
    body: str
    client_message_id: str
    sent_at: str
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # not `| None`: msgspec would decode null alone


class Pages:
    """Reads messages by REST."""

    def __init__(self, calls: Calls) -> None:
        """Calls nothing yet."""
        self._calls = calls

    async def after(self, base_url: str, token: str, conversation_id: str, seq: int, limit: int = PAGE) -> Page | None:
        """Up to `limit` messages after `seq`; None when it is the service that says that the conversation is not ours any more.

        Raises:
            PageUnavailable: not now.
            TokenRefused: not with this token.
        """
        url = f"{base_url}/api/conversations/{conversation_id}/messages"
        try:
            answer = await self._calls.call("GET", url, token, {"after_seq": seq, "limit": limit})
        except Unanswered as error:
            raise PageUnavailable(f"{base_url}: {error}") from None
        if answer.status == 401:
            raise TokenRefused(f"{base_url}: answered 401")
        if answer.status != 200:
            problem = problem_in(answer.content)
            if problem is not None and problem.code == "conversation_not_found":
                return None
            raise PageUnavailable(f"{base_url}: answered {answer.status}")
        page = page_in(answer.content, conversation_id)
        if page is None:
            raise PageUnavailable(f"{base_url}: not a page of this conversation")
        return page


def page_in(content: bytes, conversation_id: str) -> Page | None:
    """The page in an answer; None when it is none, or one of another conversation."""
    try:
        answer = msgspec.json.decode(content, type=_Answer)
        bodies = [msgspec.json.decode(raw, type=_Body) for raw in answer.messages]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if any(body.conversation_id != conversation_id for body in bodies):
        return None
    return Page([_frame(body) for body in bodies], answer.last_seq, answer.has_more)


def _frame(body: _Body) -> MessageFrame:
    return MessageFrame(
        conversation_id=body.conversation_id,
        seq=body.seq,
        message_id=body.message_id,
        sender=body.sender,
        body=body.body,
        client_message_id=body.client_message_id,
        sent_at=body.sent_at,
        metadata=msgspec.UNSET if body.metadata is msgspec.UNSET or bytes(body.metadata) == b"null" else body.metadata,
    )
