"""Gap fill: finds the messages that a local conversation has missed, and fetches them.

The conversation's sequencer holds back what comes after a gap. A gap is found in one of these ways:

| sign | by |
|---|---|
| a later message came, or a higher seq was reported (`Delivery.hint`) | `close`, at a tick, once the gap is older than 0.15 s |
| the subscription was confirmed only after the head was read | `close`, which asks the store for the head once more |
| envelopes may have been lost: a new subscription, a process that stood still, a bulletin that overflowed | `compare` |
| a client's cursor lies after the head | `catch_up` |

The missing messages come from `recent` in Redis if that has all of them, else from the store, in pages. They are offered to the
sequencer like any other message. Without an answer of the store the gap stays open, and the next tick tries again.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from holdfast.domain.buckets import TokenBucket
from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import StoreError
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.encoded import Encoded, decoded
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.message_timing import MessageTiming
from holdfast.node.tasks import Tasks
from holdfast.ports import RECENT_MESSAGES, MessageStore, RecentMessages
from holdfast.protocol import envelopes
from holdfast.telemetry import Telemetry

RETRY_SECONDS: Final = 0.5
_PAGE: Final = 500
_READS_PER_SECOND: Final = 300  # of comparisons: 10,000 conversations take half a minute, the latest first
_HEADS_AT_ONCE: Final = 500  # two documents each: about 0.1 s, where 10,000 at once would not keep the 2 s deadline

_log = logging.getLogger(__name__)


class Streams(Protocol):
    """The local conversations whose gaps are filled."""

    locals: dict[ConversationId, LocalConversation]
    generation: str
    timing: MessageTiming

    def offer(self, conversation_id: ConversationId, items: Iterable[Encoded]) -> None:
        """Pass messages through the conversation's sequencer; those that have their turn are shown."""

    def hint(self, conversation_id: ConversationId, tail: Seq) -> None:
        """The conversation is reported to have reached `tail`."""

    def is_subscribed(self, conversation_id: ConversationId) -> bool:
        """The bus has confirmed that envelopes of this conversation arrive here."""


class GapFill:
    """Lives in the loop, beside the `Delivery` whose streams these are."""

    def __init__(
        self,
        streams: Streams,
        store: MessageStore,
        recent_messages: RecentMessages,
        clock: StoreClock,
        telemetry: Telemetry,
        tasks: Tasks,
    ) -> None:
        self._streams = streams
        self._store = store
        self._recent_messages = recent_messages
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = tasks
        self._budget = TokenBucket(_READS_PER_SECOND, _HEADS_AT_ONCE, clock.monotonic())

    def close(self, local: LocalConversation, now: float) -> float:
        """Begin to fill a gap that waited long enough; for how many seconds it has waited, 0.0 without one. At each tick."""
        age, hole = 0.0, local.sequencer.hole(now)
        if hole is not None:
            age = local.sequencer.hole_age(now)
            if not local.is_filling:
                local.is_filling = True
                self._tasks.start(self.fill(local, *hole))
        if local.is_unproven and self._streams.is_subscribed(local.conversation_id):
            local.is_unproven = False
            self._tasks.start(self._compare_late(local))
        return age

    async def catch_up(self, conversation_id: ConversationId, tail: Seq) -> None:
        """Fetch what the store has beyond our head; returns after one try, whatever came of it."""
        local = self._streams.locals.get(conversation_id)
        if local is not None and not local.is_filling:
            local.is_filling = True
            await self.fill(local, local.sequencer.head or 0, tail, path="poll")
        if local is not None and (local.sequencer.head or 0) < tail:
            await asyncio.sleep(RETRY_SECONDS)

    async def compare(self, reason: str) -> None:
        """Envelopes may have been missed: ask the store how far every local conversation is, and fetch what is behind.

        Raises:
            StoreError: it cannot tell.
        """
        self._telemetry.resyncs.labels(reason).inc()
        streams = self._streams.locals
        latest_first = sorted(streams.values(), key=lambda local: local.active_at, reverse=True)
        known = {local.conversation_id: local.sequencer.head for local in latest_first if local.sequencer.head is not None}
        for chunk in chunks(known):
            await self.afford(len(chunk))
            for conversation_id, tail in (await self._store.heads(chunk)).items():
                if (local := streams.get(conversation_id)) is not None and tail > (local.sequencer.head or 0):
                    await self.catch_up(conversation_id, tail)

    async def recent(self, conversation_id: ConversationId, after: Seq, upto: Seq) -> list[tuple[bytes, int]]:
        """The messages (after, upto] from Redis, encoded, and when each was accepted; nothing unless it has all of them."""
        found = await self.kept(conversation_id, after, upto)
        return list(found.values()) if len(found) == upto - after else []

    async def kept(self, conversation_id: ConversationId, after: Seq, upto: Seq) -> dict[Seq, tuple[bytes, int]]:
        """Those of the messages (after, upto] that Redis has, ascending: each encoded, and when it was accepted."""
        if upto - after > RECENT_MESSAGES or not self._streams.generation:
            return {}
        found = await self._recent_messages.recent(conversation_id, after, self._streams.generation)
        return {seq: envelopes.taken(text) for seq, text in found if after < seq <= upto}

    async def afford(self, reads: int) -> None:
        """Wait until that many reads are within the budget: what was missed by all at once must not cost all at once."""
        wait = 0.0
        for _ in range(reads):
            wait = self._budget.take(self._clock.monotonic())
        if wait:
            self._telemetry.reads_delayed.inc(reads)
            await asyncio.sleep(wait)

    async def fill(self, local: LocalConversation, after: Seq, upto: Seq, path: str = "gap_fill") -> None:
        """Fetch what lies between, from `recent` if it has all of it, else from the store. The caller has set `is_filling`."""
        try:
            if piece := await self.recent(local.conversation_id, after, upto):
                self._telemetry.gap_fills.labels("recent").inc()
                texts, accepted_ms = zip(*piece, strict=True)
                moments = self._streams.timing.moments(accepted_ms)
                self._streams.offer(local.conversation_id, decoded(local.conversation_id, texts, path, moments))
            while (local.sequencer.head or 0) < upto:
                self._telemetry.gap_fills.labels("store").inc()
                if not await self._fill_page(local, path):
                    break
        except StoreError:
            _log.info("a gap stays open until the store answers")
        finally:
            local.is_filling = False

    async def _fill_page(self, local: LocalConversation, path: str) -> bool:
        """One page from the store; whether there may be more."""
        head = local.sequencer.head or 0
        claimed = local.sequencer.known_tail
        page = await self._store.read_messages(local.conversation_id, after_seq=head, limit=_PAGE)
        self._streams.offer(local.conversation_id, self._streams.timing.stored(page, path))
        if len(page) == _PAGE:
            return True
        local.sequencer.settle_tail(max(local.sequencer.head or 0, page[-1].seq if page else head), claimed)
        return False

    async def _compare_late(self, local: LocalConversation) -> None:
        """The subscription was confirmed after the head was read: ask the store once more."""
        try:
            await self.afford(1)
            known = {local.conversation_id: local.sequencer.head or 0}
            self._streams.hint(local.conversation_id, (await self._store.heads(known))[local.conversation_id])
        except StoreError:
            local.is_unproven = True


def chunks(known: Mapping[ConversationId, Seq]) -> Iterator[dict[ConversationId, Seq]]:
    """As many conversations as one call to the store takes within its deadline."""
    items = list(known.items())
    for start in range(0, len(items), _HEADS_AT_ONCE):
        yield dict(items[start : start + _HEADS_AT_ONCE])
