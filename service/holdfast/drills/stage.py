"""Where a drill is played: what it may break, what it expects, and what was measured."""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from holdfast.adapters.redis.link import RedisLink
from holdfast.bootstrap import redis_link
from holdfast.drills.crowd import Crowd
from holdfast.drills.history import History
from holdfast.drills.local.target import LocalTarget
from holdfast.errors import RedisUnavailable
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.waiting import TargetFailed, until
from holdfast.settings import RedisSettings

_CONNECT_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """Something that had to be so: `measured` against `threshold`, both in `unit`."""

    name: str
    threshold: float
    measured: float
    unit: str = "s"

    @property
    def is_met(self) -> bool:
        """At most the threshold."""
        return self.measured <= self.threshold

    @property
    def told(self) -> str:
        """In words. `inf`: it never came to that."""
        measured = "never" if math.isinf(self.measured) else f"{self.measured:g} {self.unit}".rstrip()
        return f"{self.name}: {measured} (at most {self.threshold:g}{f' {self.unit}' if self.unit else ''})"


class Stage:
    """Handed to each drill, on one machine or on a cluster.

    Attributes:
        seconds: how long the fault should last, where the drill has no figure of its own.
        say: shows the progress to the person at the terminal.
        expectations: filled by `expect` and `require`.
        look_seconds: how often `expect` looks.
    """

    look_seconds: float = 0.05

    def __init__(self, crowd: Crowd, history: History, seed: int, seconds: float) -> None:
        self.crowd = crowd
        self.history = history
        self.random = random.Random(seed)
        self.seconds = seconds
        self.expectations: list[Expectation] = []
        self.say: Callable[[str], None] = lambda _: None

    @asynccontextmanager
    async def fault(self, name: str, target: str = "") -> AsyncIterator[None]:
        """While it is entered something is broken; the history says so."""
        with self.history.fault(name, target):
            yield

    async def pause(self, seconds: float) -> None:
        """Let it work for a while."""
        await asyncio.sleep(seconds)

    async def expect(self, name: str, within: float, predicate: Callable[[], object | Awaitable[object]]) -> None:
        """Measure how long it takes to become true; going on costs at most three times the threshold."""
        try:
            measured = await until(predicate, 3 * within, name, self.look_seconds)
        except TargetFailed:
            measured = math.inf
        self.expectations.append(Expectation(name, within, round(measured, 2)))

    async def somebody_connects(self) -> None:
        """One more device of a simulated user during the run: accepted, and its replay over, within 3 s."""
        loop = asyncio.get_running_loop()
        began, took = loop.time(), math.inf
        async with self.crowd.guest(next(iter(self.crowd.clients))) as client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3 * _CONNECT_SECONDS):
                    await client.connected()
                took = loop.time() - began
        self.require("a new connection is accepted", took, _CONNECT_SECONDS, "s")

    def require(self, name: str, measured: float, threshold: float, unit: str = "") -> None:
        """A figure that may not be larger than that."""
        self.expectations.append(Expectation(name, threshold, round(measured, 3), unit))


class LocalStage(Stage):
    """On this machine. `target`: what can be broken."""

    def __init__(self, target: LocalTarget, crowd: Crowd, history: History, seed: int, seconds: float) -> None:
        super().__init__(crowd, history, seed, seconds)
        self.target = target

    @property
    def instances(self) -> list[LocalInstance]:
        """All, in the order of their start."""
        return list(self.target.instances.values())

    async def every(self, instances: Iterable[LocalInstance], status: str) -> bool:
        """Whether each of them calls itself that."""
        answers = await asyncio.gather(*(instance.health() for instance in instances))
        return all(answer.get("status") == status for answer in answers)

    async def all_ready(self) -> bool:
        """Whether every running instance would get traffic."""
        return all(await asyncio.gather(*(instance.is_ready() for instance in self.target.living())))

    async def is_reaped(self, name: str) -> bool:
        """Whether nothing of a gone instance is left in Redis."""
        return await self._redis("EXISTS", f"subscriptions:{name}", f"instance:{name}") == 0

    async def all_registered(self) -> bool:
        """Whether Redis knows where every connected user is."""
        counts = [
            await self._redis("HLEN", f"connections:{user}") for user in list(self.crowd.clients)
        ]  # users come and go meanwhile
        return all(isinstance(count, int) and count > 0 for count in counts)

    async def redis(self, *command: str | bytes | int, url: str = "") -> object:
        """A command of an operator, to another server where a URL says so; None while it does not answer."""
        return await self._redis(*command, url=url)

    @asynccontextmanager
    async def operator(self, url: str = "") -> AsyncIterator[RedisLink]:
        """One connection to Redis (or to the server at `url`) that is there before the failure and stays, to take it back."""
        settings = RedisSettings(url=url or self.target.redis_url, pool_connections=1)
        link = redis_link(settings, "drill")
        try:
            await link.call("PING")
            yield link
        finally:
            await link.close()

    def stranger(self, name: str) -> str:
        """A name of a user or a conversation that no other run on this cluster has."""
        return f"{name}-{self.random.randrange(1_000_000)}"

    async def open_conversation(self, *users: str) -> str:
        """A conversation of other users, which the history does not know; its id."""
        conversation = self.stranger("beside")
        body = {"conversation_id": conversation, "members": list(users)}
        await self.crowd.call(self.target.token(users[0]), "POST", "/api/conversations", body)
        return conversation

    async def is_connected(self, user: str) -> bool:
        """Whether Redis knows of a connection of the user."""
        return await self._redis("EXISTS", f"connections:{user}") == 1

    async def is_gone(self, user: str) -> bool:
        """Whether Redis knows of none."""
        return await self._redis("EXISTS", f"connections:{user}") == 0

    async def is_online(self, user: str) -> bool:
        """The user's presence according to the service, asked by an administrator.

        Raises: TargetFailed: no instance answers.
        """
        answer = await self.crowd.call(self.target.token("operator", is_admin=True), "GET", f"/api/users/{user}/presence")
        return answer.get("online") is True

    async def is_offline(self, user: str) -> bool:
        """The opposite. Raises like `is_online`."""
        return not await self.is_online(user)

    async def _redis(self, *command: str | bytes | int, url: str = "") -> object:
        link = redis_link(RedisSettings(url=url or self.target.redis_url), "drill")
        try:
            answer: object = await link.call(*command)
        except RedisUnavailable:
            return None
        finally:
            await link.close()
        return answer
