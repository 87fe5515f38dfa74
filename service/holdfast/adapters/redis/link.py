"""The commands side: a bounded pool of connections behind one circuit breaker.

Invariants: no call waits longer than `timeout_seconds` for a place and as long again for Redis (a reconnection included), by
a deadline that does not blame Redis for a busy loop (`ports.within`); a call is only retried where Redis definitely did not
execute it (NOSCRIPT, READONLY); every outcome is told to the `DependencyWatch`; redis-py's exceptions end here. After a failure
calls fail at once until one probe succeeds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisPyTimeoutError

from holdfast.adapters.redis import keys as names
from holdfast.adapters.redis import scripts
from holdfast.adapters.redis.address import Address
from holdfast.adapters.redis.circuit import Circuit
from holdfast.adapters.redis.one_server import OneServer
from holdfast.adapters.redis.permissions import explained, is_denial
from holdfast.adapters.redis.scripts import Argument, Script
from holdfast.adapters.redis.wire import Wire
from holdfast.domain.ids import InstanceId
from holdfast.errors import RedisBusy, RedisTimeout, RedisUnavailable
from holdfast.ports import Clock, DependencyWatch, within
from holdfast.settings import RedisSettings

_log = logging.getLogger("holdfast.redis")

WRONG_TYPE = "WRONGTYPE"
_DENIAL_SECONDS = 60.0
_FIRST_PLACES = 6  # of registrations, renewals, the release, and each of three questions about rosters one is under way
_HANDSHAKE_ROUND_TRIPS = 4  # Sentinel, TLS, AUTH, SELECT, each bounded by the timeout; together no longer than this


class RedisLink:
    """The connections that registry and bus share. Used from one event loop; closed by its builder, after them."""

    def __init__(
        self,
        address: Address,
        settings: RedisSettings,
        instance_id: InstanceId,
        clock: Clock,
        watch: DependencyWatch | None = None,
        *,
        has_registry: bool = False,
    ) -> None:
        """Connects to nothing yet. The address is closed with the link.

        `has_registry`: a registry is read through it, so what another server left is not to be believed (`scripts`).
        """
        self.timeout_seconds = settings.timeout_seconds
        self.circuit = Circuit()
        self.clock = clock
        self._watch = watch
        self._name = f"holdfast:{instance_id}"
        self._address = address
        self._has_registry = has_registry
        self._one_server = OneServer()
        connections = settings.pool_connections + _FIRST_PLACES
        self._pool = address.pool(self._name, connections, settings.timeout_seconds, self._enter)
        self._places = asyncio.Semaphore(settings.pool_connections)
        self._first_places = asyncio.Semaphore(_FIRST_PLACES)
        self._has_failed = False
        self._denial_told_at = float("-inf")
        self._denial = ""
        self._is_denied = asyncio.Event()
        self._is_closed = False
        self._client: Redis = Redis(connection_pool=self._pool)

    async def close(self) -> None:
        """Release all connections. Calls under way, and later ones, end with `RedisUnavailable`."""
        self._is_closed = True
        await self._pool.disconnect()
        await self._address.close()

    async def open_connections(self) -> None:
        """One for each place that is free, where they can be had now.

        Later ones need a Sentinel, and a Redis that takes new clients. While there is none, an instance with few of them would be
        without Redis although those are well.
        """
        opening: list[asyncio.Future[AbstractConnection]] = []
        while not self._places.locked():
            await self._places.acquire()  # at once
            opening.append(asyncio.ensure_future(self._pool.get_connection()))  # type: ignore[no-untyped-call]  # redis-py left it without annotations
        try:
            if opening:
                await asyncio.wait(opening, timeout=self.timeout_seconds)
        finally:
            for each in opening:
                self._places.release()
                if each.done() and not each.cancelled() and each.exception() is None:
                    await self._pool.release(each.result())
                else:
                    each.cancel()  # the pool takes back what was not opened

    async def denied(self) -> str:
        """Wait until Redis refuses the user, the password or a right; the first reason, with its remedy."""
        await self._is_denied.wait()
        return self._denial

    def note_refusal(self, reason: str) -> None:
        """The refusal of Redis, in words of `explained`; a denial also ends the waits in `denied`."""
        if is_denial(reason) and not self._denial:
            self._denial = reason
            self._is_denied.set()

    async def call(self, *command: Argument) -> Any:
        """Run one command.

        Raises:
            RedisUnavailable: refused, reset, failed, or the circuit is open.
            RedisBusy: too many calls are under way; nothing was sent.
            RedisTimeout: no answer within the timeout.
        """
        async with self._place(self._places), self.attempt():
            return await self._repaired(command, keys_of(command))

    async def run(self, script: Script, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> Any:
        """Run one script, teaching it to a Redis that does not know it. Raises like `call`."""
        return await self._run(self._places, script, keys, arguments)

    async def run_first(self, script: Script, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> Any:
        """As `run`, with a place that no other call takes: users who connect do not wait for replays and reaping.

        For callers that have one script under way at a time: there is a place for each of them.
        """
        return await self._run(self._first_places, script, keys, arguments)

    async def _run(
        self, places: asyncio.Semaphore, script: Script, keys: tuple[str, ...], arguments: tuple[Argument, ...]
    ) -> Any:
        async with self._place(places), self.attempt():
            try:
                return await self._repaired(script.by_hash(keys, arguments), keys)
            except NoScriptError:
                return await self._repaired(script.by_source(keys, arguments), keys)

    @asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        """One of the pool's connections. A pool in full use is no sign of a fault of Redis; failing calls are."""
        if self._is_closed:
            raise RedisUnavailable("closed")
        if self.circuit.is_open(self.clock.monotonic()):
            raise RedisUnavailable("Redis is away; not tried again yet")
        try:
            async with within(self.timeout_seconds):
                await places.acquire()
        except TimeoutError:
            if self._watch is not None:
                self._watch.postponed()
            raise RedisBusy("too many calls to Redis are under way") from None
        try:
            yield
        finally:
            places.release()

    @asynccontextmanager
    async def attempt(self, timeout_seconds: float | None = None) -> AsyncIterator[None]:
        """One contact with Redis: circuit, deadline, translation of errors, report.

        Raises:
            RedisUnavailable: see `call`.
        """
        began = self.clock.monotonic()
        if not self.circuit.admit(began):
            raise RedisUnavailable("Redis is away; not tried again yet")
        try:
            async with within(timeout_seconds or self.timeout_seconds):
                if self._has_failed:
                    # It may have been a failover: idle connections are still with the old primary, which wakes one day.
                    self._has_failed = False
                    await self._pool.disconnect(inuse_connections=False)
                yield
        except (TimeoutError, RedisPyTimeoutError) as error:
            self._failed("no answer in time", is_timeout=True)
            raise RedisTimeout("Redis did not answer in time") from error
        except ResponseError as error:
            # An answer, though a refusal (OOM, MISCONF, NOPERM): Redis is reachable, the circuit stays closed.
            self.circuit.succeeded()
            self.report_refusal(str(error))
            raise RedisUnavailable(f"Redis refused: {error}") from error
        except (RedisError, OSError) as error:
            self._failed(explained(str(error) or type(error).__name__), is_timeout=False)
            raise RedisUnavailable(f"Redis failed: {error}") from error
        except RedisUnavailable as error:
            self._failed(str(error), is_timeout=isinstance(error, RedisTimeout))
            raise
        self.circuit.succeeded()
        if self._watch is not None:
            self._watch.succeeded(self.clock.monotonic() - began)

    def report_refusal(self, reason: str) -> None:
        """Redis answered a command with an error: said to health, and once a minute in the log."""
        reason = explained(reason)
        self.note_refusal(reason)
        now = self.clock.monotonic()
        if is_denial(reason) and now >= self._denial_told_at + _DENIAL_SECONDS:
            self._denial_told_at = now
            _log.error("%s", reason)
        if self._watch is not None:
            self._watch.failed(reason, is_timeout=False)

    async def open_wire(self, purpose: str) -> Wire:
        """A dedicated connection beside the pool; `purpose` shows in `CLIENT LIST`.

        It asks no circuit: the supervised loops that call this have their own pace.

        Raises:
            RedisUnavailable: no connection, or its handshake failed.
        """
        connection = self._address.connection(f"{self._name}:{purpose}")
        try:
            async with within(self.timeout_seconds * _HANDSHAKE_ROUND_TRIPS):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py left it without annotations
                await self._one_server.met(connection, self._pool)
                wire = Wire(connection)
        except (TimeoutError, RedisPyTimeoutError) as error:
            await connection.disconnect(nowait=True)
            raise RedisTimeout("no connection in time") from error
        except (RedisError, OSError, RuntimeError) as error:  # RuntimeError: as in `_execute_once`
            await connection.disconnect(nowait=True)
            reason = explained(str(error))
            self.note_refusal(reason)
            raise RedisUnavailable(reason if is_denial(reason) else f"no connection: {reason}") from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._one_server.opened(purpose, wire)
        self.circuit.succeeded()  # its handshake was answered: no other call need wait for a pause to end
        return wire

    def undecodable(self, source: str, count: int = 1) -> None:
        """See `DependencyWatch.undecodable`."""
        if self._watch is not None and count:
            self._watch.undecodable(source, count)

    async def _repaired(self, command: tuple[Argument, ...], its_keys: tuple[str, ...]) -> Any:
        """Run it; where one of its keys turns out to hold another type, once more when that key is gone."""
        try:
            return await self._execute(command)
        except ResponseError as error:
            if WRONG_TYPE not in str(error):
                raise
            removed = await self._execute(scripts.REPAIR.by_source(*repair_of(its_keys)))
            if not removed:
                raise
        self.note_repair(removed)
        return await self._execute(command)

    def note_repair(self, removed: object) -> None:
        """Keys that held another type than ours were removed."""
        count = removed if isinstance(removed, int) else 0
        if count:
            _log.warning("redis: %d keys of another type than ours were removed", count)
            self.undecodable("wrong_type", count)

    async def _execute(self, command: tuple[Argument, ...]) -> Any:
        try:
            return await self._execute_once(command)
        except ResponseError as error:
            if "READONLY" not in str(error):  # 6.2 wraps it in a script's error text, so the class does not tell
                raise
            # A demoted primary answers this for ever; a new connection asks Sentinel again. It did nothing, so once more.
            await self._pool.disconnect(inuse_connections=False)
            return await self._execute_once(command)

    async def _execute_once(self, command: tuple[Argument, ...]) -> Any:
        try:
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py left it so
        except RuntimeError as error:  # uvloop's, of a write on a connection that was reset while it was idle
            raise RedisConnectionError(str(error)) from error

    def _failed(self, reason: str, *, is_timeout: bool) -> None:
        self._has_failed = True
        self.note_refusal(reason)
        self.circuit.failed(self.clock.monotonic())
        if self._watch is not None:
            self._watch.failed(reason, is_timeout=is_timeout)

    async def _enter(self, connection: AbstractConnection) -> None:
        """The handshake of the pool's connections. With a registry: no answer is of the world of another server."""
        await connection.on_connect()
        if self._has_registry:
            await connection.send_command(*scripts.FORGET_FOREIGN_WORLD.by_source((names.WORLD,), ()))
            await connection.read_response()
        await self._one_server.met(connection, self._pool)


def repair_of(its_keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keys and arguments of `scripts.REPAIR`: those of the keys that are ours, each with its type."""
    kinds = {key: kind for key in its_keys if (kind := names.kind_of(key)) is not None}
    return tuple(kinds), tuple(kinds.values())


def keys_of(command: tuple[Argument, ...]) -> tuple[str, ...]:
    """Of the commands that we call, the key is the first argument."""
    return (command[1],) if len(command) > 1 and isinstance(command[1], str) else ()
