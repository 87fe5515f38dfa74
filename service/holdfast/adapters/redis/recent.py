"""The latest messages of each conversation, as `Publisher` keeps them in `recent:{c}`.

Invariant: nothing here raises because of Redis; entries that no instance signed are removed.
"""

from holdfast.adapters.redis import decoding, keys
from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.kept import Kept
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import RedisUnavailable, Undecodable
from holdfast.protocol.seals import Seals


class RedisRecentMessages:
    """Implements `ports.RecentMessages`. Used from one event loop; owns nothing."""

    def __init__(self, link: RedisLink, pipeline: Pipeline, counters: BusCounters, seals: Seals | None) -> None:
        """Reads through `link`, removes through the bus's `pipeline`; `seals` verify what is read."""
        self._kept = Kept(seals)
        self._link = link
        self._pipeline = pipeline
        self._counters = counters

    async def recent(self, conversation_id: ConversationId, after_seq: Seq, generation: str) -> list[tuple[Seq, bytes]]:
        """See `RecentMessages.recent`."""
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
