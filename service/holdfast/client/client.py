"""The client for applications. `streams` decides which messages are shown, `inbox` holds them for the application, `outbox` holds
sends without an answer, `link` is the way to the service, and `holes` fetches messages that the socket did not bring."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from msgspec import UNSET

from holdfast.client import backoff
from holdfast.client.calls import Calls
from holdfast.client.checks import Draft, checked_cursors, checked_generation, checked_name
from holdfast.client.commands import Commands
from holdfast.client.connection import Connection
from holdfast.client.errors import ClientStopped, SendFailed
from holdfast.client.events import Connected, Disconnected, Event, Nobody, Observer, Told, Unreachable
from holdfast.client.greeting import Greeting, greeting
from holdfast.client.holes import Holes
from holdfast.client.inbox import Inbox
from holdfast.client.link import Link
from holdfast.client.messages import Message
from holdfast.client.news import News, Taking
from holdfast.client.outbox import Outbox
from holdfast.client.pages import Pages
from holdfast.client.read_cursors import ReadCursors
from holdfast.client.records import message_fields, notice_fields
from holdfast.client.rest import Rest
from holdfast.client.tokens import Token, Tokens
from holdfast.protocol import frames
from holdfast.protocol.codes import CODES
from holdfast.waiting import is_set_within

MAX_EVENTS: Final = 1_000
_TICK_SECONDS: Final = 15.0  # sends without an answer, and those that are too old, are looked for this often


class Client:
    """One user's connection to Holdfast, as an asynchronous context manager.

    Args:
        urls: addresses of the service (`https://chat.example.com`); with several, each attempt takes the next.
        token: a token, or a coroutine function that returns one: called before every connection and before one expires.
        cursors: conversation -> seq of the last message that the application has, as `cursors` returned it; `{}` replays
            everything; None starts with what is new.
        generation: of the store that `cursors` are of, as `generation` returned it; empty where it is not known.
        observer: is told everything, see `Observer`.
        name: shows in the server's log, up to 64 characters.

    Attributes:
        rest: creates, reads and changes conversations, see `Rest`. It needs no connection, but to be used inside `async with`.

    Raises:
        TypeError: one of them is something else.
        ValueError: no instance would ever accept it.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: Token,
        *,
        cursors: Mapping[str, int] | None = None,
        generation: str = "",
        observer: Observer | None = None,
        name: str = "holdfast-python",
    ) -> None:
        self._tokens = Tokens(token)
        self._link = Link(urls, self._tokens, self)
        self._inbox = Inbox(checked_cursors(cursors), checked_generation(generation))
        self._user_id = ""
        self._read_cursors = ReadCursors()
        self._observer: Observer = observer or Nobody()
        self._name = checked_name(name)
        self._limits: frames.Limits | None = None
        self._outbox = Outbox()
        self._commands = Commands()
        self._events: deque[Event] | None = None
        self._news = News()
        self._replayed = asyncio.Event()
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._calls = Calls()
        self._holes = Holes(self._inbox, Pages(self._calls), self._tokens, self._found, lambda: self._link.base_url)
        self.rest = Rest(self._calls, self._tokens, self._link.base_urls, lambda: self._user_id)

    async def __aenter__(self) -> Self:
        if self._news.stopped is not None:
            raise self._news.stopped
        self._tasks = [asyncio.create_task(self._run(work)) for work in (self._link.run, self._write, self._holes.run)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        await self.close()

    # --- what applications use ----------------------------------------------------------------------------------------

    @property
    def cursors(self) -> dict[str, int]:
        """Where `messages` is in each conversation: to be kept together with the messages, and given to the next client."""
        return self._inbox.cursors

    @property
    def generation(self) -> str:
        """Of the store that `cursors` are of: to be kept with them. Another one after a restore: `Reset` follows."""
        return self._inbox.streams.generation

    @property
    def instance_id(self) -> str:
        """The instance at the other end; empty while there is none."""
        return "" if self._link.current is None else self._link.current.welcome.instance_id

    async def connected(self) -> None:
        """Wait until there is a connection and what was missed is replayed.

        Raises:
            ClientStopped: there will be none.
        """
        await self._replayed.wait()
        if self._news.stopped is not None:
            raise self._news.stopped

    def messages(self) -> AsyncIterator[Message]:
        """Every message of the user's conversations, once and in order, their own included; ends when the client is closed.

        Raises:
            ClientStopped: the server told this client not to come back.
        """
        return Taking(self._news, self._inbox.__len__, self._take)

    def events(self) -> AsyncIterator[Event]:
        """Presence, typing, receipts, conversations, connections, from now on; of more than 1,000 untaken the oldest go.

        Raises:
            ClientStopped: the server told this client not to come back.
        """
        events = self._events = self._events if self._events is not None else deque(maxlen=MAX_EVENTS)
        return Taking(self._news, events.__len__, events.popleft)

    async def send(
        self,
        conversation_id: str,
        body: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        client_message_id: str | None = None,
    ) -> frames.Ack:
        """Send a message; returns when it is stored, however many connections that takes.

        To stop waiting does not take the message back: it is sent on until it is answered or the client is closed.

        Raises:
            SendFailed: it cannot succeed, was refused for good, or was not stored within a day.
            ClientStopped: the client has ended, or was never entered.
        """
        if self._news.stopped is not None:
            raise self._news.stopped
        if not self._tasks:
            raise ClientStopped("not_started", "a client is used inside `async with`")
        key = uuid.uuid4().hex if client_message_id is None else client_message_id
        draft = Draft.of(uuid.uuid4().hex, conversation_id, key, body, metadata, read_seq=self._inbox.read_seq(conversation_id))
        if self._limits is not None and (excess := draft.excess(self._limits)) is not None:
            raise SendFailed(*excess, retryable=False)
        answered: asyncio.Future[frames.Ack] = asyncio.get_running_loop().create_future()
        self._outbox.add(draft, answered, _now())
        self._observer.record("send", conversation=conversation_id, key=key, body=body)
        self._work.set()
        return await answered

    async def read(self, conversation_id: str, message_id: str) -> frames.Ok:
        """Everything up to this message is read; returns the cursor as committed.

        Raises:
            SendFailed: it was refused, or the connection ended first; reading a later message covers this one.
        """
        ok = await self._commands.read(self._link.current, conversation_id, message_id)
        if ok.seq is not UNSET:
            self._observer.record("read", conversation=conversation_id, seq=ok.seq)
        return ok

    async def typing(self, conversation_id: str, *, active: bool = True) -> None:
        """Show others that the user types; to be repeated every 3 s. Nothing happens without a connection.

        Raises:
            SendFailed: it cannot succeed.
        """
        await self._commands.typing(self._link.current, conversation_id, active=active)

    async def close(self) -> None:
        """Leave; a call that still waits for an answer gets `SendFailed`. Idempotent."""
        self._stop(ClientStopped("closed", "the client was closed"))
        for task in self._tasks:
            task.cancel()
        try:
            await self._link.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self._calls.close()

    # --- the link's owner ---------------------------------------------------------------------------------------------

    def hello(self, connection: Connection) -> Greeting:
        """See `LinkOwner.hello`."""
        streams, limits = self._inbox.streams, connection.welcome.limits
        return greeting(streams.cursors, limits, name=self._name, number=streams.greet(), generation=streams.generation)

    def has_in_flight(self, connection: Connection) -> bool:
        """See `LinkOwner.has_in_flight`."""
        return self._outbox.has_in_flight(connection)

    def opening(self) -> None:
        """See `LinkOwner.opening`."""
        self._observer.record("opening")

    def opened(self, connection: Connection) -> None:
        """See `LinkOwner.opened`."""
        welcome = connection.welcome
        self._user_id = welcome.user_id
        self._limits = welcome.limits
        opened = {"instance": welcome.instance_id, "generation": welcome.generation or "", "resumed": self._is_resuming}
        self._record_connection("opened", connection, **opened)

    def refused(self, code: str, detail: str) -> None:
        """See `LinkOwner.refused`."""
        self._tell(Unreachable(code, detail))

    def took_over(self, connection: Connection) -> None:
        """See `LinkOwner.took_over`."""
        if connection.synced.is_set():
            self._replayed.set()
        self._work.set()

    def received(self, frame: frames.AnyServerFrame, connection: Connection) -> None:
        """See `LinkOwner.received`."""
        match frame:
            case frames.MessageFrame():
                self._observer.record("received", **message_fields(frame))
                self._offer(frame)
            case frames.Ack():
                if self._outbox.acknowledged(frame):
                    key, seq = frame.client_message_id, frame.seq
                    self._observer.record("ack", conversation=frame.conversation_id, key=key, seq=seq, duplicate=frame.duplicate)
                    self._work.set()
            case frames.ErrorFrame():
                self._failed(frame)
            case frames.Ok():
                self._commands.answered(frame)
            case frames.Truncated():
                self._observer.record("truncated", conversation=frame.conversation_id, first=frame.from_seq, last=frame.to_seq)
                self._inbox.truncated(frame.conversation_id, frame.from_seq, frame.to_seq)
                self._holes.look()
            case frames.Reset():
                self._reset(frame)
            case frames.Synced():
                self._synced(frame, connection)
            case frames.ConversationNotice():
                self._observer.record("notice", **notice_fields(frame))
                self._inbox.changed(frame, self._user_id)
            case frames.PresenceNotice():
                self._observer.record("presence", about=frame.user_id, online=frame.online)
            case frames.Receipt():
                if not self._read_cursors.moved(frame):
                    return
                self._observer.record("cursor", about=frame.user_id, conversation=frame.conversation_id, seq=frame.seq)
        if isinstance(frame, Told):
            self._tell(frame)

    def closed(self, connection: Connection) -> None:
        """See `LinkOwner.closed`."""
        reason = connection.reason
        if backoff.is_our_mistake(connection.code):
            code, detail = f"closed_{connection.code}", "the socket was closed for what was written to it"
            if reason is not None and reason.code in CODES and CODES[reason.code].close == connection.code:
                code, detail = reason.code, reason.detail
            self._outbox.blamed(connection, code, detail)
        self._outbox.lost(connection)
        self._commands.lost(connection)
        self._work.set()
        self._record_connection("closed", connection, code=connection.code, clean=connection.code != 1006)
        if not self._link.has_other(connection):
            self._replayed.clear()
            self._tell(Disconnected(connection.code, "" if reason is None else reason.code))

    # --- what frames lead to ------------------------------------------------------------------------------------------

    @property
    def _is_resuming(self) -> bool:
        return self._inbox.streams.cursors is not None

    def _offer(self, frame: frames.MessageFrame) -> None:
        if self._inbox.offer(frame):
            self._news.tell()
        self._holes.look()

    def _take(self) -> Message:
        message = self._inbox.take()
        self._holes.look()
        self._observer.record("shown", **message_fields(message))
        return message

    def _synced(self, frame: frames.Synced, connection: Connection) -> None:
        resumed = self._is_resuming
        said = connection.greeting
        assert said is not None  # noqa: S101 - the link says hello before it reads
        for reset in said.resets(connection.welcome, frame):
            self._found(reset)
        self._inbox.streams.generation = connection.welcome.generation or self.generation
        self._inbox.synced(frame, said.number, said.left_out)
        self._holes.look()
        self._record_connection("synced", connection)
        self._replayed.set()
        self._tell(Connected(connection.welcome.instance_id, connection.welcome.connection_id, resumed))

    def _found(self, frame: frames.MessageFrame | frames.Reset) -> None:
        """By REST."""
        if isinstance(frame, frames.MessageFrame):
            self._offer(frame)
        else:
            self._reset(frame)
            self._tell(frame)

    def _reset(self, frame: frames.Reset) -> None:
        self._observer.record("reset", conversation=frame.conversation_id, head=frame.last_seq)
        self._inbox.reset(frame.conversation_id, frame.last_seq)
        self._read_cursors.forget(frame.conversation_id)

    def _failed(self, frame: frames.ErrorFrame) -> None:
        if self._commands.failed(frame):
            return
        match self._outbox.failed(frame, _now()):
            case (send, failure) if failure.outcome == "refused":
                key = send.client_message_id
                self._observer.record("refused", conversation=send.conversation_id, key=key, code=frame.code)
        self._work.set()

    def _tell(self, event: Event) -> None:
        if self._events is not None:
            self._events.append(event)
            self._news.tell()

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ClientStopped as stopped:
            self._abort(stopped)
        except Exception as error:  # noqa: BLE001 - a defect, or an observer that raises: waiting calls have to fail with it
            defect = ClientStopped("internal_error", f"a defect: {type(error).__name__}, see __cause__")
            defect.__cause__ = error
            self._abort(defect)

    async def _write(self) -> None:
        """Send what is due."""
        while True:
            self._outbox.expire(_now())
            pause = _TICK_SECONDS
            connection = self._link.current
            if connection is not None and not connection.ended.is_set():
                for draft in self._outbox.due(connection, _now(), connection.welcome.limits, _wall()):
                    await connection.write(draft.text)
                next_at = self._outbox.next_at()
                pause = _TICK_SECONDS if next_at is None else min(_TICK_SECONDS, max(0.0, next_at - _now()))
            if await is_set_within(self._work, pause):
                self._work.clear()

    # --- endings ------------------------------------------------------------------------------------------------------

    def _stop(self, why: ClientStopped) -> None:
        if self._news.stopped is None:
            self._outbox.close(why.code, why.detail)
            self._news.stop(why)
            self._replayed.set()

    def _abort(self, why: ClientStopped) -> None:
        """One of the tasks has ended for good: nothing goes on without it."""
        if self._news.stopped is None:
            self._stop(why)
            self._link.abort()
            for task in self._tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    def _record_connection(self, event: str, connection: Connection, **fields: object) -> None:
        welcome = connection.welcome
        self._observer.record(event, user=welcome.user_id, connection=welcome.connection_id, **fields)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _wall() -> float:
    return time.time()  # noqa: TID251 - a client is no part of an instance, and only days count here
