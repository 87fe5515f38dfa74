"""Incoming envelopes: one supervised connection, subscribed to all wanted channels, and again after every loss.

Invariants: nothing is awaited and no task is made per message; an exception in a listener's callback does not end the loop; after
a loss the connection is made again with jitter, and all wanted channels are subscribed again in confirmed chunks.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.liveness import Liveness
from holdfast.adapters.redis.permissions import explained
from holdfast.adapters.redis.subscriptions import CHUNK, Subscriptions
from holdfast.adapters.redis.wire import Wire, is_error, pack
from holdfast.domain.chunks import chunks
from holdfast.errors import RedisUnavailable
from holdfast.loops import REDIS, Loop, Loops
from holdfast.waiting import SHARED_SECONDS

_log = logging.getLogger("holdfast.redis")

_ROUND_SECONDS: Final = 1.0  # the echo of each second is something to read
_RECONNECT_SECONDS: Final = (0.1, 2.0)  # full jitter between these, so that instances do not return in step
_SUBSCRIBE_SECONDS: Final = 1.0  # how often a waiter looks whether the bus is lost


class Ear(Protocol):
    """Whom the listener tells. Called in the loop; a call that raises is logged and counted."""

    def heard(self, channel: str, payload: bytes) -> None:
        """A message of a wanted channel."""
        ...

    def connected(self) -> None:
        """There is a new connection; nothing is confirmed on it."""
        ...

    def confirmed(self, channels: list[str]) -> None:
        """These are subscribed now."""
        ...

    def restored(self) -> None:
        """The channels wanted when the connection was made are confirmed on it; told after each change."""
        ...

    def disconnected(self, reason: str) -> None:
        """The connection ended, or could not be made."""
        ...


@dataclass(slots=True, eq=False)
class _Waiter:
    missing: dict[str, None]
    outcome: asyncio.Future[bool]


class Listener:
    """The receiving half of the bus. Used from one event loop; closed by the bus."""

    def __init__(self, link: RedisLink, control: str, ear: Ear, counters: BusCounters, liveness: Liveness) -> None:
        """Connects to nothing yet; `control` is always wanted. `liveness` is told what comes."""
        self.subscriptions = Subscriptions(control)
        self._liveness = liveness
        self._link = link
        self._ear = ear
        self._counters = counters
        self._waiting: dict[str, list[_Waiter]] = {}
        self._wire: Wire | None = None
        self._is_away = False  # the last attempt to connect failed
        self._dropped_because = ""
        self._note_failure: Callable[[str, BaseException], None] = lambda _name, _error: None
        self._pause: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """There is a connection, as far as is known."""
        return self._wire is not None

    def start(self, loops: Loops) -> None:
        """Begin supervising."""
        loop = Loop("bus_listener", self._round, _ROUND_SECONDS, needs=(REDIS,))
        self._note_failure = loops.note_failure
        self._task = asyncio.get_running_loop().create_task(loops.run(loop), name="redis-bus")

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._disconnected("closing")

    def drop(self, reason: str) -> None:
        """End the connection that is there; the loop makes another one."""
        if self._wire is not None:
            self._dropped_because = reason
            self._wire.abort()

    async def wait_for(self, missing: dict[str, None]) -> bool:
        """Whether these wanted channels are confirmed; False when the bus is lost meanwhile, at once while Redis is away.

        Not after a fixed time: a thousand others that come first are no reason to start without being subscribed.
        """
        self._ask_next()
        if self._is_away or self._task is None:
            return False
        waiter = _Waiter(missing, asyncio.get_running_loop().create_future())
        for name in missing:
            self._waiting.setdefault(name, []).append(waiter)
        try:
            while not (await asyncio.wait((waiter.outcome,), timeout=_SUBSCRIBE_SECONDS))[0]:
                if self._liveness.is_lost:
                    return False
            return waiter.outcome.result()
        finally:
            self._dismiss(waiter)

    def rename(self, control: str) -> None:
        """Another control channel than before."""
        before = self.subscriptions.rename(control)
        if before != control:
            self._ask_next()
            self.forget([before])

    def forget(self, channels: Iterable[str]) -> list[str]:
        """Want these no more; returns those that were subscribed."""
        names = list(channels)
        for waiter in [waiter for name in names for waiter in self._waiting.get(name, ())]:
            _answer(waiter, is_confirmed=False)
        leaving = self.subscriptions.forget(names)
        if self._wire is not None:
            for some in chunks(leaving, CHUNK):
                self._wire.send(pack(("UNSUBSCRIBE", *some)))
            self._restored_perhaps()
        return leaving

    async def _round(self) -> None:
        """Connect, or take what one read brings."""
        try:
            if self._wire is None:
                self._wire = await self._link.open_wire("bus")
                self._connected()
            else:
                await self._listen(self._wire)
        except RedisUnavailable as error:
            _log.warning("redis bus: not connected: %s", self._dropped_because or error)
            await self._disconnected(str(error))
            await asyncio.sleep(random.uniform(*_RECONNECT_SECONDS))
            raise
        except Exception as error:
            await self._disconnected(repr(error))
            raise

    def _connected(self) -> None:
        self._is_away = False
        self.subscriptions.restart()  # channels wanted since the loss are to be restored as well
        self._liveness.restarted(self._link.clock.monotonic())
        self._ear.connected()
        self._ask_next()

    async def _disconnected(self, reason: str) -> None:
        wire, self._wire = self._wire, None
        self._is_away = True
        self.subscriptions.restart()
        for waiter in [waiter for waiters in self._waiting.values() for waiter in waiters]:
            _answer(waiter, is_confirmed=False)
        reason, self._dropped_because = self._dropped_because or reason, ""
        if wire is not None:
            await wire.close()
        self._ear.disconnected(reason)

    async def _listen(self, wire: Wire) -> None:
        replies = await wire.receive()
        now = self._link.clock.monotonic()
        self._liveness.heard(now)
        confirmed: list[str] = []
        for reply in replies:
            self._handle(reply, confirmed)
        if confirmed:
            self._liveness.answered(now, is_all=not self.subscriptions.is_asking)
            self._confirmed(confirmed)
        self._restored_perhaps()

    def _handle(self, reply: Any, confirmed: list[str]) -> None:
        if not isinstance(reply, list):
            if is_error(reply):
                reason = explained(f"Redis refused a subscription: {reply}")
                self._link.note_refusal(reason)
                raise RedisUnavailable(reason)
            return
        kind, channel, payload = reply
        if kind != b"message":
            if (name := self.subscriptions.confirm(channel, is_subscribe=kind == b"subscribe")) is not None:
                confirmed.append(name)
            self._ask_next()
        elif (name := self.subscriptions.name_of(channel)) is not None:
            try:
                self._ear.heard(name, payload)
            except Exception as error:  # noqa: BLE001 - one envelope that cannot be handled must not cost all the others
                self._counters.failed_calls += 1
                self._note_failure("bus_listener", error)

    def _confirmed(self, names: list[str]) -> None:
        self._ear.confirmed(names)
        for name in names:
            for waiter in self._waiting.pop(name, ()):
                waiter.missing.pop(name, None)
                if not waiter.missing:
                    _answer(waiter, is_confirmed=True)

    def _restored_perhaps(self) -> None:
        if self.subscriptions.is_restored:
            self._ear.restored()

    def _ask_next(self) -> None:
        if self._wire is not None and self._pause is None and (chunk := self.subscriptions.next_chunk()):
            self._wire.send(pack(("SUBSCRIBE", *chunk)))
            self._liveness.asked(self._link.clock.monotonic())
            if len(chunk) < CHUNK:
                self._pause = asyncio.get_running_loop().call_later(SHARED_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._ask_next()

    def _dismiss(self, waiter: _Waiter) -> None:
        for name in waiter.missing:
            if waiters := self._waiting.get(name):
                with contextlib.suppress(ValueError):
                    waiters.remove(waiter)
                if not waiters:
                    del self._waiting[name]


def _answer(waiter: _Waiter, *, is_confirmed: bool) -> None:
    if not waiter.outcome.done():
        waiter.outcome.set_result(is_confirmed)
