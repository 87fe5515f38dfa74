"""Outgoing envelopes: with a commit also its messages for gap fill and the end of its dirty mark, in one script.

Invariant: nothing here raises because of Redis; a call that cannot be sent is dropped and counted by the pipeline.
"""

import logging
from collections.abc import Sequence
from typing import Final

from holdfast.adapters.redis import decoding, keys, scripts
from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.kept import Kept
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import RedisUnavailable, Undecodable
from holdfast.ports import RECENT_MESSAGES, PublishedChange, PublishedCommit, within
from holdfast.protocol.seals import Seals

_log = logging.getLogger("holdfast.redis")

MAX_ENVELOPE_BYTES: Final = 1024 * 1024
"""Larger ones are neither sent nor delivered: an instance that misses them reads the store."""

_RECENT_TTL_MS: Final = 120_000  # a reconnecting client is back by then; older replays come from the store
_MAX_CLAIMS: Final = 20  # when all that is claimed is foreign: 2,000 of them within one sweep
_RECENT_BYTES: Final = 256 * 1024


class Publisher:
    """The sending half of the bus. Owns nothing: pipeline and link belong to the bus."""

    def __init__(self, link: RedisLink, pipeline: Pipeline, counters: BusCounters, seals: Seals | None) -> None:
        """Writes go through `pipeline`, reads through `link`; `seals` sign what is published and kept."""
        self._seals = seals
        self._kept = Kept(seals)
        self._link = link
        self._pipeline = pipeline
        self._counters = counters

    def publish(self, channel: str, envelope: bytes) -> None:
        """See `ClusterBus.publish`."""
        envelope = self._sealed(channel, envelope)
        if self._fits(envelope):
            self._pipeline.push("PUBLISH", channel, envelope)

    def publish_commit(self, commit: PublishedCommit) -> None:
        """See `ClusterBus.publish_commit`. With an envelope that is too large, nothing of it happens: the mark stays."""
        channel = keys.conversation_channel(commit.conversation_id)
        envelope = self._sealed(channel, commit.envelope)
        if not self._fits(envelope):
            return
        self._pipeline.push_script(
            scripts.PUBLISH_COMMIT,
            (keys.recent(commit.conversation_id), keys.DIRTY, keys.head(commit.conversation_id)),
            (
                channel,
                envelope,
                commit.mark or "",
                commit.first_seq,
                _RECENT_TTL_MS,
                RECENT_MESSAGES,
                _RECENT_BYTES,
                commit.generation,
                self._kept.head(commit.generation),
                *(
                    self._kept.entry(commit.conversation_id, commit.generation, seq, message)
                    for seq, message in enumerate(commit.messages, commit.first_seq)
                ),
            ),
        )

    def publish_change(self, change: PublishedChange) -> None:
        """See `ClusterBus.publish_change`."""
        channels = (keys.conversation_channel(change.conversation_id), *map(keys.user_channel, change.affected))
        told = [part for channel in channels for part in (channel, self._sealed(channel, change.envelope))]
        self._pipeline.push_script(
            scripts.PUBLISH_CHANGE,
            (keys.head(change.conversation_id), keys.DIRTY, *map(keys.member, change.affected)),
            (change.generation, change.revision, change.member_count, len(channels), *told, *change.marks),
        )

    async def mark_dirty(self, entries: Sequence[str], within_seconds: float) -> bool:
        """See `ClusterBus.mark_dirty`. False may also mean that the answer came too late: clear the mark all the same."""
        try:
            async with within(within_seconds):
                await self._pipeline.ask_script(scripts.MARK_DIRTY, (keys.DIRTY,), tuple(entries))
        except (RedisUnavailable, TimeoutError):
            return False
        return True

    def clear_dirty(self, entries: Sequence[str]) -> None:
        """See `ClusterBus.clear_dirty`."""
        self._pipeline.push("ZREM", keys.DIRTY, *entries)

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """See `ClusterBus.claim_dirty`."""
        arguments = (int(older_than_seconds * 1000), int(hold_seconds * 1000), limit)
        for _ in range(_MAX_CLAIMS):
            try:
                due = await self._link.run(scripts.CLAIM_DIRTY, (keys.DIRTY,), arguments)
            except RedisUnavailable:
                return []
            entries = self._marks(due)
            if entries or len(due) < limit:
                return entries
        return []  # nothing but foreign marks for now; they are removed

    async def recent(self, conversation_id: ConversationId, after_seq: Seq, generation: str) -> list[tuple[Seq, bytes]]:
        """See `ClusterBus.recent`."""
        key = keys.recent(conversation_id)
        try:
            found = await self._link.call("ZRANGEBYSCORE", key, f"({after_seq}", "+inf", "WITHSCORES")
        except RedisUnavailable:
            return []
        messages, foreign, unsigned = [], 0, 0
        for entry, score in zip(found[::2], found[1::2], strict=True):
            try:
                seq = decoding.score(score)
            except Undecodable:
                foreign += 1
                continue
            if not self._kept.is_of(generation, entry):
                continue
            message = self._kept.message(conversation_id, generation, seq, entry)
            if message is None:
                unsigned += 1
            else:
                messages.append((seq, message))
        if foreign:
            self._link.undecodable("recent", foreign)
        if foreign or unsigned:
            self._counters.unsigned += unsigned
            self._pipeline.push("UNLINK", key)
        return messages

    def _marks(self, due: Sequence[bytes]) -> list[str]:
        """The marks among these; the others are removed."""
        entries, unread = [], []
        for raw in due:
            try:
                entries.append(decoding.text(raw))
            except Undecodable:
                unread.append(raw)
        if unread:
            self._link.undecodable("dirty", len(unread))
            self._pipeline.push("ZREM", keys.DIRTY, *unread)
        return entries

    def _sealed(self, channel: str, envelope: bytes) -> bytes:
        return envelope if self._seals is None else self._seals.seal(channel, envelope)

    def _fits(self, envelope: bytes) -> bool:
        if len(envelope) <= MAX_ENVELOPE_BYTES:
            return True
        self._counters.too_large += 1
        _log.warning("redis bus: an envelope of %d bytes is not sent", len(envelope))
        return False
