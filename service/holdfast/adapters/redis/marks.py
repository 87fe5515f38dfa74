"""The marks of unfinished commits and changes, in one sorted set: `dirty`.

Invariant: nothing here raises because of Redis. Writes go through the bus's pipeline, in order with the publications.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.adapters.redis import decoding, keys, scripts
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.errors import RedisUnavailable, Undecodable
from holdfast.ports import MARK_SECONDS, within

_MAX_CLAIMS: Final = 20  # when all that is claimed is foreign: 2,000 of them within one sweep


class RedisMarks:
    """Implements `ports.Marks`. Used from one event loop; owns nothing."""

    def __init__(self, link: RedisLink, pipeline: Pipeline) -> None:
        """Reads through `link`, writes through the bus's `pipeline`."""
        self._link = link
        self._pipeline = pipeline

    @property
    def losses(self) -> int:
        """See `Marks.losses`. A script that Redis refuses, because its memory is full for example, has published before that."""
        return self._pipeline.counters.dropped_away + self._pipeline.counters.dropped_full

    @property
    def connection(self) -> int:
        """See `Marks.connection`."""
        return self._pipeline.connection

    async def mark_dirty(self, *entries: str, within_seconds: float = MARK_SECONDS) -> bool:
        """See `Marks.mark_dirty`. False may also mean that the answer came too late: clear the mark all the same."""
        try:
            async with within(within_seconds):
                await self._pipeline.ask_script(scripts.MARK_DIRTY, (keys.DIRTY,), entries)
        except (RedisUnavailable, TimeoutError):
            return False
        return True

    def clear_dirty(self, *entries: str) -> None:
        """See `Marks.clear_dirty`."""
        self._pipeline.push("ZREM", keys.DIRTY, *entries)

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """See `Marks.claim_dirty`."""
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
