"""Is Redis gone, or only this instance's way to it? Decides whether an instance without Redis leaves the Service.

Redis is shared: if its loss made instances unready, all would leave at once. So two others are asked first; only where they reach
Redis is this instance the isolated one. Even then it stays while fewer than half of all would remain, and it comes back when that
becomes so (several may have left in the same moment), or when no instance reaches Redis any more. An instance that cannot be
asked counts as not remaining. Sockets that are open stay open either way.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final

from holdfast.loops import Loop
from holdfast.node.health.evaluator import Health
from holdfast.node.identity import Identity
from holdfast.ports import Clock, Peer, Peers

_PATIENCE_SECONDS: Final = 10.0  # after a restart of Redis one instance reconnects seconds before another
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 3.0  # and up to as much again: isolated ones must not leave in step
_WITNESSES: Final = 2
_AT_ONCE: Final = 16

_log = logging.getLogger(__name__)


class Isolation:
    """Lives in the event loop; `loop` decides. `is_isolated`: this instance is better left out of the Service."""

    def __init__(self, identity: Identity, health: Health, peers: Peers, clock: Clock) -> None:
        self.is_isolated = False
        self._identity = identity
        self._health = health
        self._peers = peers
        self._clock = clock
        self._ask_at: float | None = None

    @property
    def loop(self) -> Loop:
        """Asks no other instance while Redis works here; without Redis it asks every few seconds."""
        return Loop("isolation", self._round, _LOOK_SECONDS)

    async def _round(self) -> None:
        now = self._clock.monotonic()
        if not self._health.has_lost_redis:
            self._ask_at = None
            self._enter(False, "Redis is back")
        elif self._ask_at is None:
            self._ask_at = now + _PATIENCE_SECONDS + random.uniform(0, _AGAIN_SECONDS)
        elif now >= self._ask_at:
            await self._decide()
            self._ask_at = now + _AGAIN_SECONDS + random.uniform(0, _AGAIN_SECONDS)
        await asyncio.sleep(_LOOK_SECONDS)

    async def _decide(self) -> None:
        addresses = list(await self._peers.addresses())
        random.shuffle(addresses)
        if not (self.is_isolated or await self._is_denied_by_witnesses(addresses)):
            return
        others = [
            peer for peer in await self._ask_all(addresses) if peer is None or peer.instance_id != self._identity.instance_id
        ]
        counted = [peer for peer in others if peer is None or not peer.is_draining]
        see_redis = sum(1 for peer in counted if peer is not None and peer.sees_redis)
        remaining = sum(1 for peer in counted if peer is not None and peer.is_ready)
        is_better_out = see_redis > 0 and 2 * remaining >= len(counted) + 1
        self._enter(is_better_out, f"of {len(counted) + 1}, {see_redis} see Redis and {remaining} would remain")

    async def _is_denied_by_witnesses(self, addresses: Sequence[str]) -> bool:
        """Whether the first two others that answer (one, where there is only one) see the Redis that is lost here."""
        witnesses: list[Peer] = []
        for address in addresses[: 3 * _WITNESSES]:
            peer = await self._peers.ask(address)
            if peer is not None and peer.instance_id != self._identity.instance_id:
                witnesses.append(peer)
            if len(witnesses) == _WITNESSES:
                break
        return bool(witnesses) and all(peer.sees_redis for peer in witnesses)

    async def _ask_all(self, addresses: Sequence[str]) -> list[Peer | None]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(address: str) -> Peer | None:
            async with room:
                return await self._peers.ask(address)

        return await asyncio.gather(*(ask(address) for address in addresses))

    def _enter(self, is_isolated: bool, why: str) -> None:
        if is_isolated != self.is_isolated:
            fields = {"is_isolated": is_isolated, "why": why}
            _log.warning("out of the Service" if is_isolated else "in the Service again", extra={"fields": fields})
        self.is_isolated = is_isolated
