"""Calls of REST for applications: conversations are created, read and changed. Each call is harmless when it is repeated, so it
is repeated while that may help, within 30 s in all."""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

import msgspec

from holdfast.client import backoff
from holdfast.client.calls import Answer, Calls, Unanswered, Unreached
from holdfast.client.checks import check_id, check_number, checked_metadata, checked_title
from holdfast.client.errors import CallFailed, SendFailed
from holdfast.client.messages import Message
from holdfast.client.pages import PAGE, page_in
from holdfast.client.problems import foreign_answer, problem_in, retry_after_seconds
from holdfast.client.tokens import Tokens, TokenUnavailable
from holdfast.protocol import rest
from holdfast.protocol.frames import MAX_SEQ

WITHIN_SECONDS: Final = 30.0
_TOKENS_REFUSED: Final = 3  # of a hook, before it is believed that no better one comes: as for sockets
_T = TypeVar("_T")


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as its user sees it. `members`: the first ten ids; `joined_seq`: where the user's membership begins."""

    conversation_id: str
    title: str | None
    metadata: dict[str, Any] | None
    created_by: str
    created_at: str
    member_count: int
    members: tuple[str, ...]
    joined_seq: int = 0
    last_seq: int
    last_read_seq: int
    unread_count: int
    revision: int


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member. The rest is None in large conversations, and presence where the user may not see it."""

    user_id: str
    last_read_seq: int | None = None
    online: bool | None = None
    last_seen_at: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Messages in ascending order. `has_more`: in the direction that was asked; `last_seq`: where the conversation ends."""

    messages: list[Message]
    has_more: bool
    last_seq: int


