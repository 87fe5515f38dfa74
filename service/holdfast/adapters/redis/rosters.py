"""The rosters: the conversation list of each user in Redis, as hashes that an operator reads with `redis-cli`.

Writes that others rely on go through the bus's pipeline, in order with the envelopes; writes that are lost there are counted.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.adapters.redis import decoding, keys, roster_form, scripts
from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.adapters.redis.roster_form import PARTS, HeadForm, ListForm, ListPlace
from holdfast.adapters.redis.scripts import Argument, Script
from holdfast.domain.conversations import RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import RedisUnavailable, Undecodable
from holdfast.protocol.seals import Seals

_ROSTER_MS: Final = 600_000  # a rolling restart is over by then; and no mistake outlives it
_COUNTS_MS: Final = _ROSTER_MS + 10_000  # what instances know of the store's clock differs by seconds
_AT_ONCE: Final = 8  # of the pool's connections: when thousands come back they wait here, and not against a deadline
_PERMIT_MS: Final = 60_000  # to read the store and write a roster; `head:` lives longer than both together


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
        self._room = asyncio.Semaphore(_AT_ONCE)

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
        arguments = (generation, self._lists.layout, secrets.token_hex(8), _PERMIT_MS)
        kind, token, *found = await self._run(scripts.LOOK, (keys.ERA, keys.member(user_id)), arguments)
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
        read_ms = max(min(given_ms, now_ms), now_ms - _PERMIT_MS)  # Redis's clock may be another than the store's
        signed = self._lists.signed(place, rows, read_ms + _COUNTS_MS)
        lasts_ms = _ROSTER_MS - (now_ms - read_ms)  # it is gone before its signature ends
        arguments: list[Argument] = [generation, self._lists.layout, fill_permit, _PERMIT_MS, lasts_ms, signed]
        for row in rows:
            m = row.membership
            c, seq, revision, count = m.conversation_id, m.last_seq, m.revision, m.member_count
            arguments += (c, roster_form.text(row), seq, self._heads.seq_stamp(c, generation, seq))
            arguments += (revision, self._heads.revision_stamp(c, generation, revision, count), count)
        return bool(await self._run(scripts.FILL, (keys.ERA, keys.member(user_id)), tuple(arguments)))

    async def tails(
        self, conversation_ids: Sequence[ConversationId], generation: str, proof: str
    ) -> dict[ConversationId, Seq] | None:
        """See `RosterCache.tails`."""
        heads = tuple(map(keys.head, conversation_ids))
        found = await self._run(scripts.TAILS, (keys.ERA, *heads), (generation, self._lists.layout, proof))
        if not found:
            return None
        tails, forged = dict[ConversationId, Seq](), list[ConversationId]()
        for conversation_id, seq, stamp in zip(conversation_ids, found[::2], found[1::2], strict=True):
            tail = self._heads.tail(conversation_id, generation, seq, stamp)
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
            await self._pipeline.ask_script(scripts.BEGIN_READS, members, (name, conversation_id, _PERMIT_MS))
        return name

    def end_reads(self, name: str, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], generation: str) -> None:
        """See `RosterCache.end_reads`."""
        arguments: list[Argument] = [name, conversation_id]
        for user_id, seq in cursors.items():
            arguments += (seq, self._lists.cursor_stamp(user_id, conversation_id, generation, seq))
        self._pipeline.push_script(scripts.END_READS, tuple(map(keys.member, cursors)), tuple(arguments))

    async def _run(self, script: Script, its_keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> Any:
        async with self._room:
            return await self._link.run(script, its_keys, arguments)

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
