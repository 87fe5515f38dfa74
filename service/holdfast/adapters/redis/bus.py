"""The cluster bus: PUBLISH through a pipeline, SUBSCRIBE on one supervised connection of its own.

Invariants: nothing is awaited and no task is made per envelope; Redis's failures never reach the caller; the bus calls
itself live only while its own echoes come back. A connection from which no byte came for 3 s is deaf and is dropped
(redis-py never notices a hung or half-open Redis). Every connection that was completed is announced by `on_subscribed`.
`subscriptions:{instance_id}` follows what is confirmed, `user:` entries excepted: registration owns those.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.adapters.redis import keys, scripts
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.liveness import Liveness
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.adapters.redis.subscriptions import CHUNK, Subscriptions
from holdfast.adapters.redis.wire import Wire, is_error, pack
from holdfast.domain.ids import ConversationId, InstanceId, Seq
from holdfast.errors import RedisUnavailable

_log = logging.getLogger("holdfast.redis")

MAX_ENVELOPE_BYTES: Final = 1024 * 1024
"""Larger ones are neither sent nor delivered: whoever misses them asks the store."""

_TICK_SECONDS: Final = 0.25
_PROBE_SECONDS: Final = 1.0
_DEAF_SECONDS: Final = 3.0  # three probes; found within faults.md F6
_STALL_SECONDS: Final = 1.0  # a loop that stood still heard nothing because it did not listen
_RECONNECT_SECONDS: Final = (0.1, 2.0)  # full jitter between these, so that instances do not return in step
_SUBSCRIBE_SECONDS: Final = 1.0
_DIRTY_SECONDS: Final = 0.1  # on the path of an acknowledgement: worth a moment, not more
_FLUSH_SECONDS: Final = 1.0

_RECENT_TTL_MS: Final = 120_000  # a reconnecting client is back by then; older replays come from the store
_RECENT_ENTRIES: Final = 64
_RECENT_BYTES: Final = 256 * 1024
_SUBSCRIPTIONS_TTL_MS: Final = 3_600_000


@dataclass(slots=True)
class BusCounters:
    """Since the start."""

    received: int = 0
    connections: int = 0
    deaf: int = 0
    too_large: int = 0
    handler_errors: int = 0
    foreign_echoes: int = 0


@dataclass(slots=True, eq=False)
class _Waiter:
    missing: set[str]
    outcome: asyncio.Future[bool]


class RedisBus:
    """Implements `ports.ClusterBus`. Used from one event loop; closed by whoever started it, before the link."""

    def __init__(self, link: RedisLink, instance_id: InstanceId) -> None:
        """Connects to nothing yet."""
        self.counters = BusCounters()
        self.pipeline = Pipeline(link, self._publishing_failed)
        self._link = link
        self._control = keys.control_channel(instance_id)
        self._control_bytes = self._control.encode()
        self._subscriptions_key = keys.subscriptions(instance_id)
        self._subscriptions = Subscriptions(self._control)
        self._liveness = Liveness()
        self._waiting: dict[str, list[_Waiter]] = {}
        self._wire: Wire | None = None
        self._is_away = False  # the last attempt to connect failed
        self._is_announced = False
        self._must_record = False
        self._last_byte = 0.0
        self._loss = ""  # why we dropped the connection ourselves
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # The token tells our echoes from those of a second process under the same instance id.
        self._echo_head = f'{{"v":1,"kind":"echo","bus":"{secrets.token_hex(8)}","nonce":'.encode()
        self._on_envelope: Callable[[str, bytes], None] = lambda _channel, _payload: None
        self._on_subscribed: Callable[[], None] = lambda: None
        self._on_liveness: Callable[[bool, str], None] = lambda _is_live, _reason: None

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """See `ClusterBus.is_live`."""
        return self._liveness.is_live(time.monotonic())

    @property
    def channels(self) -> frozenset[str]:
        """See `ClusterBus.channels`."""
        return frozenset(self._subscriptions.confirmed)

    async def start(
        self,
        on_envelope: Callable[[str, bytes], None],
        on_subscribed: Callable[[], None],
        on_liveness: Callable[[bool, str], None],
    ) -> None:
        """See `ClusterBus.start`."""
        self._on_envelope, self._on_subscribed, self._on_liveness = on_envelope, on_subscribed, on_liveness
        self.pipeline.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._supervise(), name="redis-bus"),
            loop.create_task(self._watch(), name="redis-bus-watch"),
        ]

    async def close(self) -> None:
        """See `ClusterBus.close`. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._disconnected("closing")
        await self.pipeline.close(_FLUSH_SECONDS)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, channel: str, envelope: bytes) -> None:
        """See `ClusterBus.publish`."""
        if self._fits(envelope):
            self.pipeline.push("PUBLISH", channel, envelope)

    def publish_commit(
        self,
        conversation_id: ConversationId,
        first_seq: Seq,
        messages: Sequence[bytes],
        envelope: bytes,
        dirty_entry: str | None,
    ) -> None:
        """See `ClusterBus.publish_commit`."""
        if not self._fits(envelope):
            return
        self.pipeline.push_script(
            scripts.PUBLISH_COMMIT,
            (keys.recent(conversation_id), keys.DIRTY),
            (
                keys.conversation_channel(conversation_id),
                envelope,
                dirty_entry or "",
                first_seq,
                _RECENT_TTL_MS,
                _RECENT_ENTRIES,
                _RECENT_BYTES,
                *messages,
            ),
        )

    async def mark_dirty(self, entry: str) -> bool:
        """See `ClusterBus.mark_dirty`. False may also mean that it came too late: clear the mark all the same."""
        try:
            async with asyncio.timeout(_DIRTY_SECONDS):
                await self.pipeline.ask_script(scripts.MARK_DIRTY, (keys.DIRTY,), (entry,))
        except (RedisUnavailable, TimeoutError):
            return False
        return True

    def clear_dirty(self, entry: str) -> None:
        """See `ClusterBus.clear_dirty`."""
        self.pipeline.push("ZREM", keys.DIRTY, entry)

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """See `ClusterBus.claim_dirty`."""
        arguments = (int(older_than_seconds * 1000), int(hold_seconds * 1000), limit)
        try:
            due = await self._link.run(scripts.CLAIM_DIRTY, (keys.DIRTY,), arguments)
        except RedisUnavailable:
            return []
        return [entry.decode() for entry in due]

    async def recent(self, conversation_id: ConversationId, after_seq: Seq) -> list[tuple[Seq, bytes]]:
        """See `ClusterBus.recent`."""
        key = keys.recent(conversation_id)
        try:
            found = await self._link.call("ZRANGEBYSCORE", key, f"({after_seq}", "+inf", "WITHSCORES")
        except RedisUnavailable:
            return []
        return [(int(float(score)), message) for message, score in zip(found[::2], found[1::2], strict=True)]

    def _fits(self, envelope: bytes) -> bool:
        if len(envelope) <= MAX_ENVELOPE_BYTES:
            return True
        self.counters.too_large += 1
        _log.warning("redis bus: an envelope of %d bytes is not sent", len(envelope))
        return False

    # --- subscribing --------------------------------------------------------------------------------------------------

    async def subscribe(self, channels: Iterable[str]) -> bool:
        """See `ClusterBus.subscribe`."""
        missing = self._subscriptions.want(channels)
        if not missing:
            return True
        self._liveness.wanting(time.monotonic())
        self._ask_next()
        if self._is_away or not self._tasks:
            return False
        waiter = _Waiter(missing, asyncio.get_running_loop().create_future())
        for name in missing:
            self._waiting.setdefault(name, []).append(waiter)
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                return await waiter.outcome
        except TimeoutError:
            return False
        finally:
            self._dismiss(waiter)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `ClusterBus.unsubscribe`."""
        wanted_no_more = [name for name in channels if name != self._control]
        for waiter in [waiter for name in wanted_no_more for waiter in self._waiting.get(name, ())]:
            _answer(waiter, is_confirmed=False)
        leaving = self._subscriptions.forget(wanted_no_more)
        for at in range(0, len(leaving), CHUNK):
            chunk = leaving[at : at + CHUNK]
            if self._wire is not None:
                self._wire.send(pack(("UNSUBSCRIBE", *chunk)))
            self._record("SREM", chunk)
        self._completed_perhaps()

    def record_channels(self) -> None:
        """See `ClusterBus.record_channels`."""
        self._must_record = True
        self._wake.set()

    def _ask_next(self) -> None:
        if self._wire is not None and (chunk := self._subscriptions.next_chunk()):
            self._wire.send(pack(("SUBSCRIBE", *chunk)))

    def _dismiss(self, waiter: _Waiter) -> None:
        for name in waiter.missing:
            if waiters := self._waiting.get(name):
                with contextlib.suppress(ValueError):
                    waiters.remove(waiter)
                if not waiters:
                    del self._waiting[name]

    def _record(self, command: str, channels: Iterable[str]) -> None:
        if recorded := [name for name in channels if not name.startswith(keys.USER_PREFIX)]:
            is_queued = self.pipeline.push(command, self._subscriptions_key, *recorded)
            if is_queued and command == "SADD":
                self.pipeline.push("PEXPIRE", self._subscriptions_key, _SUBSCRIPTIONS_TTL_MS)
            self._must_record |= not is_queued

    # --- receiving ----------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        while True:
            try:
                self._wire = await self._link.open_wire("bus")
                self._connected()
                await self._listen(self._wire)
            except RedisUnavailable as error:
                await self._disconnected(str(error))
            except Exception as error:  # noqa: BLE001 - the loop that keeps the bus alive must outlive any mistake in it
                _log.exception("redis bus: unexpected")
                await self._disconnected(repr(error))
            await asyncio.sleep(random.uniform(*_RECONNECT_SECONDS))

    def _connected(self) -> None:
        self.counters.connections += 1
        self._is_away = self._is_announced = False
        self._last_byte = time.monotonic()
        self._subscriptions.restart()
        self._liveness.restarted(self._last_byte)
        self._ask_next()

    async def _listen(self, wire: Wire) -> None:
        while True:
            replies = await wire.receive()
            self._last_byte = time.monotonic()
            confirmed: list[str] = []
            for reply in replies:
                self._handle(reply, confirmed)
            if confirmed:
                self._confirmed(confirmed)
            self._ask_next()
            self._completed_perhaps()

    def _handle(self, reply: Any, confirmed: list[str]) -> None:
        if not isinstance(reply, list):
            if is_error(reply):
                raise RedisUnavailable(f"Redis refused a subscription: {reply}")
            return
        kind, channel, payload = reply
        if kind == b"message":
            self._message(channel, payload)
        elif (name := self._subscriptions.confirm(channel, is_subscribe=kind == b"subscribe")) is not None:
            confirmed.append(name)

    def _message(self, channel: bytes, payload: bytes) -> None:
        name = self._subscriptions.name_of(channel)
        if name is None:
            return
        if len(payload) > MAX_ENVELOPE_BYTES:
            self.counters.too_large += 1
            return
        if channel == self._control_bytes and payload.startswith(b'{"v":1,"kind":"echo"'):
            self._echo(payload)
            return
        self.counters.received += 1
        try:
            self._on_envelope(name, payload)
        except Exception:  # noqa: BLE001 - one envelope that cannot be handled must not cost all the others
            self.counters.handler_errors += 1
            _log.exception("redis bus: an envelope could not be handled")

    def _echo(self, payload: bytes) -> None:
        if not payload.startswith(self._echo_head):
            self.counters.foreign_echoes += 1
            return
        nonce = int(payload[len(self._echo_head) : -1])
        self._liveness.echoed(nonce, time.monotonic())
        self._tell_liveness()

    def _confirmed(self, names: list[str]) -> None:
        self._record("SADD", names)
        for name in names:
            for waiter in self._waiting.pop(name, ()):
                waiter.missing.discard(name)
                if not waiter.missing:
                    _answer(waiter, is_confirmed=True)

    def _completed_perhaps(self) -> None:
        if self._wire is None or not self._subscriptions.is_complete:
            return
        self._liveness.complete()
        if self._is_announced:
            return
        self._is_announced = True
        self._probe(time.monotonic())
        self.record_channels()
        self._call(self._on_subscribed)

    async def _disconnected(self, reason: str) -> None:
        wire, self._wire = self._wire, None
        self._is_away = True
        self._is_announced = False
        self._subscriptions.restart()
        for waiter in {waiter for waiters in self._waiting.values() for waiter in waiters}:
            _answer(waiter, is_confirmed=False)
        self._lost(self._loss or reason)
        self._loss = ""
        if wire is not None:
            await wire.close()

    # --- liveness -----------------------------------------------------------------------------------------------------

    def _publishing_failed(self, reason: str) -> None:
        self._must_record = True  # an SADD or SREM may have been among what was dropped
        self._lost(f"publishing failed: {reason}")

    def _lost(self, reason: str) -> None:
        self._liveness.lost(reason)
        self._tell_liveness()

    def _probe(self, now: float) -> None:
        # Not while the circuit is open: it would only be counted as dropped. When the pause is over this is the probe.
        if self._wire is not None and not self._link.circuit.is_open(now):
            self.pipeline.push("PUBLISH", self._control, b"%b%d}" % (self._echo_head, self._liveness.next_nonce()))

    async def _watch(self) -> None:
        probe_at = tick_at = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            now = time.monotonic()
            if now - tick_at > _STALL_SECONDS:
                self._last_byte = now
            tick_at = now
            if now >= probe_at or not self._liveness.is_live(now):
                probe_at = now + _PROBE_SECONDS
                self._probe(now)
            self._tell_liveness()
            if self._wire is not None and now - self._last_byte > _DEAF_SECONDS:
                self.counters.deaf += 1
                self._loss = f"deaf: not a byte for {_DEAF_SECONDS:.0f} s"
                self._wire.abort()
            if self._must_record and self._is_announced and self._liveness.is_live(now):
                await self._record_all()

    async def _record_all(self) -> None:
        """Make the SET equal to what is confirmed; the pipeline's order makes it exact whatever changes meanwhile."""
        self._must_record = False
        try:
            found = {entry.decode() for entry in await self.pipeline.ask("SMEMBERS", self._subscriptions_key)}
        except RedisUnavailable:
            self._must_record = True
            return
        confirmed = self._subscriptions.confirmed
        for command, names in (("SREM", found - confirmed), ("SADD", confirmed - found)):
            ordered = sorted(names)
            for at in range(0, len(ordered), CHUNK):
                self._record(command, ordered[at : at + CHUNK])

    def _tell_liveness(self) -> None:
        if (turn := self._liveness.turn(time.monotonic())) is not None:
            self._call(self._on_liveness, *turn)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - the loop that keeps the bus alive must outlive any mistake of its owner
            self.counters.handler_errors += 1
            _log.exception("redis bus: a callback failed")


def _answer(waiter: _Waiter, *, is_confirmed: bool) -> None:
    if not waiter.outcome.done():
        waiter.outcome.set_result(is_confirmed)
