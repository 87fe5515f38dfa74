"""What the socket did not bring is fetched by REST, until there is no hole left."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from holdfast.client import backoff
from holdfast.client.inbox import Inbox
from holdfast.client.pages import PAGE, PageUnavailable, TokenRefused
from holdfast.client.tokens import Tokens, TokenUnavailable
from holdfast.protocol.frames import MessageFrame


class Pages(Protocol):
    """See `pages.Pages`."""

    async def after(self, base_url: str, token: str, conversation_id: str, seq: int) -> list[MessageFrame] | None:
        """See `pages.Pages.after`."""
        ...


class Holes:
    """Of one inbox; one page at a time. `run` until cancelled."""

    def __init__(
        self, inbox: Inbox, pages: Pages, tokens: Tokens, offer: Callable[[MessageFrame], None], base_url: Callable[[], str]
    ) -> None:
        """`offer`: where what was fetched goes, as if the socket had brought it. `base_url`: where to fetch now."""
        self._inbox = inbox
        self._pages = pages
        self._tokens = tokens
        self._offer = offer
        self._base_url = base_url
        self._news = asyncio.Event()

    def look(self) -> None:
        """There may be something to fetch, or room for it."""
        if self._inbox.streams.wanted:
            self._news.set()

    async def run(self) -> None:
        """Fetch one conversation after the other; for ever."""
        attempt = 0
        while True:
            await self._news.wait()
            self._news.clear()
            for conversation_id in tuple(self._inbox.streams.wanted):
                try:
                    await self._fill(conversation_id)
                    attempt = 0
                except (PageUnavailable, TokenUnavailable) as error:
                    if isinstance(error, TokenRefused):
                        self._tokens.forget()
                    await asyncio.sleep(backoff.pause(attempt))
                    attempt += 1
                    self._news.set()

    async def _fill(self, conversation_id: str) -> None:
        """While a whole page fits: what does not would be thrown away and fetched again."""
        streams = self._inbox.streams
        while conversation_id in streams.wanted and self._inbox.has_room(PAGE):
            after = (streams.cursors or {}).get(conversation_id, 0)
            page = await self._pages.after(self._base_url(), await self._tokens.latest(), conversation_id, after)
            if page is None:
                self._inbox.give_up(conversation_id)
                return
            for frame in page:
                self._offer(frame)
            if not page:
                streams.exhausted(conversation_id)
