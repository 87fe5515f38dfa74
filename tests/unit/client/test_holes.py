"""Fetching what the socket did not bring: until nothing is missing, and no more than there is room for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from holdfast.client import backoff
from holdfast.client.holes import Holes
from holdfast.client.inbox import MAX_UNREAD, Inbox
from holdfast.client.pages import PAGE, Page, PageUnavailable, TokenRefused
from holdfast.client.tokens import Tokens
from holdfast.protocol.frames import MessageFrame, Reset
from support.server_frames import message, notice, synced


class Service:
    """So many messages in one conversation; answers with errors first."""

    def __init__(self, last_seq: int, *errors: Exception, is_member: bool = True) -> None:
        self.last_seq = last_seq
        self.errors = list(errors)
        self.is_member = is_member
        self.asked: list[tuple[str, int]] = []

    async def after(self, _base_url: str, token: str, _conversation_id: str, seq: int, limit: int) -> Page | None:
        self.asked.append((token, seq))
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        if not self.is_member:
            return None
        return Page([message(each) for each in range(seq + 1, min(seq + limit, self.last_seq) + 1)], self.last_seq)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "pause", lambda _attempt, *, at_least=0.0: at_least)


@asynccontextmanager
async def _fetching(inbox: Inbox, service: Service, tokens: Tokens) -> AsyncIterator[Holes]:
    def receive(frame: MessageFrame | Reset) -> None:
        if isinstance(frame, MessageFrame):
            inbox.offer(frame)
        else:
            inbox.reset(frame.conversation_id, frame.last_seq)

    holes = Holes(inbox, service, tokens, receive, lambda: "http://service")
    task = asyncio.create_task(holes.run())
    yield holes
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _until_still(service: Service) -> None:
    """Nothing is asked any more."""
    before = -1
    while before != len(service.asked):
        before = len(service.asked)
        for _ in range(50):
            await asyncio.sleep(0)


def _take_all(inbox: Inbox) -> list[int]:
    return [inbox.take().seq for _ in range(len(inbox))]


def _truncated_at(last_seq: int) -> Inbox:
    """Begun at 0, and the server says that it did not send everything."""
    inbox = Inbox({"c": 0})
    inbox.truncated("c", 1, last_seq)
    inbox.synced(synced(c=last_seq), inbox.streams.greet())
    return inbox


async def test_everything_that_was_not_sent_is_fetched() -> None:
    inbox, service = _truncated_at(2 * PAGE + 1), Service(2 * PAGE + 1)
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
    assert _take_all(inbox) == list(range(1, 2 * PAGE + 2))
    assert not inbox.streams.wanted


async def test_no_page_is_fetched_that_does_not_fit() -> None:
    """An application that takes nothing costs no more than the bound, and no page twice."""
    inbox, service = _truncated_at(MAX_UNREAD + PAGE), Service(MAX_UNREAD + PAGE)
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
        assert len(inbox) == MAX_UNREAD
        taken = [inbox.take().seq for _ in range(PAGE)]
        holes.look()
        await _until_still(service)
    assert taken + _take_all(inbox) == list(range(1, MAX_UNREAD + PAGE + 1))
    assert len({seq for _, seq in service.asked}) == len(service.asked)


async def test_a_page_that_cannot_be_had_is_asked_for_again() -> None:
    inbox, service = _truncated_at(3), Service(3, PageUnavailable("503"), PageUnavailable("503"))
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
    assert _take_all(inbox) == [1, 2, 3]


async def test_line_that_is_too_slow_for_a_whole_page_fills_the_hole_with_smaller_ones() -> None:
    class Slow(Service):
        async def after(self, _base_url: str, token: str, _conversation_id: str, seq: int, limit: int) -> Page | None:
            if limit > 30:
                self.errors.append(PageUnavailable("no answer within 10 s"))
            return await super().after(_base_url, token, _conversation_id, seq, limit)

    inbox, service = _truncated_at(2 * PAGE), Slow(2 * PAGE)
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
    assert _take_all(inbox) == list(range(1, 2 * PAGE + 1))


async def test_pages_get_larger_again_after_a_failure() -> None:
    limits = []

    class Watched(Service):
        async def after(self, _base_url: str, token: str, _conversation_id: str, seq: int, limit: int) -> Page | None:
            limits.append(limit)
            return await super().after(_base_url, token, _conversation_id, seq, limit)

    inbox, service = _truncated_at(300), Watched(300, PageUnavailable("503"))
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
    assert limits[:4] == [200, 100, 110, 120]


async def test_a_refused_token_is_replaced() -> None:
    async def login() -> str:
        return f"token-{len(service.asked)}"

    inbox, service = _truncated_at(3), Service(3, TokenRefused("401"))
    async with _fetching(inbox, service, Tokens(login)) as holes:
        holes.look()
        await _until_still(service)
    assert _take_all(inbox) == [1, 2, 3]
    assert [token for token, _ in service.asked][:2] == ["token-0", "token-1"]


async def test_a_conversation_that_is_not_ours_any_more_is_given_up() -> None:
    inbox, service = _truncated_at(3), Service(3, is_member=False)
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
    assert (_take_all(inbox), inbox.cursors, len(service.asked)) == ([], {}, 1)


async def test_late_answer_about_an_earlier_membership_does_not_end_the_newer_one() -> None:
    """The user was removed and added again while the page was under way: its messages would not be shown until the next hello."""
    inbox = _truncated_at(3)

    class Late(Service):
        async def after(self, _base_url: str, token: str, _conversation_id: str, seq: int, limit: int) -> Page | None:
            if self.asked:
                return await super().after(_base_url, token, _conversation_id, seq, limit)
            self.asked.append((token, seq))
            inbox.changed(notice("c", "member_removed", 5), "ann")
            inbox.changed(notice("c", "member_added", 6, last_seq=3), "ann")
            inbox.offer(message(5))
            return None

    service = Late(5)
    async with _fetching(inbox, service, Tokens("t")) as holes:
        holes.look()
        await _until_still(service)
    assert _take_all(inbox) == [4, 5]
