"""Pages of REST: they end by bytes as well as by count, and of one user a few at most are in memory at a time.

A page holds its place from before it is read until its last byte is handed to the kernel, or its connection has ended.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from holdfast.domain.ids import UserId
from holdfast.errors import rate_limited

MAX_PAGE_BYTES: Final = 1024 * 1024  # what a slow line takes within the patience of clients, 10 s
MAX_PAGES: Final = 8  # of one user at a time: clients ask for one after another, and a user has a few devices
_WAIT_SECONDS: Final = 2.0  # for a place: a backend that reads for many users has it within milliseconds


def fitting(items: Iterable[object]) -> list[bytes]:
    """The first items of a page, encoded: as many as fit into `MAX_PAGE_BYTES`, one at least where there are any."""
    texts: list[bytes] = []
    size = 0
    for item in items:
        text = msgspec.json.encode(item)
        size += len(text)
        if texts and size > MAX_PAGE_BYTES:
            break
        texts.append(text)
    return texts


class PagesUnderWay:
    """The pages of all users of one instance. Lives in the loop."""

    def __init__(self) -> None:
        self._places: WeakValueDictionary[UserId, asyncio.Semaphore] = WeakValueDictionary()  # kept by those that use them

    @contextlib.asynccontextmanager
    async def place(self, user_id: UserId) -> AsyncIterator[None]:
        """One of the user's `MAX_PAGES` places; waits a moment for it.

        Raises:
            CommandError: `rate_limited`: none became free.
        """
        places = self._places.get(user_id)
        if places is None:
            places = self._places[user_id] = asyncio.Semaphore(MAX_PAGES)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await places.acquire()
        except TimeoutError:
            raise rate_limited("too many pages at once", 1.0) from None
        try:
            yield
        finally:
            places.release()
