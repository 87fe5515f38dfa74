"""The client's way to the service: one connection, and the next one before it ends where the server says so in time."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from msgspec import UNSET

from holdfast.client import backoff
from holdfast.client.addresses import base_urls
from holdfast.client.connection import Connection, Refused
from holdfast.client.errors import ClientStopped
from holdfast.client.greeting import Greeting
from holdfast.client.tokens import TokenInvalid, Tokens, TokenUnavailable
from holdfast.protocol import frames

Opener = Callable[[str, str], Awaitable[Connection]]
"""URL and token in, an accepted connection out; raises `Refused`."""

_SYNC_SECONDS: Final = 30.0
_TOKENS_REFUSED: Final = 3  # of a hook, in a row, before it is believed that no better one comes
_LONGEST: Final = 10  # the attempt from which on the pauses are the longest
_LASTING_SECONDS: Final = 10.0  # a connection that ends sooner counts as one more attempt: else an unlucky fleet is stormed


class LinkOwner(Protocol):
    """The user of the link."""

    def hello(self, connection: Connection) -> Greeting:
        """The first frame on a new connection, as it is now."""
        ...

    def has_in_flight(self, connection: Connection) -> bool:
        """Whether an error that names no command may be about a send."""
        ...

    def opening(self) -> None:
        """A connection is asked for: from now on the service may have accepted it."""
        ...

    def opened(self, connection: Connection) -> None:
        """A connection was accepted; its frames come from now on."""
        ...

    def refused(self, code: str, detail: str) -> None:
        """No connection is accepted now; it is tried again."""
        ...

    def took_over(self, connection: Connection) -> None:
        """Sends go out by this connection from now on; may be called twice."""
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
            TypeError: `urls` is one text.
            ValueError: no URL, or one that is no address of the service.
        """
        self._bases = base_urls(urls)
        self.base_url = self._bases[0]
        self.current: Connection | None = None
        self._at = 0
        self._attempt = 0  # in a row, without a connection that lasted
        self._tokens = tokens
        self._owner = owner
        self._open_connection = open_connection
        self._successor: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._failure: BaseException | None = None
        self._has_failed = asyncio.Event()

    def base_urls(self) -> list[str]:
        """All addresses, that of the last connection first."""
        return [self.base_url, *(each for each in self._bases if each != self.base_url)]

    def has_other(self, connection: Connection) -> bool:
        """Whether another connection is there that is in use, or replayed and about to be."""
        is_ready = self._successor is not None and self._successor.synced.is_set()
        others = (self.current, self._successor if is_ready else None)
        return any(each not in (None, connection) and not each.ended.is_set() for each in others)

    async def run(self) -> None:
        """Connect, and connect again, for ever.

        Raises:
            ClientStopped: the server told us not to come back, or refuses what we cannot change.
        """
        connection = await self._establish()
        while True:
            self._take_over(connection)
            taken_over_at = asyncio.get_running_loop().time()
            await first(connection.ended.wait(), self._has_failed.wait())
            self._raise_failure()
            lasted = connection.synced.is_set() and asyncio.get_running_loop().time() - taken_over_at >= _LASTING_SECONDS
            self._attempt = 0 if lasted else self._attempt + 1
            if (following := await self._following(connection)) is not None:
                connection = following
                continue
            if backoff.is_final(connection.code):
                raise _told_to_stop(connection)
            if backoff.is_our_mistake(connection.code):
                self._attempt = _LONGEST
            await asyncio.sleep(backoff.pause(self._attempt - 1))
            self._raise_failure()
            connection = await self._establish()

    async def close(self) -> None:
        """Leave politely, within 2 s; at once where this is cancelled."""
        open_ones = [each for each in (self.current, self._successor) if each is not None and not each.ended.is_set()]
        try:
            await asyncio.gather(*(each.close() for each in open_ones))
        finally:
            tasks = self.abort()
            await asyncio.gather(*tasks, return_exceptions=True)

    def abort(self) -> "list[asyncio.Task[Any]]":
        """End all connections now, and everything that was under way; returns what is ending."""
        for connection in (self.current, self._successor):
            if connection is not None:
                connection.abort()
        tasks = [*self._tasks, *((self._opening,) if self._opening is not None else ())]
        for task in tasks:
            task.cancel()
        return tasks

    def _take_over(self, connection: Connection) -> None:
        self.current = connection
        if self._successor is connection:
            self._successor = None
        connection.taken_over.set()
        self._owner.took_over(connection)

    async def _following(self, ended: Connection) -> Connection | None:
        """The one that took over, is there, or is under way: another attempt would load the other instances twice."""
        if self.current is not ended:
            return self.current
        self.current = None
        if self._opening is not None:
            await asyncio.wait((self._opening,))
        successor, self._successor = self._successor, None
        return successor if successor is not None and not successor.ended.is_set() else None

    async def _establish(self) -> Connection:
        refused = 0
        while True:
            try:
                return await self._open()
            except Refused as error:
                is_token = error.is_final and error.status == 401
                refused += is_token
                if error.is_final and not (is_token and self._may_get_better(refused)):
                    raise ClientStopped(error.code, error.detail) from None
                await self._pause_after(error)
            except TokenInvalid as error:
                refused += 1
                if not self._may_get_better(refused):
                    raise ClientStopped("unauthenticated", str(error)) from None
                await self._pause_after(error)
            except TokenUnavailable as error:
                await self._pause_after(error)

    def _may_get_better(self, tokens_refused: int) -> bool:
        return not self._tokens.is_static and tokens_refused < _TOKENS_REFUSED

    async def _pause_after(self, error: Refused | TokenUnavailable) -> None:
        at_least = 0.0
        if isinstance(error, Refused):
            at_least = error.retry_after_seconds
            self._owner.refused(error.code, error.detail)
        else:
            self._owner.refused("token_unavailable", str(error))
        self._attempt += 1
        await asyncio.sleep(backoff.pause(self._attempt - 1, at_least=at_least))

    async def _open(self) -> Connection:
        base = self._bases[self._at % len(self._bases)]
        self._at += 1
        token = await self._tokens.fresh()
        self._owner.opening()
        connection = await self._open_connection(base.replace("http", "ws", 1) + "/ws", token)
        self.base_url = base
        self._owner.opened(connection)
        connection.greeting = self._owner.hello(connection)
        self._start(self._read(connection))
        await connection.send(connection.greeting.frame)
        return connection

    async def _read(self, connection: Connection) -> None:
        try:
            await connection.read(lambda frame: self._received(frame, connection))
        finally:
            self._owner.closed(connection)

    def _received(self, frame: frames.AnyServerFrame, connection: Connection) -> None:
        if isinstance(frame, frames.ErrorFrame):
            self._judge(frame, connection)
        self._owner.received(frame, connection)
        if isinstance(frame, frames.Synced):
            connection.synced.set()
        elif isinstance(frame, frames.Draining) and not connection.is_draining:
            connection.is_draining = True
            self._start(self._hand_over(connection, frame.reconnect_after_ms / 1000))
        elif isinstance(frame, frames.TokenExpiring) and not connection.is_refreshing:
            connection.is_refreshing = True
            self._start(self._refresh(connection))

    def _judge(self, error: frames.ErrorFrame, connection: Connection) -> None:
        """An error about the connection, or about our `hello`: the same one would be refused again and again."""
        is_about_hello = connection.greeting is not None and error.ref == connection.greeting.frame.ref
        if not is_about_hello and not (error.ref is UNSET and error.conversation_id is UNSET):
            return
        connection.reason = error
        if connection.synced.is_set():
            return
        if error.retryable:
            if is_about_hello:
                connection.abort()
        elif error.code != "token_expired" and (is_about_hello or not self._owner.has_in_flight(connection)):
            self._fail(ClientStopped(error.code, error.detail))

    async def _hand_over(self, old: Connection, after_seconds: float) -> None:
        """Make before break: the next connection is replayed before the old one, which is about to be closed, is let go.

        If the old one ends before that, `run` goes on with the next one, as far as it is.
        """
        await asyncio.sleep(after_seconds + (backoff.pause(self._attempt - 1) if self._attempt else 0.0))
        await first(old.taken_over.wait(), old.ended.wait())  # the successor of another one is told to leave, too
        while not old.ended.is_set():
            self._opening = asyncio.create_task(self._open_successor())
            try:
                successor = await self._opening
            except (Refused, TokenUnavailable) as error:
                await self._pause_after(error)
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
            await asyncio.sleep(backoff.pause(self._attempt))
            self._attempt += 1

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
            break
        connection.is_refreshing = False

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_until_told_to_stop(work))
        self._tasks[task] = None
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Let `run` end with it."""
        self._failure = self._failure or error
        self._has_failed.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            for connection in (self.current, self._successor):
                if connection is not None:
                    connection.abort()
            self.current = None
            raise self._failure


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
