"""Waves of users who leave busy conversations for longer than the grace: of what they missed there is one record each, no other.

Messages flow all the time, so they are spread evenly around every end of a grace.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from support.chatting import Chatter, Rest
from support.eventually import eventually
from support.instances import Serving
from support.store_view import StoreView
from support.trickle import Sent, Trickle

_SURE_SECONDS = 1.0  # messages committed that long before a user left had been shown; documented is half of it
_RECORDED_SECONDS = 60.0


@dataclass
class Departure:
    """One absence. Times are monotonic; `shown`: the last seq that the user was shown, by conversation."""

    user_id: str
    left_at: float
    shown: dict[str, int]
    back_at: float = float("inf")


@dataclass
class Departures:
    """Users of some conversations, in which messages flow while this is entered.

    Attributes:
        grace_seconds: the instances' setting.
        every_seconds: between two messages of one conversation.
        departures: those that were played.
        missing: records that were not made within a minute.
    """

    serving: Sequence[Serving]
    users: Sequence[str]
    conversations: Sequence[str]
    grace_seconds: float
    every_seconds: float = 1.0
    departures: list[Departure] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    _trickles: list[Trickle] = field(default_factory=list)
    _came_at: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> Self:
        for number, c in enumerate(self.conversations):
            await self._create(number, c)
        for group in range(4):  # of different pace, so that their messages do not come in bursts
            pace = self.every_seconds * (0.9 + 0.07 * group)
            trickle = Trickle(self.serving, "maker", *self.conversations[group::4], every_seconds=pace)
            self._trickles.append(await self._stack.enter_async_context(trickle))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def play(self, waves: int, view: StoreView) -> None:
        """That many times all users connect, leave within a second, and stay away until their missed messages are recorded.

        Messages acknowledged up to 3 s after the end of the grace are judged; later messages may come when the user is back.
        """
        for wave in range(waves):
            came = await asyncio.gather(*(self._come(wave + number, user) for number, user in enumerate(self.users)))
            await _pass(2.0)
            gone = await asyncio.gather(*(self._leave(number, chatter) for number, chatter in enumerate(came)))
            await _pass(self.grace_seconds + 3.0)
            now = time.monotonic()
            for departure in gone:
                departure.back_at = now
            self.missing |= await self._wait(gone, view)
            if self.missing:
                return

    async def finish(self, view: StoreView) -> list[str]:
        """Stop the messages; the records of what was shown to the user."""
        await asyncio.gather(*(trickle.stop() for trickle in self._trickles))
        return sorted(await view.recorded(sorted(self._shown())))

    async def _wait(self, gone: Sequence[Departure], view: StoreView) -> set[str]:
        """Until everything is recorded, at most a minute; the records missing then."""
        missing = self._due(gone)
        deadline = time.monotonic() + _RECORDED_SECONDS
        while missing and time.monotonic() < deadline:
            missing -= await view.recorded(sorted(missing))
            await _pass(0.5 if missing else 0.0)
        return missing

    @property
    def messages(self) -> list[Sent]:
        """The acknowledged messages."""
        return [sent for trickle in self._trickles for sent in trickle.acked]

    def _due(self, gone: Sequence[Departure]) -> set[str]:
        """The messages acknowledged in an absence, and not shown before."""
        return {
            _record_of(departure.user_id, sent)
            for departure in gone
            for sent in self.messages
            if departure.left_at <= sent.acked_at < departure.back_at and sent.seq > departure.shown.get(sent.conversation_id, 0)
        }

    def _shown(self) -> set[str]:
        """The messages sent and acknowledged while the user was connected, and a second longer."""
        return {
            _record_of(user_id, sent)
            for user_id, spans in self._came_at.items()
            for sent in self.messages
            if any(came_at <= sent.invoked_at and sent.acked_at <= left_at - _SURE_SECONDS for came_at, left_at in spans)
        }

    async def _come(self, number: int, user: str) -> tuple[Chatter, float]:
        """To another instance each time; returns the connection, and when it was synced."""
        chatter = await Chatter(self.serving[number % len(self.serving)], user).connect()
        return chatter, time.monotonic()

    async def _leave(self, number: int, came: tuple[Chatter, float]) -> Departure:
        """Each at a moment of its own."""
        chatter, came_at = came
        await _pass(number / len(self.users))
        left_at = time.monotonic()
        await chatter.close()
        shown = {c: max(chatter.seqs(c), default=0) for c in self.conversations}
        self._came_at.setdefault(chatter.user_id, []).append((came_at, left_at))
        departure = Departure(chatter.user_id, left_at, shown)
        self.departures.append(departure)
        return departure

    async def _create(self, number: int, c: str) -> None:
        async with Rest(self.serving[number % len(self.serving)], "maker") as rest:

            async def is_done() -> bool:
                answer = await rest.post("/api/conversations", json={"members": ["maker", *self.users], "conversation_id": c})
                assert answer.is_success or answer.json()["retryable"], answer.text
                return answer.is_success

            await eventually(is_done)


def _record_of(user_id: str, sent: Sent) -> str:
    """Its id."""
    return f"{sent.conversation_id}:{sent.seq:012d}:{user_id}"


async def _pass(seconds: float) -> None:
    """Users take their time."""
    await asyncio.sleep(seconds)
