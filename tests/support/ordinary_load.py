"""Ordinary load on live instances: users who chat through the Python client, read everything, and reconnect now and then."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from holdfast.client import Client
from holdfast.drills.crowd import listening
from support.chatting import new_conversation
from support.instances import Serving, token

MEMBERS = 4


class OrdinaryLoad:
    """The users of one test. `acknowledged`: how many of their messages are stored."""

    def __init__(self, instances: Sequence[Serving], users: int, pause_seconds: float) -> None:
        """`pause_seconds`: between two messages of one user."""
        self._instances = instances
        self._pause_seconds = pause_seconds
        urls = [each.url for each in instances]
        self.users = [f"user-{number}" for number in range(users)]
        self.clients = [
            Client(urls[number % len(urls) :] + urls[: number % len(urls)], token(user), cursors={})
            for number, user in enumerate(self.users)
        ]
        self.acknowledged = 0

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator["OrdinaryLoad"]:
        """They chat meanwhile. A user whose client fails fails the test."""
        rooms = [
            await new_conversation(self._instances[0], *self.users[first : first + MEMBERS])
            for first in range(0, len(self.users), MEMBERS)
        ]
        async with contextlib.AsyncExitStack() as present:
            for client in self.clients:
                await present.enter_async_context(listening(client))
            talking = [asyncio.create_task(self._talk(number, rooms[number // MEMBERS])) for number in range(len(self.users))]
            try:
                yield self
                for task in talking:
                    if task.done():
                        task.result()
            finally:
                for task in talking:
                    task.cancel()
                await asyncio.gather(*talking, return_exceptions=True)

    async def _talk(self, number: int, room: str) -> None:
        await asyncio.sleep(self._pause_seconds * number / len(self.users))
        while True:
            await self.clients[number].send(room, "a message")
            self.acknowledged += 1
            await asyncio.sleep(self._pause_seconds)

    def drop(self, number: int) -> None:
        """As the network would: end the connection of one user, whose client connects again."""
        connection = self.clients[number % len(self.clients)]._link.current
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.abort()


async def repeatedly(pause_seconds: float, act: Callable[[int], object]) -> None:
    """Until cancelled: act, with the number of the call, and pause."""
    number = 0
    while True:
        await asyncio.sleep(pause_seconds)
        act(number)
        number += 1
