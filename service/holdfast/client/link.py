"""The client's way to the service: one connection, and the next one before it ends where the server says so in time."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from msgspec import UNSET

from holdfast.client import backoff
from holdfast.client.connection import Connection, Refused
from holdfast.client.errors import ClientStopped
from holdfast.client.tokens import Tokens, TokenUnavailable
from holdfast.protocol import frames

Opener = Callable[[str, str], Awaitable[Connection]]
"""URL and token in, an accepted connection out; raises `Refused`."""

_SYNC_SECONDS: Final = 30.0
_TOKENS_REFUSED: Final = 3  # of a hook, in a row, before it is believed that no better one comes
_LONGEST: Final = 10  # the attempt from which on the pauses are the longest


class LinkOwner(Protocol):
    """Who uses the link."""

    def hello(self) -> frames.Hello:
        """The first frame on a new connection, as it is now."""
        ...

    def opening(self) -> None:
        """A connection is asked for: from now on the service may have accepted it."""
        ...

    def opened(self, connection: Connection) -> None:
        """A connection was accepted; its frames come from now on."""
        ...

    def refused(self, code: str, detail: str) -> None:
        """Nobody accepts us now; it is tried again."""
        ...

    def took_over(self, connection: Connection) -> None:
        """What is to be sent goes out by this one from now on; may be told twice."""
        ...

    def received(self, frame: frames.AnyServerFrame, connection: Connection) -> None:
        """A frame came."""
        ...

    def closed(self, connection: Connection) -> None:
        """A connection ended; whatever was in flight on it has no answer."""
        ...


class Link:
    """Lives in the loop: `run` until cancelled.

    Attributes:
        current: the connection that sends go to; None while there is none.
        base_url: where the last connection was accepted, for REST.
    """

    def __init__(self, urls: Sequence[str], tokens: Tokens, owner: LinkOwner, open_connection: Opener = Connection.open) -> None:
        """Connects to nothing yet.

        Raises:
            ValueError: no URL, or none that is `http(s)://` or `ws(s)://`.
        """
        if not urls:
            raise ValueError("at least one URL is needed")
        self.current: Connection | None = None
        self._bases = [_base(url) for url in urls]
        self.base_url = self._bases[0]
        self._at = 0
        self._tokens = tokens
        self._owner = owner
        self._open_connection = open_connection
        self._successor: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def run(self) -> None:
        """Connect, and connect again, for ever.

        Raises:
            ClientStopped: the server told us not to come back.
        """
        attempt = 0
        while True:
            connection = self._take_successor() or await self._establish(attempt)
            self._take_over(connection)
            await connection.ended.wait()
            attempt = 0 if connection.synced.is_set() else attempt + 1
            self.current = None
            if await self._has_successor():
                continue
            if backoff.is_final(connection.code):
                raise _told_to_stop(connection)
            if backoff.is_our_mistake(connection.code):
                attempt = _LONGEST
            await asyncio.sleep(backoff.pause(attempt))

    async def close(self) -> None:
        """Leave politely, within 2 s."""
        for connection in (self.current, self._successor):
            if connection is not None and not connection.ended.is_set():
                await connection.close()
        tasks = (*self._tasks, *((self._opening,) if self._opening is not None else ()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take_over(self, connection: Connection) -> None:
        self.current = connection
        self._owner.took_over(connection)

    async def _has_successor(self) -> bool:
        """Whether there is one, once it is known: another attempt beside one that is under way would load who is left twice."""
        if self._opening is not None:
            await asyncio.wait((self._opening,))
        return self._successor is not None

    def _take_successor(self) -> Connection | None:
        successor, self._successor = self._successor, None
        return successor if successor is not None and not successor.ended.is_set() else None

    async def _establish(self, attempt: int) -> Connection:
        tokens_refused = 0
        while True:
            try:
                return await self._open()
            except Refused as error:
                tokens_refused += error.status == 401
                may_get_better = error.status == 401 and not self._tokens.is_static and tokens_refused < _TOKENS_REFUSED
                if error.is_final and not may_get_better:
                    raise ClientStopped(error.code, error.detail) from None
                await self._pause_after(error, attempt)
            except TokenUnavailable as error:
                await self._pause_after(error, attempt)
            attempt += 1

    async def _pause_after(self, error: Refused | TokenUnavailable, attempt: int) -> None:
        if isinstance(error, Refused):
            self._owner.refused(error.code, error.detail)
            await asyncio.sleep(backoff.pause(attempt, at_least=error.retry_after_seconds))
        else:
            self._owner.refused("token_unavailable", str(error))
            await asyncio.sleep(backoff.pause(attempt))

    async def _open(self) -> Connection:
        base = self._bases[self._at % len(self._bases)]
        self._at += 1
        token = await self._tokens.fresh()
        self._owner.opening()
        connection = await self._open_connection(base.replace("http", "ws", 1) + "/ws", token)
        self.base_url = base
        self._owner.opened(connection)
        self._start(self._read(connection))
        await connection.send(self._owner.hello())
        return connection

    async def _read(self, connection: Connection) -> None:
        try:
            await connection.read(lambda frame: self._received(frame, connection))
        finally:
            self._owner.closed(connection)

    def _received(self, frame: frames.AnyServerFrame, connection: Connection) -> None:
        self._owner.received(frame, connection)
        if isinstance(frame, frames.Synced):
            connection.synced.set()
        elif isinstance(frame, frames.Draining):
            self._start(self._hand_over(connection, frame.reconnect_after_ms / 1000))
        elif isinstance(frame, frames.TokenExpiring):
            self._start(self._refresh(connection))
        elif isinstance(frame, frames.ErrorFrame) and frame.ref is UNSET and frame.conversation_id is UNSET:
            connection.reason = frame

    async def _hand_over(self, old: Connection, after_seconds: float) -> None:
        """Make before break: the next connection is replayed before the old one, which is about to be closed, is let go.

        If the old one ends before that, `run` goes on with the next one, as far as it is.
        """
        await asyncio.sleep(after_seconds)
        attempt = 0
        while not old.ended.is_set() and self._successor is None and self._opening is None:
            self._opening = asyncio.create_task(self._open_successor())
            try:
                successor = await self._opening
            except (Refused, TokenUnavailable) as error:
                await self._pause_after(error, attempt)
                attempt += 1
                continue
            await first(successor.synced.wait(), successor.ended.wait(), old.ended.wait(), within=_SYNC_SECONDS)
            if old.ended.is_set():
                return
            if successor.synced.is_set() and not successor.ended.is_set():
                self._take_over(successor)
                await old.close()
                return
            self._successor = None
            await successor.close()

    async def _open_successor(self) -> Connection:
        try:
            self._successor = await self._open()
            return self._successor
        finally:
            self._opening = None

    async def _refresh(self, connection: Connection) -> None:
        """Before the token expires; after that the connection is closed, and the next one asks for a token anyway."""
        attempt = 0
        while not self._tokens.is_static and not connection.ended.is_set():
            try:
                token = await self._tokens.fresh()
            except TokenUnavailable:
                await asyncio.sleep(backoff.pause(attempt))
                attempt += 1
                continue
            await connection.send(frames.Refresh(ref=uuid.uuid4().hex, token=token))
            return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_until_told_to_stop(work))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)


async def first(*waits: Coroutine[Any, Any, object], within: float | None = None) -> None:
    """Return when one of them is over, or after that many seconds; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _until_told_to_stop(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(ClientStopped):  # the hook says so again when `run` asks for the next connection
        await work


def _told_to_stop(connection: Connection) -> ClientStopped:
    if connection.reason is not None:
        return ClientStopped(connection.reason.code, connection.reason.detail)
    return ClientStopped(f"closed_{connection.code}", "the server ended the connection for good")


def _base(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{url!r}: expected http(s)://host or ws(s)://host")
    path = parts.path.rstrip("/").removesuffix("/ws")
    return f"{scheme}://{parts.netloc}{path}"
