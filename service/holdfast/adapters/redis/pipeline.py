"""Group commit of writes: commands queued while one round trip is under way form the next.

Owns one connection of its own and one task. Invariants: commands reach Redis in the order in which they were queued, and each at
most once. After a failure all sent and waiting commands are dropped and counted, never repeated, because their outcome is not
known. (NOSCRIPT is known: nothing was done; that command is sent once more with its text.) The queue is bounded.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.adapters.redis import scripts
from holdfast.adapters.redis.counters import PipelineCounters
from holdfast.adapters.redis.link import WRONG_TYPE, RedisLink, keys_of, repair_of
from holdfast.adapters.redis.scripts import Argument, Script
from holdfast.adapters.redis.wire import Wire, is_error, pack
from holdfast.errors import RedisUnavailable
from holdfast.loops import REDIS, Loop, Loops
from holdfast.waiting import is_set_within

_log = logging.getLogger("holdfast.redis")

_DEMOTED: Final = "READONLY"
_ROUND_SECONDS: Final = 1.0
_QUEUE_COMMANDS: Final = 10_000  # a second's worth of publishing at full load; older ones would be late anyway
_QUEUE_BYTES: Final = 64 * 1024 * 1024  # what 10,000 envelopes of ordinary size never reach
_BATCH_COMMANDS: Final = 512  # about 5 ms of Redis's time, so that a batch stays far below the timeout
_BATCH_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class _Item:
    packed: bytes
    by_source: tuple[Argument, ...] | None
    reply: asyncio.Future[Any] | None
    keys: tuple[str, ...] = ()
    is_repeated: bool = False
    is_repair: bool = False


class Pipeline:
    """Fire and forget, in order. Used from one event loop; closed by its owner."""

    def __init__(self, link: RedisLink, on_failure: Callable[[str], None]) -> None:
        """`on_failure` hears, in the loop, why a round trip failed."""
        self.counters = PipelineCounters()
        self._link = link
        self._on_failure = on_failure
        self._queue: deque[_Item] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._wire: Wire | None = None
        self._wires = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def connection(self) -> int:
        """The number of the connection as it stands; 0 while there is none, or it has ended as far as is known."""
        return self._wires if self._wire is not None and not self._wire.has_ended else 0

    def start(self, loops: Loops) -> None:
        """Begin sending."""
        loop = Loop("bus_pipeline", self._round, _ROUND_SECONDS, needs=(REDIS,))
        self._task = asyncio.get_running_loop().create_task(loops.run(loop), name="redis-pipeline")

    async def close(self, flush_seconds: float) -> None:
        """Send what is queued, at most for `flush_seconds`, and release the connection. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        await is_set_within(self._idle, flush_seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._drop_queue("closing")
        await self._disconnect()

    def push(self, *command: Argument) -> bool:
        """Queue one command; False when it was dropped."""
        return self._queue_item(_Item(pack(command), None, None, keys_of(command)))

    def push_script(self, script: Script, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> bool:
        """Queue one script; False when it was dropped."""
        return self._queue_item(_Item(pack(script.by_hash(keys, arguments)), script.by_source(keys, arguments), None, keys))

    def ask(self, *command: Argument) -> asyncio.Future[Any]:
        """Queue one command and get its reply; the future ends with `RedisUnavailable` when it was dropped or refused."""
        return self._ask(pack(command), None, keys_of(command))

    def ask_script(self, script: Script, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> asyncio.Future[Any]:
        """Queue one script and get its reply, as `ask` does."""
        return self._ask(pack(script.by_hash(keys, arguments)), script.by_source(keys, arguments), keys)

    def _ask(self, packed: bytes, by_source: tuple[Argument, ...] | None, keys: tuple[str, ...]) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._queue_item(_Item(packed, by_source, reply, keys)):
            reply.set_exception(RedisUnavailable("dropped"))
        return reply

    def _queue_item(self, item: _Item) -> bool:
        if self._task is None or self._link.circuit.is_open(self._link.clock.monotonic()):
            self.counters.dropped_away += 1
            return False
        if len(self._queue) >= _QUEUE_COMMANDS or self._queued_bytes + len(item.packed) > _QUEUE_BYTES:
            self.counters.dropped_full += 1
            return False
        self._queue.append(item)
        self._queued_bytes += len(item.packed)
        self._wake.set()
        self._idle.clear()
        return True

    async def _round(self) -> None:
        if not await is_set_within(self._wake, _ROUND_SECONDS):
            return
        batch = self._take()
        try:
            await self._round_trip(batch)
        except Exception as error:
            await self._give_up(batch, repr(error))
            raise
        finally:
            if not self._queue:
                self._wake.clear()
                self._idle.set()

    def _take(self) -> list[_Item]:
        batch: list[_Item] = []
        size = 0
        while self._queue and len(batch) < _BATCH_COMMANDS and size < _BATCH_BYTES:
            item = self._queue.popleft()
            size += len(item.packed)
            batch.append(item)
        self._queued_bytes -= size
        return batch

    async def _round_trip(self, batch: list[_Item]) -> None:
        if self._wire is not None and self._wire.has_ended:
            await self._disconnect()  # known before anything was sent on it: nothing is lost
        try:
            # A connection is made inside the attempt: with TLS and Sentinel that takes several round trips.
            async with self._link.attempt(self._link.timeout_seconds if self._wire else 2 * self._link.timeout_seconds):
                wire = self._wire or await self._open()
                wire.send(b"".join([item.packed for item in batch]))
                replies = await _replies(wire, len(batch))
        except RedisUnavailable as error:
            await self._give_up(batch, str(error))
            return
        except BaseException:
            _fail(batch, "closing")
            raise
        self.counters.round_trips += 1
        await self._settle(batch, replies)

    async def _settle(self, batch: list[_Item], replies: list[Any]) -> None:
        again: list[_Item] = []
        refusal: str | None = None
        for item, reply in zip(batch, replies, strict=True):
            if is_error(reply):
                text = str(reply)
                if item.by_source is not None and text.startswith("NOSCRIPT"):
                    again.append(_Item(pack(item.by_source), None, item.reply, item.keys, item.is_repeated))
                    continue
                if WRONG_TYPE in text and not item.is_repeated and (repair := repair_of(item.keys))[0]:
                    again += _repaired(item, *repair)
                    continue
                refusal = text
                if _DEMOTED in text:  # what it published reached only instances that are still at the demoted primary
                    self.counters.dropped_away += 1
                else:
                    self.counters.refused += 1
                if item.reply is not None and not item.reply.done():
                    item.reply.set_exception(RedisUnavailable(f"Redis refused: {text}"))
                continue
            self.counters.sent += 1
            if item.is_repair:
                self._link.note_repair(reply)
            if item.reply is not None and not item.reply.done():
                item.reply.set_result(reply)
        if refusal is not None:
            self._link.report_refusal(refusal)
            if _DEMOTED in refusal:  # a demoted primary answers so for ever: connect anew, which asks Sentinel again
                await self._give_up(again, refusal)
                return
        if again:
            await self._round_trip(again)

    async def _give_up(self, batch: list[_Item], reason: str) -> None:
        _log.warning("redis pipeline: %s; %d commands dropped", reason, len(batch) + len(self._queue))
        self.counters.dropped_away += len(batch)
        _fail(batch, reason)
        self._drop_queue(reason)
        await self._disconnect()
        self._on_failure(reason)

    def _drop_queue(self, reason: str) -> None:
        self.counters.dropped_away += len(self._queue)
        _fail(self._queue, reason)
        self._queue.clear()
        self._queued_bytes = 0

    async def _open(self) -> Wire:
        self._wire = await self._link.open_wire("publish")
        self._wires += 1
        return self._wire

    async def _disconnect(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()


def _repaired(item: _Item, its_keys: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[_Item, _Item]:
    """The removal of what keeps `item` from being done, then `item` once more. What a script did before it failed is done twice:
    publishing and removing marks may be repeated.
    """
    packed = item.packed if item.by_source is None else pack(item.by_source)
    repair = _Item(pack(scripts.REPAIR.by_source(its_keys, kinds)), None, None, is_repair=True)
    return repair, _Item(packed, None, item.reply, item.keys, is_repeated=True)


async def _replies(wire: Wire, count: int) -> list[Any]:
    replies = await wire.receive()
    while len(replies) < count:
        replies += await wire.receive()
    return replies


def _fail(items: "deque[_Item] | list[_Item]", reason: str) -> None:
    for item in items:
        if item.reply is not None and not item.reply.done():
            item.reply.set_exception(RedisUnavailable(reason))
