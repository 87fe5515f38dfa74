"""Tokens that are refused although their signature is good: kept in the store, effective everywhere within 5 s."""

import asyncio
from typing import Final

from holdfast.domain.ids import UserId
from holdfast.loops import STORE, Loop
from holdfast.node.delivery import Delivery
from holdfast.node.hub import Hub
from holdfast.ports import Clock, ClusterBus, MessageStore
from holdfast.protocol import envelopes
from holdfast.protocol.codes import CloseCode

POLL_SECONDS: Final = 4.0
_OVERLAP_SECONDS: Final = 60
_MAX_KNOWN: Final = 100_000


class Revocations:
    """Lives in the loop."""

    def __init__(self, store: MessageStore, bus: ClusterBus, hub: Hub, delivery: Delivery, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._hub = hub
        self._delivery = delivery
        self._clock = clock
        self._not_before: dict[UserId, int] = {}
        self._since = 0

    def is_revoked(self, user_id: UserId, issued_at: int) -> bool:
        """Whether a token issued at `issued_at` (Unix seconds) is refused."""
        return issued_at < self._not_before.get(user_id, 0)

    async def revoke(self, user_id: UserId) -> None:
        """Refuse all tokens the user has now, and close the sockets, here and everywhere.

        Raises:
            StoreUnavailable: nothing is promised.
        """
        not_before = self._clock.now_ms() // 1000 + 1
        await self._store.revoke(user_id, not_before)
        self.learn(user_id, not_before)
        envelope = envelopes.RevokedEnvelope(
            v=envelopes.VERSION,
            kind="revoked",
            generation=self._delivery.generation,
            user=user_id,
            not_before=not_before,
        )
        self._bus.publish(f"user:{user_id}", envelopes.encode(envelope))

    def learn(self, user_id: UserId, not_before: int) -> None:
        """A revocation exists; close what it concerns."""
        if not_before <= self._not_before.get(user_id, 0):
            return
        if len(self._not_before) < _MAX_KNOWN:
            self._not_before[user_id] = not_before
        for connection in self._hub.connections_of(user_id):
            if connection.issued_at < not_before:
                connection.transport.close(CloseCode.TOKEN_REVOKED, "token_revoked")

    @property
    def loop(self) -> Loop:
        """Learns what others revoked. Failing is harmless: the next poll asks for the same."""
        return Loop("revocations", self.poll, POLL_SECONDS, needs=(STORE,))

    async def poll(self) -> None:
        """Ask once, then wait for the next time.

        Raises:
            StoreError: it cannot be told now.
        """
        now = self._clock.now_ms() // 1000
        for user_id, not_before in (await self._store.read_revocations(self._since)).items():
            self.learn(user_id, not_before)
        self._since = now - _OVERLAP_SECONDS
        await asyncio.sleep(POLL_SECONDS)
