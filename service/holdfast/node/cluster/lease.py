"""This instance's claim on its name, and the registration of its connections under it.

The lease is renewed every 3 s, and half a second after a failure. If it is missing or foreign, or Redis was flushed, restarted
or replaced (`WorldChanged`), everything is registered again. The run stays the same, and so does presence in the store: what
Redis does costs no write there.
Without Redis no client is refused: connections are accepted, and registered when it is back. When thousands come at once, calls
wait for each other. One that was not sent in time is sent again: nothing is lost by it. Of two live processes with one name the
older yields and goes on as `{name}.{epoch}` until it ends; the dot keeps that out of the ids that clients may choose.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from holdfast.domain.chunks import chunks
from holdfast.domain.ids import UserId
from holdfast.domain.registry import ConnectionRecord
from holdfast.errors import HoldfastError, LeaseLost, NameTaken, RedisBusy, RedisUnavailable, WorldChanged
from holdfast.loops import REDIS, Loop
from holdfast.node.cluster.above import Above
from holdfast.node.cluster.losses import Losses
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.foundation import Process
from holdfast.ports import Bus, Registry
from holdfast.protocol.jsontext import rfc3339
from holdfast.waiting import SHARED_SECONDS

RENEW_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 0.5  # until Redis answers, little in it is believed; while it is away, the circuit answers most calls
_CHUNK: Final = 500
_REFRESH_SECONDS: Final = 900.0  # keys live an hour; renewed four times as often
_REMEMBERED_SECONDS: Final = 660.0  # what Redis remembers for connecting lives 10 minutes, and one to write it
_MAX_UNREGISTERING: Final = 50_000

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Lease:
    """Lives in the event loop. `loop` holds the lease; `release` at the end.

    Attributes:
        identity: the name and the run of this instance; the name may change with the lease.
        is_cut: Redis did not answer the last time that the lease was asked for.
    """

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        hub: Hub,
        process: Process,
        losses: Losses,
        above: Above,
    ) -> None:
        self.identity, self._clock, self._tasks = process.identity, process.clock, process.tasks
        self.is_held = False
        self.is_cut = True
        self._server = ""
        self._answered_at = self._clock.monotonic()
        self._registry = registry
        self._bus = bus
        self._hub = hub
        self._losses = losses
        self._above = above
        self._wake = asyncio.Event()
        self._registering: list[tuple[Connection, asyncio.Future[int]]] = []
        self._unregistering: deque[Connection] = deque()
        self._is_writing = False
        self._turn = asyncio.Lock()  # one script about connections at a time: what was sent later must not be done first
        self._refreshed_at = self._clock.monotonic()

    @property
    def loop(self) -> Loop:
        """Holds the lease for as long as it runs."""
        return Loop("lease", self._round, RENEW_SECONDS, needs=(REDIS,), is_vital=True)

    async def _round(self) -> None:
        self._wake.clear()
        pause = _RETRY_SECONDS
        try:
            await self._step()
            pause = RENEW_SECONDS
        except (LeaseLost, WorldChanged) as error:
            _log.warning("registering everything again: %s", error)
            self.is_held = False
            self._wake.set()
        except NameTaken:
            self._yield()
        except RedisBusy:
            pass  # it says nothing of Redis
        except RedisUnavailable:
            self.is_cut = True  # all else the watch of the link has noted
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
            await asyncio.sleep(0.05)  # a lease lost again and again must not become a busy loop
        except TimeoutError:
            pass

    def invalidate(self) -> None:
        """Something may be wrong with what is registered: look now."""
        self._wake.set()

    @property
    def server(self) -> str:
        """Which start of which Redis had our name last; empty where that is not known, or nothing of then is remembered."""
        return self._server if self._clock.monotonic() - self._answered_at < _REMEMBERED_SECONDS else ""

    def _follow(self) -> None:
        """Changes announced at another Redis since others came to this one are missing here, so lists here may be outdated."""
        known, server = self._server, self._registry.server
        self._server, self._answered_at, self.is_cut = server or known, self._clock.monotonic(), False
        if known and server and known != server:
            self._losses.note_uncertain_write()

    def register(self, connection: Connection) -> "asyncio.Future[int]":
        """Register one connection, with all others that wait; how many its user has everywhere (0: not known)."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.is_held:
            self._registering.append((connection, future))
            self._write_soon()
        else:
            future.set_result(0)
        return future

    def unregister(self, connection: Connection) -> None:
        """Take a connection out of the registry. A record that stays because Redis is away is void after the next
        registration."""
        if self.is_held:
            self._unregistering.append(connection)
            if len(self._unregistering) > _MAX_UNREGISTERING:
                self._lose("too many connections to unregister")
            self._write_soon()

    async def release(self) -> None:
        """Give the name back."""
        try:
            await self._registry.release()
        except HoldfastError as error:
            _log.info("the lease will expire by itself: %s", error)
        self.is_held = False

    async def _step(self) -> None:
        began = self._clock.monotonic()
        if not self.is_held:
            await self._acquire()
        else:
            await self._registry.renew(self._above.state(), len(self._hub.connections))
            self._follow()
            if began - self._refreshed_at > _REFRESH_SECONDS:
                self._refreshed_at = began
                await self._registry.refresh(list(self._hub.users))

    def _yield(self) -> None:
        """Another live process has our name: the older one leaves it to the younger, or both would steal it for ever."""
        before = self.identity.instance_id
        self.identity.yield_name()
        _log.error("a younger process has the name %s: going on as %s", before, self.identity.instance_id)
        self._registry.rename(self.identity.instance_id)
        self._bus.rename(self.identity.instance_id)
        self._wake.set()

    async def _acquire(self) -> None:
        await self._registry.acquire(self.identity.epoch, self._above.state())
        self._follow()
        self._unregistering.clear()
        self.is_held = True
        self._bus.record_channels()
        try:
            await self._register_everybody()
        except HoldfastError:
            self.is_held = False  # half of them are not in: a renewal would hide that for ever
            raise

    async def _register_everybody(self) -> None:
        for some in chunks(list(self._hub.connections.values()), _CHUNK):
            async with self._turn:
                await self._registry.register([self._record(c) for c in some if not c.is_ended])
        await self._registry.set_registered()

    def _record(self, connection: Connection) -> ConnectionRecord:
        return ConnectionRecord(
            user_id=connection.user_id,
            connection_id=connection.connection_id,
            instance_id=self.identity.instance_id,
            connected_at=rfc3339(connection.connected_at_ms),
        )

    def _write_soon(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._tasks.start(self._write())

    async def _write(self) -> None:
        """One registration is under way at a time; connections that come meanwhile, or soon after, go into the next script."""
        try:
            while self._registering or self._unregistering:
                batch, self._registering = self._registering[:_CHUNK], self._registering[_CHUNK:]
                leaving = [self._unregistering.popleft() for _ in range(min(_CHUNK, len(self._unregistering)))]
                async with self._turn:
                    counts = await self._write_batch([connection for connection, _ in batch], leaving)
                for connection, future in batch:
                    if not future.done():
                        future.set_result(counts.get(connection.user_id, 0))
                await asyncio.sleep(SHARED_SECONDS)
        finally:
            self._is_writing = False

    async def _write_batch(self, coming: list[Connection], leaving: list[Connection]) -> dict[UserId, int]:
        """One script each. Without the lease nothing: the next registration is of all connections of that time, and only
        those."""
        counts: dict[UserId, int] = {}
        try:
            if self.is_held and (records := [self._record(connection) for connection in coming if not connection.is_ended]):
                counts = await self._sent(partial(self._registry.register, records)) or {}
            if self.is_held and leaving:
                ended = [(connection.user_id, connection.connection_id) for connection in leaving]
                await self._sent(partial(self._registry.unregister, ended))
        except Exception as error:  # noqa: BLE001 - waiting callers must get an answer
            self._tasks.note_failure("registration", error)
            self._lose(f"connections could not be registered, or taken out: {error}")
        return counts

    async def _sent(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Ask Redis, again and again while the call waits in vain for its turn; None when the lease is lost meanwhile."""
        while self.is_held:
            with contextlib.suppress(RedisBusy):
                return await ask()
        return None

    def _lose(self, why: str) -> None:
        """The records in Redis differ from ours: register everything again as soon as it answers."""
        if self.is_held:
            _log.info("registering everything again: %s", why)
        self.is_held = False
        self._wake.set()
