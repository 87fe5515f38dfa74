"""The cluster bus: a publisher, a listener, and the proof by echo that published envelopes come back.

Invariants: Redis's failures never reach the caller; the bus calls itself live only while its own echoes return. A connection
from which no byte came for 3 s is deaf and is dropped (redis-py never notices a hung or half-open Redis), and so is one on
which no channel is confirmed. Every connection is announced by `on_subscribed` once all channels wanted at its start are
confirmed on it. `subscriptions:{instance_id}` follows the confirmed channels, `user:` entries excepted: registration owns those.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from holdfast.adapters.redis import decoding, keys
from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.listener import Listener
from holdfast.adapters.redis.liveness import Liveness
from holdfast.adapters.redis.permissions import is_denial
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.adapters.redis.publisher import MAX_ENVELOPE_BYTES, Publisher
from holdfast.adapters.redis.subscriptions import CHUNK
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import InstanceId
from holdfast.errors import RedisUnavailable, Undecodable
from holdfast.loops import Loop, Loops
from holdfast.ports import PublishedChange, PublishedCommit
from holdfast.protocol.seals import Seals
from holdfast.waiting import is_set_within

_TICK_SECONDS: Final = 0.25
_PROBE_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 1.0
_SUBSCRIPTIONS_TTL_MS: Final = 3_600_000  # as the registry's keys; renewed with them
_MAX_NONCE_DIGITS: Final = 18
_ECHO: Final = b'{"v":1,"kind":"echo"'


class RedisBus:
    """Implements `ports.Bus`. Used from one event loop; closed by its starter, before the link.

    `heard`, `connected`, `confirmed`, `restored` and `disconnected` are the listener's, see `Ear`.
    """

    def __init__(self, link: RedisLink, instance_id: InstanceId, seals: Seals | None = None) -> None:
        """Connects to nothing yet. With `seals` everything is signed, and nothing else believed."""
        self.pipeline = Pipeline(link, self._publishing_failed)
        self.counters = BusCounters()
        self._link = link
        self._clock = link.clock
        self._seals = seals
        self._control = keys.control_channel(instance_id)
        self._subscriptions_key = keys.subscriptions(instance_id)
        self._liveness = Liveness()
        self._listener = Listener(link, self._control, self, self.counters, self._liveness)
        self._publisher = Publisher(self.pipeline, self.counters, seals)
        self._is_announced = False
        self._must_record = False
        self._wake = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._probe_at = 0.0
        self._note_failure: Callable[[str, BaseException], None] = lambda _name, _error: None
        # The token tells our echoes from those of a second process under the same instance id.
        self._echo_head = b'%b,"bus":"%b","nonce":' % (_ECHO, secrets.token_hex(8).encode())
        self._on_envelope: Callable[[str, bytes], None] = lambda _channel, _payload: None
        self._on_subscribed: Callable[[], None] = lambda: None
        self._on_liveness: Callable[[bool, str], None] = lambda _is_live, _reason: None

    @property
    def is_live(self) -> bool:
        """See `Bus.is_live`."""
        return self._liveness.is_live(self._clock.monotonic())

    @property
    def is_lost(self) -> bool:
        """See `Bus.is_lost`."""
        return self._liveness.is_lost

    def subscription(self, channel: str) -> int:
        """See `Bus.subscription`."""
        return self._listener.subscriptions.confirmation(channel)

    async def start(
        self,
        loops: Loops,
        on_envelope: Callable[[str, bytes], None],
        on_subscribed: Callable[[], None],
        on_liveness: Callable[[bool, str], None],
    ) -> None:
        """See `Bus.start`."""
        self._on_envelope, self._on_subscribed, self._on_liveness = on_envelope, on_subscribed, on_liveness
        self.pipeline.start(loops)
        self._listener.start(loops)
        self._note_failure = loops.note_failure
        watch = Loop("bus_watch", self._round, _TICK_SECONDS, is_vital=True)
        self._watching = asyncio.get_running_loop().create_task(loops.run(watch), name="redis-bus-watch")

    async def close(self) -> None:
        """See `Bus.close`. Idempotent."""
        task, self._watching = self._watching, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.pipeline.close(_FLUSH_SECONDS)
        await self._listener.close()

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, channel: str, envelope: bytes) -> None:
        """See `Bus.publish`."""
        self._publisher.publish(channel, envelope)

    def publish_commit(self, commit: PublishedCommit) -> None:
        """See `Bus.publish_commit`."""
        self._publisher.publish_commit(commit)

    def publish_change(self, change: PublishedChange) -> None:
        """See `Bus.publish_change`."""
        self._publisher.publish_change(change)

    # --- subscribing --------------------------------------------------------------------------------------------------

    async def subscribe(self, channels: Iterable[str]) -> bool:
        """See `Bus.subscribe`."""
        missing = self._listener.subscriptions.want(channels)
        return await self._listener.wait_for(missing) if missing else True

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `Bus.unsubscribe`."""
        leaving = self._listener.forget(name for name in channels if name != self._control)
        self._record("SREM", leaving)

    def rename(self, instance_id: InstanceId) -> None:
        """See `Bus.rename`."""
        # The last thing under the old name: its new owner learns that its SET may hold channels of ours.
        self._probe(self._clock.monotonic())
        self._control = keys.control_channel(instance_id)
        self._subscriptions_key = keys.subscriptions(instance_id)
        self._listener.rename(self._control)

    def record_channels(self) -> None:
        """See `Bus.record_channels`."""
        self._must_record = True
        self._wake.set()

    def _record(self, command: str, channels: Iterable[str]) -> None:
        names = [name for name in channels if not name.startswith(keys.USER_PREFIX)]
        for some in chunks(names, CHUNK):
            is_queued = self.pipeline.push(command, self._subscriptions_key, *some)
            self._must_record |= not is_queued
            if is_queued and command == "SADD":
                self.pipeline.push("PEXPIRE", self._subscriptions_key, _SUBSCRIPTIONS_TTL_MS)

    async def _record_all(self) -> None:
        """Make the SET equal to what is confirmed; the pipeline's order makes it exact whatever changes meanwhile."""
        self._must_record = False
        try:
            there = await self.pipeline.ask("SMEMBERS", self._subscriptions_key)
        except RedisUnavailable:
            self._must_record = True
            return
        found, unread = dict[str, None](), []
        for entry in there:
            try:
                found[decoding.text(entry)] = None
            except Undecodable:
                unread.append(entry)
        if unread:
            self._link.undecodable("subscriptions", len(unread))
            self.pipeline.push("SREM", self._subscriptions_key, *unread[:CHUNK])
        confirmed = self._listener.subscriptions.confirmed
        self._record("SREM", [name for name in found if name not in confirmed])
        self._record("SADD", [name for name in confirmed if name not in found])

    # --- receiving ----------------------------------------------------------------------------------------------------

    def heard(self, channel: str, payload: bytes) -> None:
        """Hand an envelope over; echoes stay here."""
        if len(payload) > MAX_ENVELOPE_BYTES:
            self.counters.too_large += 1
        elif channel == self._control and payload.startswith(_ECHO):
            self._echoed(payload)
        elif self._seals is not None and not self._seals.may_believe(channel, payload):
            self.counters.unsigned += 1
        else:
            self.counters.received += 1
            self._on_envelope(channel, payload)

    def _echoed(self, payload: bytes) -> None:
        nonce = payload[len(self._echo_head) : -1]
        if not payload.startswith(self._echo_head) or not nonce.isdigit() or len(nonce) > _MAX_NONCE_DIGITS:
            self.counters.foreign_echoes += 1
            self._must_record = True  # another process under our name writes into our SET, too, until one of us yields
            return
        self._liveness.echoed(int(nonce), self._clock.monotonic())
        self._tell_liveness()

    def connected(self) -> None:
        """Nothing is proven on a new connection."""
        self.counters.connections += 1
        self._is_announced = False

    def confirmed(self, channels: list[str]) -> None:
        """Write them down for operators and reapers."""
        self._record("SADD", channels)

    def restored(self) -> None:
        """Announce a new connection, once."""
        if self._is_announced:
            return
        self._is_announced = True
        self._liveness.restored(self._clock.monotonic())
        self._probe(self._clock.monotonic())
        self.record_channels()
        self._call(self._on_subscribed)

    def disconnected(self, reason: str) -> None:
        """Tell that the bus is not live."""
        self._is_announced = False
        self._lost(reason)

    # --- liveness -----------------------------------------------------------------------------------------------------

    async def _round(self) -> None:
        await is_set_within(self._wake, _TICK_SECONDS)
        self._wake.clear()
        now = self._clock.monotonic()
        self._liveness.tick(now)
        if now >= self._probe_at or not self._liveness.is_live(now):
            self._probe_at = now + _PROBE_SECONDS
            self._probe(now)
        self._tell_liveness()
        if self._listener.is_connected and (why := self._liveness.why_drop(now)):
            self.counters.deaf += 1
            self._listener.drop(why)
        if self._must_record and self._is_announced and self._liveness.is_live(now):
            await self._record_all()

    def _probe(self, now: float) -> None:
        # Not while the circuit is open: it would only be counted as dropped. When the pause is over this is the probe.
        if self._listener.is_connected and not self._link.circuit.is_open(now):
            self.pipeline.push("PUBLISH", self._control, b"%b%d}" % (self._echo_head, self._liveness.next_nonce()))

    def _publishing_failed(self, reason: str) -> None:
        self._must_record = True  # an SADD or SREM may have been among what was dropped
        self._lost(reason if is_denial(reason) else f"publishing failed: {reason}")

    def _lost(self, reason: str) -> None:
        self._liveness.lost(reason, self._clock.monotonic())
        self._tell_liveness()

    def _tell_liveness(self) -> None:
        if (turn := self._liveness.turn(self._clock.monotonic())) is not None:
            self._call(self._on_liveness, *turn)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - the loop that keeps the bus alive must outlive any mistake of its owner
            self.counters.failed_calls += 1
            self._note_failure("bus_watch", error)
