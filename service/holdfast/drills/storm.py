"""Thousands of light clients that reconnect at the same moment, and the messages that each of them is shown.

They are not among the simulated users: those clients take a millisecond each to connect, and wait a random time before they do.
These arrive as fast as one process can send. Each follows its conversations by the protocol's rule and counts what breaks it.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from holdfast.client.connection import decode
from holdfast.client.raw import RawClient
from holdfast.launcher.waiting import TargetFailed, until
from holdfast.protocol import frames

_MEMBERS: Final = 10
_EACH: Final = 6  # conversations of one user
_GENTLE: Final = 40  # connections that are opened at a time, when it is no storm yet
_CALLS: Final = 16
_OPENED_AT_ONCE: Final = 4  # conversations: on Firestore, room is counted in the list of each member first
_PAUSE_SECONDS: Final = 0.5
_SPOKEN_IN: Final = 50  # conversations, each time that something is said
_SETTLED_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 60.0
_FOLLOWED: Final = (b'{"type":"message"', b'{"type":"truncated"', b'{"type":"reset"')  # the others are not worth decoding

Call = Callable[[str, str, str, Any], Awaitable[dict[str, Any]]]


class _Device:
    """One client; `broken` counts frames that break its stream."""

    def __init__(self, user: str, token: str) -> None:
        self.user = user
        self.token = token
        self.cursors: dict[str, int] = {}
        self.broken = 0
        self._client: RawClient | None = None

    async def connect(self, host: str, port: int) -> None:
        """Returns when the replay is over.

        Raises:
            OSError: no instance accepts us, or not for long.
        """
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: RawClient(self.token, host, self._take), host, port)
        self._client = client
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.opened
            client.send({"type": "hello", "cursors": self.cursors})
            await client.synced

    def drop(self) -> None:
        """End the connection without a word."""
        if self._client is not None:
            self._client.on_frame = None  # messages still in the buffer were not shown
            self._client.close()

    def _take(self, text: bytes) -> None:
        if not text.startswith(_FOLLOWED):
            return
        frame = decode(text)
        if isinstance(frame, frames.MessageFrame):
            self.broken += frame.seq != self.cursors.get(frame.conversation_id, 0) + 1
            self.cursors[frame.conversation_id] = frame.seq
        self.broken += isinstance(frame, frames.Truncated | frames.Reset)


class Storm:
    """`gather`, then `drop` and `come_back` as often as wanted, `say` whenever, `close`. Conversations: id -> members."""

    def __init__(self, name: str, count: int, urls: Callable[[], Sequence[str]], token: Callable[[str], str], call: Call) -> None:
        """Connects to nothing yet.

        Args:
            name: in the ids of all users and conversations.
            urls: of the instances; client after client takes the next one, and the one after that when it comes back.
            token: a user's.
            call: of REST, by any instance: token, method, path and body in, the answer out.
        """
        self._name = name
        self._urls = urls
        self._call = call
        self._random = random.Random(name)
        users = [f"{name}-{number}" for number in range(count)]
        self._devices = {user: _Device(user, token(user)) for user in users}
        self._conversations: dict[str, Sequence[str]] = {}
        self._said: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._shift = 0

    async def gather(self) -> None:
        """Make the conversations and connect everybody, a few at a time.

        Raises:
            TargetFailed: it does not work even before it is a storm.
        """
        await _at_most(_OPENED_AT_ONCE, [self._open(group) for group in self._groups(len(self._urls()))])
        await _at_most(_GENTLE, [self._connect(device, number) for number, device in enumerate(self._devices.values())])

    def drop(self) -> None:
        """All connections end at once."""
        for device in self._devices.values():
            device.drop()

    async def come_back(self) -> float:
        """Everybody connects at once, to the next instance; in how many seconds the last one was up to date."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._shift += 1
        await asyncio.gather(*(self._connect(device, number) for number, device in enumerate(self._devices.values())))
        return loop.time() - began

    async def say(self) -> None:
        """Something in some of the conversations.

        Raises:
            TargetFailed: it is not acknowledged.
        """
        await _at_most(_CALLS, [self._say(each) for each in self._random.sample(list(self._said), _SPOKEN_IN)])

    async def missing(self) -> int:
        """Messages that were acknowledged and not shown to a member, when all have had their time."""
        with contextlib.suppress(TargetFailed):
            await until(lambda: self._missing() == 0, _SETTLED_SECONDS, "all clients are shown all messages")
        return self._missing()

    @property
    def broken(self) -> int:
        """Messages shown twice, out of order or after a gap."""
        return sum(device.broken for device in self._devices.values())

    def close(self) -> None:
        """Everybody leaves."""
        self.drop()

    def _missing(self) -> int:
        return sum(
            max(0, seq - self._devices[user].cursors.get(conversation, 0))
            for conversation, seq in self._said.items()
            for user in self._conversations[conversation]
        )

    def _groups(self, instances: int) -> Iterator[Sequence[str]]:
        """Of users who are connected to the same instance: when they come back to another, it has to learn all of it."""
        for first in range(instances):
            here = list(self._devices)[first::instances]
            for turn in range(1, _EACH + 1):
                for start in range(0, len(here), _MEMBERS):
                    group = [here[(start + turn * step) % len(here)] for step in range(_MEMBERS)]
                    yield list(dict.fromkeys(group))

    async def _open(self, members: Sequence[str]) -> None:
        conversation = f"{self._name}-c{next(self._numbers)}"
        body = {"conversation_id": conversation, "members": members}
        await self._call(self._devices[members[0]].token, "POST", "/api/conversations", body)
        self._conversations[conversation] = members
        self._said[conversation] = 0

    async def _say(self, conversation: str) -> None:
        speaker = self._devices[self._conversations[conversation][0]]
        body = {"client_message_id": f"storm-{next(self._numbers)}", "body": "in the storm"}
        answer = await self._call(speaker.token, "POST", f"/api/conversations/{conversation}/messages", body)
        self._said[conversation] = max(self._said[conversation], int(answer["seq"]))

    async def _connect(self, device: _Device, number: int) -> None:
        urls = self._urls()
        parts = urlsplit(urls[(number + self._shift) % len(urls)])
        while True:
            with contextlib.suppress(OSError):
                await device.connect(parts.hostname or "", parts.port or 80)
                return
            await asyncio.sleep(_PAUSE_SECONDS * self._random.uniform(0.5, 1.5))


async def _at_most(many: int, work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of it, so many at a time."""
    room = asyncio.Semaphore(many)

    async def do(one: Coroutine[Any, Any, None]) -> None:
        async with room:
            await one

    await asyncio.gather(*map(do, work))
