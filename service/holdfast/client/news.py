"""How an application waits for what comes: messages and events, until the client ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from holdfast.client.errors import ClientStopped

_T = TypeVar("_T")


class News:
    """Wakes whatever waits for something to take.

    Attributes:
        stopped: why nothing will come any more; None until then.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self.stopped: ClientStopped | None = None
        self._is_there = asyncio.Event()

    def tell(self) -> None:
        """There may be something to take."""
        self._is_there.set()

    def stop(self, why: ClientStopped) -> None:
        """Messages and events that came before may still be taken; then it ends."""
        self.stopped = why
        self._is_there.set()

    async def wait(self) -> None:
        """Until there may be something.

        Raises:
            ClientStopped: nothing will come any more.
        """
        if self.stopped is not None:
            raise self.stopped
        self._is_there.clear()
        await self._is_there.wait()


class Taking(AsyncIterator[_T], Generic[_T]):
    """Takes one after the other. A step that is cancelled, as by a timeout, takes nothing: the next one goes on from there."""

    def __init__(self, news: News, count: Callable[[], int], take: Callable[[], _T]) -> None:
        """`count`: how many there are to `take` now."""
        self._news = news
        self._count = count
        self._take = take

    async def __anext__(self) -> _T:
        """The next one; the end where the client was closed.

        Raises:
            ClientStopped: it ended otherwise.
        """
        while not self._count():
            try:
                await self._news.wait()
            except ClientStopped as stopped:
                if stopped.code == "closed":
                    raise StopAsyncIteration from None
                raise
        return self._take()
