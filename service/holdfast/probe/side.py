"""One user of the probe: its client, which is replaced on demand, and what the judge is told of it.

A replacement is what an application does that starts again: a new client with the cursors of the one before. A client that the
service told to stop is replaced after a pause. Only the cancellation of `run` ends it.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from holdfast.client import Client, ClientStopped, Unreachable
from holdfast.probe.calls import Token
from holdfast.probe.judge import Judge
from holdfast.probe.measures import Measures
from holdfast.waiting import is_set_within

_STOPPED_SECONDS: Final = 5.0  # until a client that was told to stop is replaced
_CONNECT: Final = "connect"

_log = logging.getLogger(__name__)


class Side:
    """Observes its own client, see `holdfast.client.Observer`.

    Attributes:
        number: 0 or 1; of the judge's users.
        user: its id.
        busy: held while something is sent, so that no connection is ended under a send.
    """

    def __init__(self, number: Literal[0, 1], user: str, urls: tuple[str, ...], token: Token, judge: Judge, measures: Measures):
        """Connects to nothing yet."""
        self.number = number
        self.user = user
        self.busy = asyncio.Lock()
        self._urls = urls
        self._token = token
        self._judge = judge
        self._measures = measures
        self._client: Client | None = None
        self._clients = int(number)  # with several addresses, the two begin with different ones
        self._cursors: dict[str, int] | None = None
        self._generation = ""
        self._open: set[str] = set()
        self._live: set[str] = set()  # those that have replayed what was missed
        self._opening_at = 0.0
        self._broken_at: float | None = None
        self._is_overdue = False
        self._is_ready = asyncio.Event()
        self._renewed = asyncio.Event()

    @property
    def instance_id(self) -> str:
        """The instance at the other end; empty while there is none."""
        return "" if self._client is None else self._client.instance_id

    async def ready(self, within: float) -> bool:
        """Whether there is a connection that has replayed what was missed, at the latest after `within` seconds."""
        return await is_set_within(self._is_ready, within)

    async def renew(self, within: float) -> bool:
        """End the connection and the client; whether another one is ready `within` seconds."""
        self._judge.moves(self.number)
        self._is_ready.clear()
        self._renewed.set()
        return await self.ready(within)

    async def send(self, conversation: str, key: str, body: str, within: float) -> int:
        """Send over the socket; the seq.

        Raises:
            SendFailed: refused, or the client ended.
            ClientStopped: the client has ended.
            TimeoutError: no answer; it is sent on until there is one.
        """
        if self._client is None:
            raise ClientStopped("not_started", "there is no client now")
        self._judge.sent(self.number, conversation, key, body, _now())
        async with asyncio.timeout(within):
            return (await self._client.send(conversation, body, client_message_id=key)).seq

    def look(self, patience_seconds: float) -> None:
        """Count a connection that takes too long to come back, once. To be called every second or so."""
        if self._broken_at is not None and not self._is_overdue and _now() - self._broken_at > patience_seconds:
            self._is_overdue = True
            self._measures.tried("resume", is_ok=False)

    async def run(self) -> None:
        """One client after the other, until cancelled."""
        while True:
            try:
                await self._live_once()
            except ClientStopped as stopped:
                _log.error("the service told the client to stop", extra={"fields": {"user": self.user, "why": stopped}})
                self._measures.tried(_CONNECT, is_ok=False)
                await asyncio.sleep(_STOPPED_SECONDS)

    async def _live_once(self) -> None:
        self._renewed.clear()
        first = self._clients % len(self._urls)
        self._clients += 1
        urls = (*self._urls[first:], *self._urls[:first])
        client = Client(
            urls, self._token, cursors=self._cursors, generation=self._generation, observer=self, name="holdfast-probe"
        )
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with client:
                self._client = client
                tasks = [asyncio.create_task(work) for work in (_show(client), self._count(client), self._renewed.wait())]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._client = None
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            if self._live:
                self._broke(_now())
            self._open.clear()
            self._live.clear()
            self._cursors = client.cursors or self._cursors
            self._generation = client.generation or self._generation
        if not self._renewed.is_set():
            for error in ends:
                if isinstance(error, Exception):
                    raise error

    async def _count(self, client: Client) -> None:
        async for event in client.events():
            if isinstance(event, Unreachable):
                self._measures.tried(_CONNECT, is_ok=False)
                _log.warning("not connected", extra={"fields": {"user": self.user, "code": event.code, "detail": event.detail}})

    # --- what its client tells ----------------------------------------------------------------------------------------

    def record(self, event: str, **fields: Any) -> None:
        """See `Observer.record`."""
        now = _now()
        match event:
            case "opening":
                self._opening_at = now
            case "opened" | "synced" | "closed":
                self._wire(event, fields, now)
            case "received" if len(self._open) == 1:  # while one connection takes over from another, both bring the same
                self._judge.received(self.number, fields["conversation"], fields["seq"], now)
            case "shown":
                self._show(fields, now)
            case "ack":
                self._judge.acknowledged(fields["key"], fields["seq"], now)
            case "truncated":
                self._judge.truncated(self.number, fields["conversation"], fields["last"])
            case "reset":
                _log.warning("the store was restored", extra={"fields": {"conversation": fields["conversation"]}})
                self._judge.reset(self.number, fields["conversation"])

    def _show(self, message: Mapping[str, Any], now: float) -> None:
        self._judge.shown(
            self.number,
            message["conversation"],
            message["key"],
            message["seq"],
            now,
            sender=message["sender"],
            body=message["body"],
        )

    def _wire(self, event: str, fields: Mapping[str, Any], now: float) -> None:
        connection = str(fields["connection"])
        if event == "opened":
            self._open.add(connection)
            self._measures.connect.observe(now - self._opening_at)
            self._measures.tried(_CONNECT, is_ok=True)
            if fields["user"] != self.user:
                _log.error("the token is another user's", extra={"fields": {"expected": self.user, "found": fields["user"]}})
        elif event == "synced":
            self._live.add(connection)
            self._resumed(now)
        else:
            self._open.discard(connection)
            self._live.discard(connection)
            if not self._live:
                self._broke(now)
        if event != "synced":
            self._judge.rewired(self.number)

    def _resumed(self, now: float) -> None:
        self._judge.connected(self.number, now)
        self._is_ready.set()
        if self._broken_at is not None:
            self._measures.resume.observe(now - self._broken_at)
            if not self._is_overdue:
                self._measures.tried("resume", is_ok=True)
        self._broken_at, self._is_overdue = None, False

    def _broke(self, now: float) -> None:
        self._judge.disconnected(self.number, now)
        self._is_ready.clear()
        self._broken_at = now if self._broken_at is None else self._broken_at


async def _show(client: Client) -> None:
    """Take every message: the observer is told of each."""
    async for _ in client.messages():
        pass


def _now() -> float:
    return asyncio.get_running_loop().time()
