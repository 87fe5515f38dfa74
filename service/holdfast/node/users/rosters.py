"""The user's conversations at the time of connecting: from Redis where it may be trusted, else from the store.

Redis is trusted under three conditions: it is proven live here, no write of this instance to it was lost, and no other instance
reports in its bulletin a lost write or another Redis. An instance that lost any write begins a new era as soon as Redis answers,
and reports `lost` until then: no instance uses older lists. A change of members that Redis takes no mark of is preceded by that
bulletin, because its instance may die before it can report. A failing Redis costs reads of the store, nothing else.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from holdfast.domain.conversations import Membership, RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import RedisUnavailable
from holdfast.loops import REDIS, Loop
from holdfast.node.cluster.redis_trust import RedisTrust
from holdfast.node.conversations.delivery import Delivery
from holdfast.ports import Clock, ConversationStore, CursorStore, RosterCache
from holdfast.telemetry import Telemetry

_TICK_SECONDS: Final = 0.25
_UNKNOWN: Final = RosterLook(None)

_log = logging.getLogger(__name__)


class RosterStore(ConversationStore, CursorStore, Protocol):
    """The conversations of a user, each with its read cursor."""


@dataclass(frozen=True, slots=True)
class Roster:
    """A user's conversations as they were found, most recently active first. `proof`, `fill_permit`: see `RosterLook`."""

    memberships: list[Membership]
    proof: str = ""
    fill_permit: str = ""


class Rosters:
    """Lives in the event loop; `loop` begins new eras."""

    def __init__(
        self,
        cache: RosterCache,
        store: RosterStore,
        telemetry: Telemetry,
        delivery: Delivery,
        redis_trust: RedisTrust,
        store_clock: Clock,
    ) -> None:
        """`store_clock`: until when a signed list counts is judged by it, the same at all instances."""
        self._cache = cache
        self._store = store
        self._telemetry = telemetry
        self._delivery = delivery
        self._redis_trust = redis_trust
        self._clock = store_clock

    @property
    def loop(self) -> Loop:
        """Begins a new era after every loss."""
        return Loop("rosters", self._round, _TICK_SECONDS, needs=(REDIS,))

    async def _round(self) -> None:
        await asyncio.sleep(_TICK_SECONDS)
        if self._redis_trust.may_tell_losses:
            await self._redis_trust.losses.tell()

    async def of(self, user_id: UserId) -> Roster:
        """The user's conversations now; call it when everything about the user is subscribed.

        Raises:
            StoreError: Redis does not know, and the store does not answer.
        """
        look = await self._look(user_id)
        if look.rows is not None:
            self._telemetry.rosters.labels("redis").inc()
            rows = sorted((row.membership for row in look.rows), key=lambda row: row.last_active_at_ms, reverse=True)
            return Roster(rows, proof=look.proof)
        self._telemetry.rosters.labels("store").inc()
        return Roster(await self._store.memberships_of(user_id), fill_permit=look.fill_permit)

    async def tails(self, known: Mapping[ConversationId, Seq], proof: str) -> dict[ConversationId, Seq]:
        """The tails of conversations of a roster with this proof, to be called when they are subscribed; else nothing."""
        if not (proof and known and self._may_believe()):
            return {}
        try:
            published = await self._cache.tails(list(known), self._delivery.generation, proof)
        except RedisUnavailable:
            return {}
        return {c: max(seq, known[c]) for c, seq in published.items()} if published is not None else {}

    async def finish(
        self, user_id: UserId, roster: Roster, heads: Mapping[ConversationId, Seq]
    ) -> tuple[dict[ConversationId, Seq], dict[ConversationId, int]]:
        """Read cursors and revisions of conversations that the user hears by now; what the store was asked is remembered.

        Args:
            heads: how far each is here.

        Raises:
            StoreError: Redis does not know all of it, and the store does not answer.
        """
        if roster.proof and not heads:
            return {}, {}
        look = await self._look(user_id) if roster.proof else RosterLook(None, fill_permit=roster.fill_permit)
        found = {row.membership.conversation_id: row for row in look.rows or ()}
        memberships = roster.memberships
        if roster.proof and (look.rows is None or not found.keys() >= heads.keys()):
            memberships = await self._store.memberships_of(user_id)
        revisions = {row.conversation_id: row.revision for row in memberships if row.conversation_id in heads}
        revisions |= {c: row.membership.revision for c, row in found.items() if c in heads}
        cursors = {c: row.last_read_seq for c, row in found.items() if row.last_read_seq is not None and c in heads}
        if unknown := [c for c in heads if c not in cursors]:
            cursors |= dict.fromkeys(unknown, 0) | await self._store.cursors_of(user_id, unknown)
        joined = {row.conversation_id: row.joined_seq for row in memberships}
        cursors = {c: max(seq, joined.get(c, 0)) for c, seq in cursors.items()}
        if look.rows is None and look.fill_permit:
            await self._fill(user_id, look.fill_permit, memberships, heads, cursors)
        return cursors, {c: revisions.get(c, 0) for c in heads}

    async def _fill(
        self,
        user_id: UserId,
        fill_permit: str,
        memberships: Collection[Membership],
        heads: Mapping[ConversationId, Seq],
        cursors: Mapping[ConversationId, Seq],
    ) -> None:
        if not self._may_believe() or any(row.conversation_id not in heads for row in memberships):
            return
        rows = [RosterRow(replace(row, last_seq=heads[row.conversation_id]), cursors[row.conversation_id]) for row in memberships]
        try:
            await self._cache.fill(user_id, self._delivery.generation, fill_permit, rows, self._clock.now_ms())
        except RedisUnavailable as error:
            _log.debug("a roster is not remembered: %s", error)

    async def _look(self, user_id: UserId) -> RosterLook:
        if not self._may_believe():
            return _UNKNOWN
        try:
            look = await self._cache.look(user_id, self._delivery.generation, self._clock.now_ms())
        except RedisUnavailable:
            return _UNKNOWN
        return look if self._may_believe() else _UNKNOWN

    def _may_believe(self) -> bool:
        return bool(self._redis_trust.is_memory_complete and self._delivery.generation)