class _Members(msgspec.Struct, frozen=True):
    conversation_id: str
    members: list[Member]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call. `path`: below `/api`."""

    method: str
    path: str
    params: Mapping[str, int] | None = None
    body: bytes | None = None

    @property
    def unanswered(self) -> str:
        """The outcome without an answer."""
        return "refused" if self.method == "GET" else "unknown"


class Rest:
    """Of one client, as `client.rest`.

    Each method raises:
        CallFailed: it was refused, or did not succeed within 30 s.
        ClientStopped: the client was closed, or the token hook raised it.
    """

    def __init__(self, calls: Calls, tokens: Tokens, base_urls: Callable[[], Sequence[str]], user_id: Callable[[], str]) -> None:
        """`base_urls`: the addresses of the service, the best one first. `user_id`: the client's user; empty while unknown."""
        self._calls = calls
        self._tokens = tokens
        self._base_urls = base_urls
        self._user_id = user_id

    async def create(
        self,
        members: Sequence[str],
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        conversation_id: str | None = None,
    ) -> Conversation:
        """A conversation of the user with these members. With an id it is the same one each time, if its members are."""
        with _refusals():
            key = uuid.uuid4().hex if conversation_id is None else conversation_id
            check_id(key, "conversation_id")
            if isinstance(members, str):
                raise CallFailed("invalid_request", "members: a list of ids expected, not one text", retryable=False)
            for each in members:
                check_id(each, "members")
            wanted = rest.CreateConversation(
                members=list(members),
                title=checked_title(title),
                metadata=msgspec.UNSET if metadata is None else msgspec.Raw(checked_metadata(metadata)),
                conversation_id=key,
            )
        return await self._done(_Call("POST", "conversations", body=msgspec.json.encode(wanted)), _conversation(key))

    async def direct(self, user_id: str) -> Conversation:
        """The conversation of the user and that one alone: the same from both sides, created where there is none."""
        with _refusals():
            check_id(user_id, "user_id")
        return await self._done(_Call("PUT", f"conversations/direct/{user_id}"), _conversation(None))

    async def history(
        self, conversation_id: str, *, after_seq: int | None = None, before_seq: int | None = None, limit: int = 50
    ) -> History:
        """Up to `limit` messages (200 at most), bounds exclusive: the first ones after `after_seq`, otherwise the last ones."""
        with _refusals():
            check_id(conversation_id, "conversation_id")
            params = {"limit": check_number(limit, "limit", 1, PAGE)}
            for name, seq in (("after_seq", after_seq), ("before_seq", before_seq)):
                if seq is not None:
                    params[name] = check_number(seq, name, 0, MAX_SEQ)
        call = _Call("GET", f"conversations/{conversation_id}/messages", params)
        return await self._done(call, lambda content: _history(content, conversation_id))

    async def members(self, conversation_id: str) -> list[Member]:
        """All of them."""
        with _refusals():
            check_id(conversation_id, "conversation_id")
        found = await self._done(_Call("GET", f"conversations/{conversation_id}"), _decoding(_Members))
        return found.members

    async def add_member(self, conversation_id: str, user_id: str) -> Conversation:
        """Any member adds; nothing changes where that user is a member already."""
        return await self._done(_member("PUT", conversation_id, user_id), _conversation(conversation_id))

    async def remove_member(self, conversation_id: str, user_id: str) -> None:
        """Every member may leave; the creator or an administrator removes others."""
        try:
            await self._done(_member("DELETE", conversation_id, user_id), lambda content: not content or None)
        except CallFailed as failed:
            if failed.code != "conversation_not_found" or failed.outcome != "unknown" or user_id != self._user_id():
                raise  # else an attempt whose answer was lost has removed the user, who does not see the conversation any more

    async def _done(self, call: _Call, decode: Callable[[bytes], _T | None]) -> _T:
        """Call until it is answered for good."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WITHIN_SECONDS
        failed = CallFailed("unreachable", f"not done within {WITHIN_SECONDS:.0f} s", outcome=call.unanswered)
        outcome = "refused"
        refused = 0  # tokens
        for attempt in count():
            try:
                async with asyncio.timeout_at(until):
                    return await self._once(call, attempt, decode)
            except TimeoutError:
                outcome = call.unanswered
                break  # an earlier failure says more of the reason
            except CallFailed as error:
                failed = error
            if failed.outcome == "unknown":
                outcome = "unknown"  # for good: a later refusal does not tell of an earlier attempt
            refused += failed.status == 401
            may_get_better = failed.status == 401 and not self._tokens.is_static and refused < _TOKENS_REFUSED
            pause = backoff.pause(attempt, at_least=failed.retry_after_seconds)
            if not (failed.retryable or may_get_better) or loop.time() + pause >= until:
                break
            await asyncio.sleep(pause)
        failed.outcome = outcome
        raise failed

    async def _once(self, call: _Call, attempt: int, decode: Callable[[bytes], _T | None]) -> _T:
        base_urls = self._base_urls()
        base_url = base_urls[attempt % len(base_urls)]
        try:
            token = await self._tokens.latest()
        except TokenUnavailable as error:
            is_final = self._tokens.is_static
            raise CallFailed("unauthenticated" if is_final else "token_unavailable", str(error), retryable=not is_final) from None
        try:
            answer = await self._calls.call(call.method, f"{base_url}/api/{call.path}", token, call.params, call.body)
        except Unanswered as error:
            outcome = "refused" if isinstance(error, Unreached) else call.unanswered
            raise CallFailed("unreachable", f"{base_url}: {error}", outcome=outcome) from None
        if 200 <= answer.status < 300 and (result := decode(answer.content)) is not None:
            return result
        if answer.status == 401:
            self._tokens.forget()
        raise _failure(call, answer)


def _failure(call: _Call, answer: Answer) -> CallFailed:
    outcome = call.unanswered if answer.status >= 500 or answer.status < 300 else "refused"
    pause = retry_after_seconds(answer.retry_after)
    problem = problem_in(answer.content)
    if problem is None:
        code, detail = foreign_answer(answer.status)
        return CallFailed(code, detail, outcome=outcome, status=answer.status, retry_after_seconds=pause)
    return CallFailed(
        problem.code,
        problem.detail,
        outcome=outcome,
        retryable=problem.retryable,
        status=answer.status,
        retry_after_seconds=pause,
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """What no instance would accept fails before it is asked."""
    try:
        yield
    except CallFailed:
        raise
    except SendFailed as error:
        raise CallFailed(error.code, error.detail, retryable=False) from None


def _member(method: str, conversation_id: str, user_id: str) -> _Call:
    with _refusals():
        check_id(conversation_id, "conversation_id")
        check_id(user_id, "user_id")
    return _Call(method, f"conversations/{conversation_id}/members/{user_id}")


def _decoding(kind: type[_T]) -> Callable[[bytes], _T | None]:
    def decode(content: bytes) -> _T | None:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    return decode


def _conversation(conversation_id: str | None) -> Callable[[bytes], Conversation | None]:
    decode = _decoding(Conversation)

    def that(content: bytes) -> Conversation | None:
        found = decode(content)
        return found if found is not None and conversation_id in (None, found.conversation_id) else None

    return that


def _history(content: bytes, conversation_id: str) -> History | None:
    page = page_in(content, conversation_id)
    try:
        return None if page is None else History([Message.of(frame) for frame in page.messages], page.has_more, page.last_seq)
    except (ValueError, RecursionError):  # metadata that Python does not read
        return None
