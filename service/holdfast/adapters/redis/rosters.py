"""The rosters: the conversation list of each user in Redis, as hashes that an operator reads with `redis-cli`.

Writes that others rely on go through the bus's pipeline, in order with the envelopes; writes that are lost there are counted.
"""

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.adapters.redis import decoding, keys, scripts
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.adapters.redis.scripts import Argument
from holdfast.domain.conversations import Membership, RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId, is_id
from holdfast.errors import RedisUnavailable, Undecodable

_ROW_NUMBERS: Final = 7
_ROSTER_MS: Final = 600_000  # a rolling restart is over by then; and no mistake outlives it
_PERMIT_MS: Final = 60_000  # to read the store and write a roster; `head:` lives longer than both together


class RedisRosters:
    """Implements `ports.RosterCache`. Used from one event loop; owns nothing."""

    def __init__(self, link: RedisLink, pipeline: Pipeline, questions: Pipeline) -> None:
        """Looks through the bus's `questions`, writes through its `pipeline`."""
        self._link = link
        self._pipeline = pipeline
        self._questions = questions
        self._name = secrets.token_hex(6)
        self._names = 0

    @property
    def losses(self) -> int:
        """See `RosterCache.losses`."""
        counters = self._pipeline.counters
        return counters.dropped_away + counters.dropped_full + counters.refused

    async def new_era(self) -> None:
        """See `RosterCache.new_era`."""
        await self._pipeline.ask("SET", keys.ERA, secrets.token_hex(8))

    async def look(self, user_id: UserId, generation: str) -> RosterLook:
        """See `RosterCache.look`."""
        arguments = (generation, secrets.token_hex(8), _PERMIT_MS)
        kind, text, *rows = await self._questions.ask_script(scripts.LOOK, (keys.ERA, keys.member(user_id)), arguments)
        try:
            if kind == b"FILL":
                return RosterLook(None, fill_permit=decoding.text(text))
            return RosterLook([_row(*rows[at : at + 6]) for at in range(0, len(rows), 6)], proof=decoding.text(text))
        except Undecodable:
            self._link.undecodable("member")
            self._pipeline.push("UNLINK", keys.member(user_id))
            return RosterLook(None)

    async def fill(self, user_id: UserId, generation: str, fill_permit: str, rows: Sequence[RosterRow]) -> bool:
        """See `RosterCache.fill`."""
        arguments: list[Argument] = [generation, fill_permit, _PERMIT_MS, _ROSTER_MS]
        for row in rows:
            m = row.membership
            arguments += (m.conversation_id, _text(row), m.last_seq, m.revision, m.member_count)
        return bool(await self._questions.ask_script(scripts.FILL, (keys.ERA, keys.member(user_id)), tuple(arguments)))

    async def tails(
        self, conversation_ids: Sequence[ConversationId], generation: str, proof: str
    ) -> dict[ConversationId, Seq] | None:
        """See `RosterCache.tails`."""
        heads = tuple(map(keys.head, conversation_ids))
        found = await self._questions.ask_script(scripts.TAILS, (keys.ERA, *heads), (generation, proof))
        try:
            return dict(zip(conversation_ids, map(decoding.seq, found), strict=True)) if found else None
        except Undecodable:
            self._link.undecodable("head")
            self._pipeline.push("UNLINK", *heads)
            return None

    async def begin_reads(self, conversation_id: ConversationId, user_ids: Sequence[UserId]) -> str:
        """See `RosterCache.begin_reads`."""
        self._names += 1
        name = f"{self._name}{self._names}"
        members = tuple(map(keys.member, user_ids))
        with contextlib.suppress(RedisUnavailable):  # counted by the pipeline
            await self._pipeline.ask_script(scripts.BEGIN_READS, members, (name, conversation_id, _PERMIT_MS))
        return name

    def end_reads(self, name: str, conversation_id: ConversationId, cursors: Mapping[UserId, Seq]) -> None:
        """See `RosterCache.end_reads`."""
        members = tuple(map(keys.member, cursors))
        self._pipeline.push_script(scripts.END_READS, members, (name, conversation_id, *cursors.values()))


def _text(row: RosterRow) -> str:
    """Members' version, revision, tail, last activity, how many members, where the membership begins, read cursor."""
    m = row.membership
    known = (m.members_version, m.revision, m.last_seq, m.last_active_at_ms, m.member_count, m.joined_seq)
    return " ".join(map(str, (*known, row.last_read_seq or 0)))


def _row(conversation: bytes, text: bytes, seq: bytes, revision: bytes, count: bytes, is_moving: Any) -> RosterRow:
    numbers = [decoding.number(each) for each in text.split()]
    name = decoding.text(conversation)
    if len(numbers) != _ROW_NUMBERS or not is_id(name):
        raise Undecodable("no row of a roster")
    members_version, known_revision, known_seq, active, known_count, joined_seq, cursor = numbers
    membership = Membership(
        conversation_id=ConversationId(name),
        members_version=members_version,
        revision=max(known_revision, decoding.number(revision)),
        last_seq=max(known_seq, decoding.seq(seq)),
        last_active_at_ms=active,
        member_count=decoding.number(count) or known_count,
        joined_seq=joined_seq,
    )
    return RosterRow(membership, None if is_moving not in (0, b"0") else cursor)
