"""Publishes the heartbeats of this run, hears those of the others, and reads the bulletins of those that are silent."""

import asyncio
import logging
from typing import Final

from holdfast.domain.ids import RunId
from holdfast.errors import StoreError
from holdfast.loops import STORE, Loop
from holdfast.node.cluster.above import Above
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.peers import Peers
from holdfast.node.foundation import Foundation
from holdfast.ports import FLEET
from holdfast.protocol.envelopes import VERSION, HeartbeatEnvelope, encode

_TICK_SECONDS: Final = 0.25
_URGENT_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Heartbeats:
    """Lives in the event loop; of `loops` one publishes and judges, and one reads: the store must not delay the judgement."""

    def __init__(self, on: Foundation, peers: Peers, lease: Lease, bulletins: Bulletins, above: Above) -> None:
        self._peers = peers
        self._on = on
        self._lease = lease
        self._bulletins = bulletins
        self._above = above
        self._published_at = self._urged_at = float("-inf")

    @property
    def loops(self) -> tuple[Loop, Loop]:
        """Publish and judge, and read."""
        return (
            Loop("heartbeats", self._round, _TICK_SECONDS),
            Loop("peers", self._reading_round, _TICK_SECONDS, needs=(STORE,)),
        )

    def take(self, heartbeat: HeartbeatEnvelope) -> None:
        """A heartbeat of any run, this one included."""
        self._peers.hear(heartbeat.run, heartbeat.world, self._on.clock.monotonic())

    async def _round(self) -> None:
        now, bus = self._on.clock.monotonic(), self._on.bus
        self._peers.use(self._lease.server, now)
        if now - self._published_at >= self._peers.period_seconds and not bus.is_lost:
            self._published_at = now
            heartbeat = HeartbeatEnvelope(v=VERSION, kind="heartbeat", run=self._on.identity.run, world=self._peers.world)
            bus.publish(FLEET, encode(heartbeat))
        if now - self._urged_at >= _URGENT_SECONDS and self._peers.is_alarmed(now):
            self._urged_at = now
            self._bulletins.write_soon()
        was_trusted = self._peers.is_trusted
        if self._peers.look(now, is_listening=not (bus.is_lost or self._lease.is_cut)):
            self._above.on_loss_elsewhere()
        if self._peers.is_trusted and not was_trusted:
            self._above.on_heard_again()
        await asyncio.sleep(_TICK_SECONDS)

    async def _reading_round(self) -> None:
        now = self._on.clock.monotonic()
        if self._on.bus.is_live:
            await asyncio.gather(*(self._read(run, key, now) for run, key in self._peers.to_read(now)))
        await asyncio.sleep(_TICK_SECONDS)

    async def _read(self, run: RunId, key: str, now: float) -> None:
        try:
            self._peers.note_standing(run, await self._on.store.find_bulletin(RunId(key)), now)
        except StoreError as error:
            _log.debug("the bulletin of a silent peer is not read: %s", error)
