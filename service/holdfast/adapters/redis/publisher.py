"""Outgoing envelopes: with a commit also its messages for gap fill, in one script.

Invariant: nothing here raises because of Redis; a call that cannot be sent is dropped and counted by the pipeline.
"""

import logging
from typing import Final

from holdfast.adapters.redis import keys, scripts
from holdfast.adapters.redis.counters import BusCounters
from holdfast.adapters.redis.kept import Kept
from holdfast.adapters.redis.pipeline import Pipeline
from holdfast.adapters.redis.roster_form import HeadForm
from holdfast.ports import RECENT_MESSAGES, PublishedChange, PublishedCommit
from holdfast.protocol.seals import Seals

_log = logging.getLogger("holdfast.redis")

MAX_ENVELOPE_BYTES: Final = 1024 * 1024
"""Larger ones are neither sent nor delivered: an instance that misses them reads the store."""

_RECENT_TTL_MS: Final = 120_000  # a reconnecting client is back by then; older replays come from the store
_RECENT_BYTES: Final = 4 * 1024
"""Of one message: a longer one is not kept, and comes from the store. So 64 messages take little more than 256 KB."""


class Publisher:
    """The sending half of the bus. Owns nothing: the pipeline belongs to the bus."""

    def __init__(self, pipeline: Pipeline, counters: BusCounters, seals: Seals | None) -> None:
        """Writes go through `pipeline`; `seals` sign what is published and kept."""
        self._seals = seals
        self._kept = Kept(seals)
        self._heads = HeadForm(seals)
        self._pipeline = pipeline
        self._counters = counters

    def publish(self, channel: str, envelope: bytes) -> None:
        """See `Bus.publish`."""
        envelope = self._sealed(channel, envelope)
        if self._fits(envelope):
            self._pipeline.push("PUBLISH", channel, envelope)

    def publish_commit(self, commit: PublishedCommit) -> None:
        """See `Bus.publish_commit`. With an envelope that is too large, nothing of it happens."""
        channel = keys.conversation_channel(commit.conversation_id)
        envelope = self._sealed(channel, commit.envelope)
        if not self._fits(envelope):
            return
        tail = commit.first_seq + len(commit.messages) - 1
        self._pipeline.push_script(
            scripts.PUBLISH_COMMIT,
            (keys.recent(commit.conversation_id), keys.head(commit.conversation_id)),
            (
                channel,
                envelope,
                commit.first_seq,
                _RECENT_TTL_MS,
                RECENT_MESSAGES,
                commit.generation,
                self._kept.head(commit.generation),
                self._heads.seq_stamp(commit.conversation_id, commit.generation, tail),
                *(
                    self._kept.entry(commit.conversation_id, commit.generation, seq, message)
                    if len(message) <= _RECENT_BYTES
                    else b""
                    for seq, message in enumerate(commit.messages, commit.first_seq)
                ),
            ),
        )

    def publish_change(self, change: PublishedChange) -> None:
        """See `Bus.publish_change`."""
        channels = (keys.conversation_channel(change.conversation_id), *map(keys.user_channel, change.affected))
        told = [part for channel in channels for part in (channel, self._sealed(channel, change.envelope))]
        c, generation, revision, count = change.conversation_id, change.generation, change.revision, change.member_count
        self._pipeline.push_script(
            scripts.PUBLISH_CHANGE,
            (keys.head(c), *map(keys.member, change.affected)),
            (generation, revision, self._heads.revision_stamp(c, generation, revision, count), count, *told),
        )

    def _sealed(self, channel: str, envelope: bytes) -> bytes:
        return envelope if self._seals is None else self._seals.seal(channel, envelope)

    def _fits(self, envelope: bytes) -> bool:
        if len(envelope) <= MAX_ENVELOPE_BYTES:
            return True
        self._counters.too_large += 1
        _log.warning("redis bus: an envelope of %d bytes is not sent", len(envelope))
        return False
