"""The ordinary actions in a chat, beside the failure of a drill: conversations begin, members come, go and come back.

In each of them a user writes at once, by the socket or by REST, at the same instance or at another one. Requests and
acknowledgements are in the history. A change without an answer may have happened or not; that user is not used again in that
conversation.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from holdfast.client import Client, ClientStopped
from holdfast.drills.crowd import AWAY, Crowd, listening
from holdfast.drills.history import History
from holdfast.launcher.waiting import TargetFailed
from holdfast.waiting import is_set_within

_PAUSE_AT_RATE: Final = 60.0  # one moment a second with 60 messages a second
_LEAST_PAUSE_SECONDS: Final = 0.5
_MAX_CONVERSATIONS: Final = 200  # of a run; a user may be in 1,000
_MAX_UNDER_WAY: Final = 6
_GREATEST_LAG_SECONDS: Final = 0.03  # between what is to happen at the same time
_TRY_SHARE: Final = 0.3  # of the removed, who write all the same
_SOCKET_SHARE: Final = 0.5
_REMOVED_SECONDS: Final = 4.0  # longer than what is delivered and accepted after a removal
_CONNECTED_SECONDS: Final = 15.0
_SHOWN_SECONDS: Final = 6.0  # longer than a delivery may take
_END_SECONDS: Final = 60.0


class Moments:
    """Of one run; an asynchronous context manager: they end with it."""

    def __init__(
        self,
        crowd: Crowd,
        history: History,
        urls: Callable[[], Sequence[str]],
        token: Callable[[str], str],
        seed: int,
        rate: float,
        *,
        has_newcomers: bool = True,
    ) -> None:
        """`urls`: of the instances that may be asked now. `rate`: of the simulated users, messages a second.

        `has_newcomers`: there is a token for every user, also for users without a client.
        """
        self._crowd = crowd
        self._history = history
        self._urls = urls
        self._token = token
        self._random = random.Random(seed + 1)
        self._pause_seconds = max(_LEAST_PAUSE_SECONDS, _PAUSE_AT_RATE / rate)
        self._own: list[str] = []
        self._taken: set[tuple[str, str]] = set()
        self._left_alone: set[tuple[str, str]] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()
        self._names = 0
        self._has_newcomers = has_newcomers
        self._absent = self._name("absent")

    async def __aenter__(self) -> None:
        self._playing = asyncio.create_task(self._play())

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Actions under way end by themselves, unless the run was aborted."""
        self._is_over.set()
        tasks = {self._playing, *self._under_way}
        if kind is None:
            await asyncio.wait(tasks, timeout=_END_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _play(self) -> None:
        changes = (self._addition, self._return)
        beginnings = (self._creation, self._direct, *((self._first_visit,) if self._has_newcomers else ()))
        while not await self._is_over_within(self._random.uniform(0.5, 1.5) * self._pause_seconds):
            kind = self._random.choice((*changes, *beginnings) if len(self._own) < _MAX_CONVERSATIONS else changes)
            if len(self._under_way) < _MAX_UNDER_WAY:
                task = asyncio.create_task(_as_far_as_it_goes(kind()))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    # --- the moments --------------------------------------------------------------------------------------------------

    async def _creation(self) -> None:
        """A conversation begins, and its creator writes at once."""
        members = self._connected(self._random.randint(3, 6))
        conversation = self._name("talk")
        if await self._create(conversation, members, self._url()):
            self._write(members[0], conversation)
            await self._later(members, conversation)

    async def _direct(self) -> None:
        """Two users open their direct conversation at the same time, under the same id, and both write at once."""
        pair = self._connected(2)
        conversation = self._name("direct")
        with self._crowd.changing(conversation, *pair, present=True) as acknowledged:

            async def open_it(user: str) -> None:
                await self._lag()
                if await self._ask_to_create(conversation, user, pair, self._url()):
                    acknowledged()
                    self._write(user, conversation)

            await asyncio.gather(*(open_it(user) for user in pair))
        self._keep(conversation)

    async def _addition(self) -> None:
        """A member is added while others write; everybody writes right after that."""
        conversation, members = self._conversation()
        outside = [user for user in (*self._crowd.clients, self._absent) if user not in members]
        async with self._one_of(outside, conversation) as newcomer:
            if newcomer:
                connected = [user for user in members if user in self._crowd.clients]  # a token command printed theirs
                by = self._random.choice(connected or members)
                await self._add(by, newcomer, conversation, self._url(), beside=members)
                await self._later(self._crowd.conversations[conversation], conversation)

    async def _return(self) -> None:
        """A member is removed and added again while others write; some try to write in between."""
        conversation, members = self._conversation()
        async with self._one_of([user for user in members[1:] if user in self._crowd.clients], conversation) as leaver:
            if not leaver or not await self._remove(members[0], leaver, conversation, self._url(), beside=members):
                return
            if self._random.random() < _TRY_SHARE and not await self._is_over_within(_REMOVED_SECONDS):
                self._crowd.say_by_rest(leaver, conversation, self._url())
            await self._later(self._crowd.conversations[conversation], conversation)
            await self._add(members[0], leaver, conversation, self._url(), beside=members)

    async def _first_visit(self) -> None:
        """Users who never were connected: one creates at an instance, members change at another, and then they connect."""
        creator, member, leaver, newcomer = (self._name(name) for name in ("ann", "ben", "cyd", "dan"))
        conversation, here, there = self._name("visit"), self._url(), self._url()
        if not await self._create(conversation, [creator, member, leaver], here):
            return
        self._crowd.say_by_rest(creator, conversation, here)
        is_removed = await self._remove(creator, leaver, conversation, there, beside=())
        is_added = await self._add(creator, newcomer, conversation, there, beside=())
        async with self._visitor(creator, here) as creating, self._visitor(newcomer, here) as coming:
            self._crowd.say(creator, conversation, creating)
            if is_added:
                self._crowd.say(newcomer, conversation, coming)
            await self._is_over_within(_REMOVED_SECONDS)
            if is_removed:
                self._crowd.say_by_rest(leaver, conversation, here)
            await self._is_over_within(_SHOWN_SECONDS)
            await self._crowd.answered(creator, newcomer, leaver)

    # --- their parts --------------------------------------------------------------------------------------------------

    async def _create(self, conversation: str, members: list[str], url: str) -> bool:
        """By the first of them; whether it is there. A repeated call finds what an earlier one has made."""
        with self._crowd.changing(conversation, *members, present=True) as acknowledged:
            if await self._ask_to_create(conversation, members[0], members, url):
                acknowledged()
        return self._keep(conversation)

    def _keep(self, conversation: str) -> bool:
        """For later moments, if it was made."""
        is_made = conversation in self._crowd.conversations
        if is_made:
            self._own.append(conversation)
        return is_made

    async def _ask_to_create(self, conversation: str, creator: str, members: Sequence[str], url: str) -> bool:
        body = {"conversation_id": conversation, "members": list(members), "title": conversation}
        try:
            answer = await self._crowd.calls.insist(
                self._token(creator),
                "POST",
                "/api/conversations",
                body,
                first=url,
                is_enough=lambda answer: answer.is_success or answer.is_refusal,
            )
        except TargetFailed:
            return False
        return answer.is_success or answer.code == "conversation_exists"

    async def _add(self, by: str, user: str, conversation: str, url: str, *, beside: Sequence[str]) -> bool:
        is_added = await self._change("PUT", by, user, conversation, url, beside)
        if is_added:
            for writer in dict.fromkeys((by, user, self._random.choice([by, *beside]))):
                self._write(writer, conversation)
        return is_added

    async def _remove(self, by: str, user: str, conversation: str, url: str, *, beside: Sequence[str]) -> bool:
        is_removed = await self._change("DELETE", by, user, conversation, url, beside)
        if is_removed:
            self._write(by, conversation)
        return is_removed

    async def _change(self, method: str, by: str, user: str, conversation: str, url: str, beside: Sequence[str]) -> bool:
        """Whether it was acknowledged. Others write meanwhile; no other moment changes this membership."""
        path = f"/api/conversations/{conversation}/members/{user}"
        urls = [url, *(each for each in self._urls() if each != url)]
        writing = asyncio.create_task(self._later(beside, conversation))
        is_changed = False
        with self._crowd.changing(conversation, user, present=method == "PUT") as acknowledged:
            for each in urls:
                answer = await self._crowd.calls.once(each, self._token(by), method, path)
                if answer is None or not answer.is_elsewhere:
                    is_changed = answer is not None and answer.is_success
                    break
            if is_changed:
                acknowledged()
            else:
                self._left_alone.add((user, conversation))
        await writing
        return is_changed

    @asynccontextmanager
    async def _one_of(self, users: Sequence[str], conversation: str) -> AsyncIterator[str]:
        """One of them, whose membership no other moment changes meanwhile; empty where there is none."""
        free = [user for user in users if (user, conversation) not in self._taken | self._left_alone]
        user = self._random.choice(free) if free else ""
        self._taken.add((user, conversation))
        try:
            yield user
        finally:
            self._taken.discard((user, conversation))

    def _write(self, user: str, conversation: str) -> None:
        """Now: by the user's client or by REST, there perhaps at another instance."""
        if user in self._crowd.clients and self._random.random() < _SOCKET_SHARE:
            self._crowd.say(user, conversation)
        elif user not in (AWAY, self._absent):
            self._crowd.say_by_rest(user, conversation, self._url())

    async def _later(self, members: Sequence[str], conversation: str) -> None:
        """Some of these write, one shortly after the other."""
        for user in self._random.sample(list(members), min(3, len(members))):
            await self._lag()
            self._crowd.say(user, conversation)

    @asynccontextmanager
    async def _visitor(self, user: str, url: str) -> AsyncIterator[Client]:
        """A user connects for the first time, to that instance if it is there, and stays as long as the context."""
        device = self._history.device(f"{user}-1", user)
        urls = [url, *(each for each in self._urls() if each != url)]
        client = Client(urls, self._token(user), cursors={}, observer=device, name="holdfast-drill")
        async with listening(client):
            with contextlib.suppress(ClientStopped, TimeoutError):
                async with asyncio.timeout(_CONNECTED_SECONDS):
                    await client.connected()
            yield client

    async def _lag(self) -> None:
        await asyncio.sleep(self._random.uniform(0.0, _GREATEST_LAG_SECONDS))

    async def _is_over_within(self, seconds: float) -> bool:
        return await is_set_within(self._is_over, seconds)

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}-{self._crowd.tag}{self._names}"

    def _url(self) -> str:
        if not (urls := list(self._urls())):
            raise TargetFailed("no instance runs")
        return self._random.choice(urls)

    def _connected(self, count: int) -> list[str]:
        return self._random.sample(list(self._crowd.clients), min(count, len(self._crowd.clients)))

    def _conversation(self) -> tuple[str, list[str]]:
        """A conversation of an earlier action, or a usual one; not the last one, from which a user is removed for good."""
        known = [*self._crowd.usual[:-1], *self._own]
        conversation = self._random.choice(known[-20:] + known[:5])
        return conversation, list(self._crowd.conversations[conversation])


async def _as_far_as_it_goes(moment: Awaitable[None]) -> None:
    """Where no instance answers for long, the action is over; its requests are in the history."""
    with contextlib.suppress(TargetFailed):
        await moment
