"""Users who are away for a while: beside whatever a drill breaks, a few of the simulated users leave and come back.

Each of these users takes one course after the other:

* The user's client is closed for longer than the grace period while others write. The client comes back with its cursors, the
  user answers before reading, and reads then.
* The user reads on a second device, at another instance.
* The user is present at two instances in turn: a second device connects to another instance, one of the two leaves, the other
  leaves later. The second device knows one instance only, so it is cut off where the drill kills that instance.

One user stays until the failure is over, and then leaves for good. All these users, and many who never connect, are members of
one large conversation, in which a user has one notification until they read.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from holdfast.client import Client, ClientStopped
from holdfast.domain.notifications import MAX_RECORD_MEMBERS
from holdfast.drills.crowd import Crowd
from holdfast.drills.history import Bounds
from holdfast.launcher.waiting import TargetFailed
from holdfast.waiting import is_set_within

_SHARE: Final = 10  # one user of so many
_MOST: Final = 6
_SETTLED_SECONDS: Final = 10.0  # that an absence lasts beyond the grace: in that time it is decided who is notified
_LONG_SECONDS: Final = 45.0  # and some absences last so much longer, in a run that is long enough
_LONG_SHARE: Final = 0.25
_CONNECTED_SECONDS: Final = 15.0
_FIRST_SHARE: Final = 0.7  # of two devices the first leaves first
_READ_IN: Final = 2  # conversations at a time
_SPEAKERS: Final = 2
_LARGE_PAUSE_SECONDS: Final = 8.0  # each of its messages concerns a hundred absent members: more would be a load of its own
_END_SECONDS: Final = 20.0


class Absences:
    """Of one run; an asynchronous context manager. Users who are away when it ends stay away."""

    def __init__(
        self, crowd: Crowd, urls: Callable[[], Sequence[str]], seed: int, bounds: Bounds, *, has_large: bool = True
    ) -> None:
        """`urls`: of the instances that may be asked now. `has_large`: with a large conversation of a hundred absent members."""
        self._crowd = crowd
        self._urls = urls
        self._random = random.Random(seed + 2)
        self._bounds = bounds
        self._large = f"large-{crowd.tag}1"
        self._has_large = has_large
        self._is_calm, self._is_over = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Make the large conversation, and begin.

        Raises:
            TargetFailed: no instance makes it.
        """
        users = self._chosen()
        speakers = [user for user in self._crowd.clients if user not in users][:_SPEAKERS]
        lives = [self._live(user, number) for number, user in enumerate(users)]
        if self._has_large:
            silent = [f"silent-{self._crowd.tag}{number}" for number in range(1, MAX_RECORD_MEMBERS + 1)]
            await self._crowd.open_conversation(self._large, [*speakers, *users, *silent])
            lives.append(self._speak(speakers))
        self._tasks = [asyncio.create_task(_as_far_as_it_goes(life)) for life in lives]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over.set()
        if kind is None:
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def calm(self) -> None:
        """The failure is over: one user leaves for good soon."""
        self._is_calm.set()

    def _chosen(self) -> list[str]:
        """None of the first and the last users: drills use those, and one of them is removed from a conversation for good."""
        users = self._crowd.users
        aside = len(users) // 4
        return self._random.sample(users[aside : len(users) - aside], min(_MOST, max(2, len(users) // _SHARE)))

    async def _live(self, user: str, number: int) -> None:
        """One course after the other until the run is over; the second user leaves for good after the failure."""
        if number == 1:
            await self._leave_after_the_failure(user)
            return
        courses = [self._be_away, self._read_elsewhere, self._be_at_two_instances]
        for course in itertools.cycle(courses[number % 3 :] + courses[: number % 3]):
            if await self._is_over_within(self._random.uniform(0.2, 1.5)):
                return
            await course(user)

    async def _speak(self, speakers: Sequence[str]) -> None:
        """Now and then one of these writes in the large conversation."""
        while not await self._is_over_within(_LARGE_PAUSE_SECONDS):
            self._crowd.say(self._random.choice(speakers), self._large)

    # --- the courses --------------------------------------------------------------------------------------------------

    async def _be_away(self, user: str) -> None:
        cursors = await self._crowd.leave(user)
        if cursors is not None:
            await self._come_back_later(user, cursors)

    async def _read_elsewhere(self, user: str) -> None:
        async with self._second_device(user) as device:
            if not await self._is_over_within(self._random.uniform(0.5, 2.0)):
                await self._read(user, device)

    async def _be_at_two_instances(self, user: str) -> None:
        """One device leaves, then the other, and after a while the first one comes back."""
        is_first_to_leave = self._random.random() < _FIRST_SHARE
        cursors: dict[str, int] | None = None
        async with self._second_device(user):
            await self._is_over_within(self._random.uniform(0.5, 3.0))
            if is_first_to_leave:
                cursors = await self._crowd.leave(user)
                await self._is_over_within(self._random.uniform(1.0, 6.0))
        if not is_first_to_leave and not await self._is_over_within(self._random.uniform(1.0, 4.0)):
            cursors = await self._crowd.leave(user)
        if cursors is not None:
            await self._come_back_later(user, cursors)

    async def _leave_after_the_failure(self, user: str) -> None:
        while not self._is_calm.is_set() and not self._is_over.is_set():
            await self._read_elsewhere(user)
            await is_set_within(self._is_calm, self._random.uniform(3.0, 10.0))
        if not await self._is_over_within(self._bounds.healthy_s):
            await self._crowd.leave(user)

    # --- their parts --------------------------------------------------------------------------------------------------

    async def _come_back_later(self, user: str, cursors: dict[str, int]) -> None:
        """After more than the grace period; the user answers before reading."""
        seconds = self._bounds.grace_s + _SETTLED_SECONDS + self._random.uniform(0.0, 4.0)
        if self._random.random() < _LONG_SHARE:
            seconds += _LONG_SECONDS
        if await self._is_over_within(seconds):
            return
        client = self._crowd.come_back(user, cursors)
        await _connected(client)
        for conversation in self._some_heard(user):
            self._crowd.say(user, conversation, client)
        await self._crowd.answered(user)
        await self._read(user, client)

    async def _read(self, user: str, device: Client) -> None:
        """What the user's own client showed last in a few conversations is read on that device."""
        for conversation in self._some_heard(user):
            self._crowd.read(user, self._crowd.heard[user][conversation], device)
        await self._crowd.answered(user)

    def _some_heard(self, user: str) -> list[str]:
        heard = list(self._crowd.heard.get(user, ()))
        some = self._random.sample(heard, min(_READ_IN, len(heard)))
        return list(dict.fromkeys([*some, *([self._large] if self._large in heard else [])]))

    @asynccontextmanager
    async def _second_device(self, user: str) -> AsyncIterator[Client]:
        """One more device of the user, at another instance than the first where there is another."""
        first = self._crowd.clients.get(user)
        urls = self._random.sample(list(self._urls()), len(self._urls()))
        for url in urls[:2]:
            async with self._crowd.guest(user, [url]) as device:
                await _connected(device)
                if url == urls[:2][-1] or first is None or device.instance_id != first.instance_id:
                    yield device
                    return
        raise TargetFailed("no instance runs")

    async def _is_over_within(self, seconds: float) -> bool:
        return await is_set_within(self._is_over, seconds)


async def _connected(client: Client) -> None:
    """Wait for it a while; without a connection the course goes on all the same."""
    with contextlib.suppress(ClientStopped, TimeoutError):
        async with asyncio.timeout(_CONNECTED_SECONDS):
            await client.connected()


async def _as_far_as_it_goes(life: Awaitable[None]) -> None:
    """Where no instance answers for long, the user stays as they are."""
    with contextlib.suppress(TargetFailed):
        await life
