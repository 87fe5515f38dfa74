"""Faults at one call of one instance to Redis: before it is carried out, or after that and before its reply.

The call is counted from the fault's event on, a call to the store for example: so the fault falls between two calls to the store.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from simulation.failures import STARTED_SECONDS, Failures, Missed, ended
from simulation.faults import PATIENCE_SECONDS, Fault, rng_of
from simulation.instance import SimulatedInstance
from simulation.redis.server import RedisServer
from simulation.redis.state import Client

_CALLS: Final = 5
_CONFIRMED_SECONDS: Final = (0.1, 0.4, 1.2)  # less than an instance waits before it subscribes anew


@dataclass(slots=True)
class _OneCall:
    """Implements `redis.server.Watch` until its call was there.

    Attributes:
        host: of the instance.
        left: how many of its calls are passed over.
        command: only those count; empty for any.
        is_before: `act` comes instead of the call, not after it.
        act: what happens to the connection.
    """

    host: str
    left: int
    command: bytes
    is_before: bool
    act: Callable[[Client], None]
    is_over: bool = False
    _is_its: bool = False

    def before(self, client: Client, words: list[bytes]) -> bool:
        """See `Watch.before`."""
        self._is_its = False
        is_meant = not self.is_over and client.address.startswith(self.host + ":") and self.command in (b"", words[0].upper())
        if is_meant:
            self.left -= 1
            self.is_over = self._is_its = self.left < 0
        if self._is_its and self.is_before:
            self.act(client)
            return False
        return True

    def after(self, client: Client, words: list[bytes]) -> None:
        """See `Watch.after`."""
        if self._is_its and not self.is_before:
            self.act(client)


async def _at_a_call(
    failures: Failures, fault: Fault, instance: SimulatedInstance, act: Callable[[Client | None], None], command: bytes = b""
) -> None:
    """`act` with the connection at the call; without one, when the instance has made no such call for long.

    With a command, `act` comes after it; else before or after, as the fault draws.

    Raises:
        Missed: another fault waits for a call.
    """
    server: RedisServer = failures.cluster.redis[failures.redis_name].engine
    if server.watch is not None:
        raise Missed
    rng, over = rng_of(fault, failures.context.seed), asyncio.Event()

    def hit(client: Client | None) -> None:
        if not over.is_set():
            over.set()
            act(client)

    is_before = not command and rng.random() < 0.5
    watch = _OneCall(instance.host, rng.randrange(_CALLS if not command else 2), command, is_before, hit)

    def arm(_: SimulatedInstance) -> None:
        server.watch = watch

    await failures.aimed(fault, instance, arm)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await over.wait()
    _forget(server, watch)
    hit(None)


def _forget(server: RedisServer, watch: _OneCall) -> None:
    if server.watch is watch:
        server.watch = None


async def _kill(failures: Failures, fault: Fault) -> None:
    async with failures.taken(fault) as instance:

        def act(client: Client | None) -> None:
            failures.tell("pod-kill", instance.name, on=True)
            instance.kill()
            if client is not None:
                client.drop()

        await _at_a_call(failures, fault, instance, act)
        await ended(instance)
        await asyncio.sleep(fault.lasts)
        failures.tell("pod-kill", instance.name, on=False)
        instance.start()
        await asyncio.sleep(STARTED_SECONDS)


async def _reset(failures: Failures, fault: Fault) -> None:
    """Not told: one connection may be lost at any time, a call or its reply with it."""
    async with failures.taken(fault) as instance:
        await _at_a_call(failures, fault, instance, lambda client: client.drop() if client is not None else None)


async def _slow_subscription(failures: Failures, fault: Fault) -> None:
    """The confirmation of a subscription, or what is read of the store after it, is on its way for long, while others publish.

    Not told: it is no more than latency.
    """
    async with failures.taken(fault) as instance:
        rng, network, redis = rng_of(fault, failures.context.seed), failures.context.loop.network, failures.redis_name
        slow = rng.choice([(redis,), ("store",), (redis, "store")])

        def act(_: Client | None) -> None:
            for other in slow:
                network.cut(other, instance.name, is_one_way=True)

        await _at_a_call(failures, fault, instance, act, b"SUBSCRIBE")
        await asyncio.sleep(rng.choice(_CONFIRMED_SECONDS))
        for other in slow:
            network.heal(instance.name, other)


CALL_FAILURES: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {
    "redis-call-kill": _kill,
    "redis-call-reset": _reset,
    "slow-subscription": _slow_subscription,
}
