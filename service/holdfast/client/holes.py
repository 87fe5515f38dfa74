"""What the socket did not bring is fetched by REST, until there is no hole left."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from holdfast.client import backoff
from holdfast.client.inbox import Inbox
from holdfast.client.pages import PAGE, Page, PageUnavailable, TokenRefused
from holdfast.client.tokens import Tokens, TokenUnavailable
from holdfast.protocol.frames import MessageFrame, Reset

_MORE: Final = 10  # messages of a page after one that came


class Pages(Protocol):
    """See `pages.Pages`."""

    async def after(self, base_url: str, token: str, conversation_id: str, seq: int, limit: int) -> Page | None:
        """See `pages.Pages.after`."""
        ...


class Holes:
    """Of one inbox; one page at a time. `run` until cancelled."""

    def __init__(
        self,
        inbox: Inbox,
        pages: Pages,
        tokens: Tokens,
        receive: Callable[[MessageFrame | Reset], None],
        base_url: Callable[[], str],
    ) -> None:
        """`receive`: where what was found goes, as if the socket had brought it. `base_url`: where to fetch now."""
        self._inbox = inbox
        self._pages = pages
        self._tokens = tokens
        self._receive = receive
        self._base_url = base_url
        self._news = asyncio.Event()
        self._limit = PAGE  # fewer after each failure, because a line may be too slow for a large page
        self._failures: dict[str, int] = {}  # in a row
        self._not_before: dict[str, float] = {}

    def look(self) -> None:
        """There may be something to fetch, or room for it."""
        if self._inbox.streams.wanted:
            self._news.set()

    async def run(self) -> None:
        """Fetch one conversation after the other; for ever. One that fails waits alone.

        Raises:
            ClientStopped: raised by the token hook.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._wait()
            for conversation_id in tuple(self._inbox.streams.wanted):
                if loop.time() < self._not_before.get(conversation_id, 0.0):
                    continue
                try:
                    await self._fill(conversation_id)
                except (PageUnavailable, TokenUnavailable) as error:
                    self._limit = max(1, self._limit // 2)
                    if isinstance(error, TokenRefused):
                        self._tokens.forget()
                    attempt = self._failures.get(conversation_id, 0)
                    self._failures[conversation_id] = attempt + 1
                    self._not_before[conversation_id] = loop.time() + backoff.pause(attempt)
                else:
                    self._forgive(conversation_id)

    async def _wait(self) -> None:
        """Until something is new, or may be tried again."""
        for conversation_id in [waiting for waiting in self._not_before if waiting not in self._inbox.streams.wanted]:
            self._forgive(conversation_id)
        try:
            async with asyncio.timeout_at(min(self._not_before.values(), default=None)):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def _forgive(self, conversation_id: str) -> None:
        self._failures.pop(conversation_id, None)
        self._not_before.pop(conversation_id, None)

    async def _fill(self, conversation_id: str) -> None:
        """While a whole page fits: what does not would be thrown away and fetched again."""
        streams = self._inbox.streams
        while conversation_id in streams.wanted and self._inbox.has_room(self._limit):
            after = (streams.cursors or {}).get(conversation_id, 0)
            membership = streams.membership(conversation_id)
            token = await self._tokens.latest()
            page = await self._pages.after(self._base_url(), token, conversation_id, after, self._limit)
            if page is None:
                if streams.membership(conversation_id) != membership:
                    continue  # the user was added again meanwhile
                self._inbox.give_up(conversation_id)
                return
            self._limit = min(PAGE, self._limit + _MORE)
            if conversation_id not in (streams.cursors or {}):
                return  # it ended meanwhile: what the page brings must not begin it again
            for frame in page.messages:
                self._receive(frame)
            if (streams.cursors or {}).get(conversation_id) != after:
                continue
            if page.messages:
                raise PageUnavailable("a page without the message that was asked for")
            if page.last_seq < after:
                self._receive(Reset(conversation_id=conversation_id, last_seq=page.last_seq))
            streams.exhausted(conversation_id)
