"""Rounds of ordinary moments: create and send, add and send, add again and send; every recipient is shown the message.

Each device goes by the rule of the protocol alone (`support.devices`), and is at an instance of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from support.chatting import Chatter, Rest
from support.devices import Device
from support.eventually import eventually
from support.instances import Serving


@dataclass
class Rounds:
    """Users with a device each, connected round robin to the instances.

    Attributes:
        missed: messages that were not shown in time, a sentence each.
        looked: how many recipients were looked at.
    """

    serving: Sequence[Serving]
    users: Sequence[str]
    within_seconds: float = 10.0
    missed: list[str] = field(default_factory=list)
    looked: int = 0
    _devices: dict[str, Device] = field(default_factory=dict)
    _senders: list[Chatter] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        for number, user in enumerate(self.users):
            self._devices[user] = Device(user)
            await self._devices[user].connect(self.serving[number % len(self.serving)])
        for instance in self.serving:
            self._senders.append(await Chatter(instance, "maker").connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in (*self._senders, *(device.connection for device in self._devices.values())):
            if each is not None:
                await each.close()

    async def play(self, first: int, count: int, at_once: int) -> None:
        """That many rounds of each moment, several under way at a time."""
        for start in range(first, first + count, at_once):
            some = range(start, min(start + at_once, first + count))
            await asyncio.gather(*(moment(number) for number in some for moment in self._moments))

    @property
    def _moments(self) -> tuple[Callable[[int], Awaitable[None]], ...]:
        return self.create_and_send, self.add_and_send, self.add_again_and_send

    async def create_and_send(self, number: int) -> None:
        """Right after the 201 of the creation the creator writes, at each instance in turn."""
        c = f"created-{number}"
        await self._create(c, *self.users)
        await self._say(number, c, "first")
        await self._all_show(c, 1, self.users)

    async def add_and_send(self, number: int) -> None:
        """A user is added to a conversation with messages, and right after the 201 there is another one."""
        c, newcomer = f"grown-{number}", self.users[number % len(self.users)]
        await self._create(c)
        for body in ("one", "two"):
            await self._say(number, c, body)
        await self._change("PUT", number, c, newcomer)
        await self._say(number + 1, c, "three")
        await self._all_show(c, 3, [newcomer])

    async def add_again_and_send(self, number: int) -> None:
        """The same with a member who was removed before."""
        c, member = f"again-{number}", self.users[number % len(self.users)]
        await self._create(c, member)
        await self._say(number, c, "one")
        await self._change("DELETE", number, c, member)
        await self._say(number, c, "two")
        await self._change("PUT", number + 1, c, member)
        await self._say(number, c, "three")
        await self._all_show(c, 3, [member])

    async def _create(self, c: str, *members: str) -> None:
        await self._call(0, "POST", "/api/conversations", {"members": ["maker", *members], "conversation_id": c})

    async def _change(self, method: str, number: int, c: str, member: str) -> None:
        await self._call(number, method, f"/api/conversations/{c}/members/{member}")

    async def _call(self, number: int, method: str, path: str, body: object = None) -> None:
        """A call that may be repeated, until the store answers: a busy emulator takes its time."""
        async with Rest(self.serving[number % len(self.serving)], "maker") as rest:

            async def is_done() -> bool:
                answer = await rest.request(method, path, json=body)
                assert answer.is_success or answer.json()["retryable"], answer.text
                return answer.is_success

            await eventually(is_done)

    async def _say(self, number: int, c: str, body: str) -> None:
        answer = await self._senders[number % len(self._senders)].insist(c, body, body)
        assert answer["type"] == "ack", answer

    async def _all_show(self, c: str, tail: int, users: Sequence[str]) -> None:
        await asyncio.gather(*(self._shows(c, tail, user) for user in users))

    async def _shows(self, c: str, tail: int, user: str) -> None:
        """The last message, once; a device by the protocol's rule shows nothing twice and nothing out of order."""
        self.looked += 1
        device = self._devices[user]
        try:
            await eventually(lambda: tail in device.judge().seqs(c), within=self.within_seconds)
        except AssertionError as error:
            self.missed.append(f"{user} was shown {device.seqs(c)} of {c}: {str(error)[:200]}")
