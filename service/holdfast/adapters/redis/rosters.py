"""The rosters: the conversation list of each user in Redis, as hashes that an operator reads with `redis-cli`.

Writes that others rely on go through the bus's pipeline, in order with the envelopes; writes that are lost there are counted.
"""

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.adapters.redis import decoding, keys, roster_form, scripts
from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.adapters.redis.roster_calls import PERMIT_MS, RosterCalls
from holdfast.adapters.redis.roster_form import PARTS, HeadForm, ListForm, ListPlace
from holdfast.adapters.redis.scripts import Argument
from holdfast.domain.conversations import RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import RedisUnavailable, Undecodable
from holdfast.protocol.seals import Seals

_ROSTER_MS: Final = 600_000  # a rolling restart is over by then; and no mistake outlives it
_COUNTS_MS: Final = _ROSTER_MS + 10_000  # what instances know of the store's clock differs by seconds


class RedisRosters:
    """Implements `ports.RosterCache`. Used from one event loop; owns nothing."""

    def __init__(self, link: RedisLink, pipeline: Pipeline, counters: BusCounters, seals: Seals | None) -> None:
        """Looks through `link`, writes through the bus's `pipeline`; `seals` sign lists: no others are believed."""
        self._link = link
        self._pipeline = pipeline
        self._counters = counters
        self._lists, self._heads = ListForm(seals), HeadForm(seals)
        self._is_signed = seals is not None
        self._may_be_unsigned = seals is not None and seals.may_be_unsigned
        self._name = secrets.token_hex(6)
        self._names = 0
        self._calls = RosterCalls(link, "", self._lists.layout)

    @property
    def losses(self) -> int:
        """See `RosterCache.losses`."""
        counters = self._pipeline.counters
        return counters.dropped_away + counters.dropped_full + counters.refused

    async def new_era(self) -> None:
        """See `RosterCache.new_era`."""
        await self._pipeline.ask("SET", keys.ERA, secrets.token_hex(8))

    async def look(self, user_id: UserId, generation: str, now_ms: int) -> RosterLook:
        """See `RosterCache.look`."""
        kind, token, *found = await self._about(generation).look(user_id)
        forged: list[ConversationId] = []
        try:
            if kind == b"FILL":
                self._lists.permitted(user_id, generation, permit := decoding.text(token))
                return RosterLook(None, fill_permit=permit)
            place = self._lists.place(user_id, generation, decoding.text(token))
            rows, forged = self._rows(place, found[0], found[1:], now_ms)
            if not forged:
                return RosterLook(rows, proof=place.proof)
        except Undecodable:
            pass  # removed below
        self._pipeline.push("UNLINK", keys.member(user_id))
        self._refuse("member", generation, forged)
        return RosterLook(None)

    def _rows(
        self, place: ListPlace, signed: bytes, found: Sequence[Any], now_ms: int
    ) -> tuple[list[RosterRow], list[ConversationId]]:
        """The rows with what their heads say; and of which conversations no instance wrote the head."""
        rows, forged = [], []
        for at, row in enumerate(self._lists.rows(place, signed, found, now_ms)):
            head = found[at * PARTS + 3 : (at + 1) * PARTS]
            newest = self._heads.newest(row.membership, place.generation, head)
            if newest is None:
                forged.append(row.membership.conversation_id)
            else:
                rows.append(RosterRow(newest, row.last_read_seq))
        return rows, forged

    async def fill(self, user_id: UserId, generation: str, fill_permit: str, rows: Sequence[RosterRow], now_ms: int) -> bool:
        """See `RosterCache.fill`."""
        try:
            place, given_ms = self._lists.permitted(user_id, generation, fill_permit)
        except Undecodable:
            return False
        read_ms = max(min(given_ms, now_ms), now_ms - PERMIT_MS)  # Redis's clock may be another than the store's
        signed = self._lists.signed(place, rows, read_ms + _COUNTS_MS)
        lasts_ms = _ROSTER_MS - (now_ms - read_ms)  # it is gone before its signature ends
        written = [self._written(row, generation) for row in rows]
        return await self._about(generation).fill(user_id, fill_permit, lasts_ms, signed, written)

    def _written(self, row: RosterRow, generation: str) -> tuple[Argument, ...]:
        m = row.membership
        c, seq, revision, count = m.conversation_id, m.last_seq, m.revision, m.member_count
        stamps = self._heads.seq_stamp(c, generation, seq), self._heads.revision_stamp(c, generation, revision, count)
        return c, roster_form.text(row), seq, stamps[0], revision, stamps[1], count

    async def tails(
        self, conversation_ids: Sequence[ConversationId], generation: str, proof: str
    ) -> dict[ConversationId, Seq] | None:
        """See `RosterCache.tails`."""
        present, found = await self._about(generation).tails(conversation_ids)
        if present != proof.encode() or not all(found[c][0] for c in conversation_ids):
            return None
        tails, forged = dict[ConversationId, Seq](), list[ConversationId]()
        for conversation_id in conversation_ids:
            tail = self._heads.tail(conversation_id, generation, *found[conversation_id])
            if tail is None:
                forged.append(conversation_id)
            else:
                tails[conversation_id] = tail
        if forged:
            self._refuse("head", generation, forged)
        return None if forged else tails

    async def begin_reads(self, conversation_id: ConversationId, user_ids: Sequence[UserId]) -> str:
        """See `RosterCache.begin_reads`."""
        self._names += 1
        name = f"{self._name}{self._names}"
        members = tuple(map(keys.member, user_ids))
        with contextlib.suppress(RedisUnavailable):  # counted by the pipeline
            await self._pipeline.ask_script(scripts.BEGIN_READS, members, (name, conversation_id, PERMIT_MS))
        return name

    def end_reads(self, name: str, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], generation: str) -> None:
        """See `RosterCache.end_reads`."""
        arguments: list[Argument] = [name, conversation_id]
        for user_id, seq in cursors.items():
            arguments += (seq, self._lists.cursor_stamp(user_id, conversation_id, generation, seq))
        self._pipeline.push_script(scripts.END_READS, tuple(map(keys.member, cursors)), tuple(arguments))

    def _about(self, generation: str) -> RosterCalls:
        """The calls about this generation of the store: it is another one only after a restore."""
        if self._calls.generation != generation:
            self._calls = RosterCalls(self._link, generation, self._lists.layout)
        return self._calls

    def _refuse(self, source: str, generation: str, heads: Sequence[ConversationId]) -> None:
        """Count what cannot be read or is not signed, and remove these heads.

        They stay while instances that do not sign are about: theirs have no stamp, and lists of theirs depend on them.
        """
        if self._is_signed:
            self._counters.unsigned += 1
        else:
            self._link.undecodable(source)
        if heads and not self._may_be_unsigned:
            self._pipeline.push_script(scripts.FORGET_HEADS, tuple(map(keys.head, heads)), (generation,))
