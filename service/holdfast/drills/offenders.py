"""People who do what they should not: a flood of sends, a socket that is never read."""

import asyncio
import itertools
import time
from types import TracebackType
from typing import Final, Self

from holdfast.client import Client
from holdfast.client.connection import Connection, Refused
from holdfast.protocol import frames

_BURST: Final = 50
_PAUSE_SECONDS: Final = 0.05  # 1,000 a second, where 50 are allowed
_SHOUT: Final = "x" * 16_000
_SHOUTS_PER_SECOND: Final = 40


class Flooder:
    """Sends what it may not, comes back when it is thrown out; counts what got through all the same."""

    def __init__(self, url: str, token: str, conversation_id: str) -> None:
        """Connects to nothing yet."""
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._token = token
        self._conversation_id = conversation_id
        self._accepted = 0
        self._began = self._ended = time.monotonic()

    @property
    def accepted_per_second(self) -> float:
        """Acknowledged, over the time of the flood."""
        return self._accepted / max(1.0, self._ended - self._began)

    async def run(self) -> None:
        """Until it is cancelled."""
        self._began = time.monotonic()
        try:
            while True:
                try:
                    connection = await Connection.open(self._url, self._token)
                except Refused:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                await self._flood(connection)
        finally:
            self._ended = time.monotonic()

    async def _flood(self, connection: Connection) -> None:
        reading = asyncio.create_task(connection.read(self._received))
        try:
            await connection.send(frames.Hello())
            for number in itertools.count():
                if connection.ended.is_set():
                    return
                key = f"f{time.monotonic_ns()}-{number}"
                await connection.send(
                    frames.Send(conversation_id=self._conversation_id, client_message_id=key, body="and another thing")
                )
                if number % _BURST == 0:
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            connection.abort()
            await asyncio.gather(reading, return_exceptions=True)

    def _received(self, frame: frames.AnyServerFrame) -> None:
        self._accepted += isinstance(frame, frames.Ack)


async def shout(client: Client, conversation_id: str) -> None:
    """As much as one may say, and as long as one may, until cancelled."""
    said: set[asyncio.Task[frames.Ack]] = set()
    try:
        while True:
            task = asyncio.create_task(client.send(conversation_id, _SHOUT))
            said.add(task)
            task.add_done_callback(said.discard)
            await asyncio.sleep(1 / _SHOUTS_PER_SECOND)
    finally:
        for task in said:
            task.cancel()
        await asyncio.gather(*said, return_exceptions=True)


class Deaf:
    """A connection that is opened, greeted, and never read again; a context."""

    def __init__(self, url: str, token: str) -> None:
        """Connects to nothing yet."""
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._token = token
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await Connection.open(self._url, self._token)
        await self._connection.send(frames.Hello())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.abort()
