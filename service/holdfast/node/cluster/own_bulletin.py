"""The bulletin of this run in the store. Each write is made on condition of the one before it.

So another instance can declare this run dead in one commit: it changes the document, and the next write of this run is refused.
After a refusal, or a write of unknown outcome, the document is read. If it is one that this run wrote, its version is adopted. If
it is gone, or says that the run is dead, the run has to end as a whole: its users are offline in the store, or will be.

A store that was restored shows in the same document. Its beat is smaller than one that the store acknowledged: a write is made
on the version before it, so none of this run can do that. Or the document is gone sooner than another instance may remove it:
written anew, it tells the store's time, by which that is judged. Then the run ends with the whole generation of the store. Until
then it writes on, on what it found: other instances must find the users whom it adds to the restored store.
"""

import contextlib
import logging
from collections import deque
from dataclasses import replace
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.errors import StoreConflict, StoreError, StoreUnavailable
from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock
from holdfast.node.identity import Identity
from holdfast.ports import Clock, RunStore

BEAT_SECONDS: Final = 3.0
PROMPT_SECONDS: Final = 2.0
_PROMPT_BEATS: Final = 3
_TRIES: Final = 2
_KEPT_MS: Final = 10_000
"""A bulletin that was written so lately was not removed by another instance: that waits until it is 12 s old."""

_log = logging.getLogger(__name__)


class OwnBulletin:
    """Lives in the event loop; of `write` one is under way at a time.

    Attributes:
        written_at_ms: when the last write was stored, by the store's clock.
        is_store_restored: the store is at an earlier moment than one that it acknowledged, or was emptied.
    """

    def __init__(self, store: RunStore, clock: Clock, store_clock: StoreClock, identity: Identity) -> None:
        self.written_at_ms = UNKNOWN
        self.is_store_restored = False
        self._store = store
        self._clock = clock
        self._store_clock = store_clock
        self._identity = identity
        self._version = ""
        self._is_uncertain = False
        self._acknowledged = 0  # the last beat that was
        self._gone_since_ms = UNKNOWN  # the document was there at that time of the store, and then was not
        self._prompt: deque[float] = deque(maxlen=_PROMPT_BEATS)  # when each was sent

    @property
    def is_prompt(self) -> bool:
        """The store answers this instance promptly: three writes in a row, without a pause, the last one a moment ago.

        An instance that is itself slow, or cut from the store, must not conclude anything from the silence of others.
        """
        is_recent = bool(self._prompt) and self._clock.monotonic() - self._prompt[-1] <= BEAT_SECONDS + PROMPT_SECONDS
        return len(self._prompt) == _PROMPT_BEATS and is_recent

    async def write(self, bulletin: Bulletin) -> None:
        """Write it.

        Raises:
            StoreUnavailable: this run was declared dead, or it is not known whether it was written.
            StoreError: it is not written.
        """
        if self._identity.declared_dead.is_set():
            raise StoreUnavailable("this run was declared dead")
        for _ in range(_TRIES):
            if self._is_uncertain:
                await self._settle()
            sent_at, self._is_uncertain = self._clock.monotonic(), True
            try:
                written = await self._store.write_bulletin(replace(bulletin, version=self._version))
            except StoreConflict:
                continue  # a write of before has landed late, or this run was declared dead: it has to be read
            except StoreError:
                self._prompt.clear()
                raise
            self._version, self._is_uncertain = written.version, False
            self._acknowledged = bulletin.beat
            gone_since_ms, self._gone_since_ms = self._gone_since_ms, UNKNOWN
            if gone_since_ms != UNKNOWN:
                self._store_clock.note(written.at_ms, self._clock.monotonic())
                await self._judge_gone(bulletin, written.at_ms - gone_since_ms)
            return self._note(sent_at, written.at_ms)
        raise StoreUnavailable("the bulletin of this run changed each time that it was to be written")

    def _note(self, sent_at: float, stamped_ms: int) -> None:
        now = self._clock.monotonic()
        self._store_clock.note(stamped_ms, now)
        self.written_at_ms = stamped_ms
        self._identity.is_written.set()
        if self._prompt and sent_at - self._prompt[-1] > BEAT_SECONDS + PROMPT_SECONDS:
            self._prompt.clear()  # this instance stood still meanwhile, or was cut from the store
        if now - sent_at > PROMPT_SECONDS:
            self._prompt.clear()
        else:
            self._prompt.append(sent_at)

    async def _settle(self) -> None:
        """Find out which version is there."""
        found = await self._store.find_bulletin(self._identity.run)
        if found is not None and found.beat is not None and found.beat < self._acknowledged:
            self._note_restored()
        if found is not None and not found.is_dead:
            self._version, self._is_uncertain = found.version, False
        elif found is None:
            self._gone_since_ms = self.written_at_ms  # `UNKNOWN` before the first one
            self._version, self._is_uncertain = "", False
        else:
            self._end_as_dead()

    async def _judge_gone(self, bulletin: Bulletin, age_ms: int) -> None:
        """The document was removed, and written anew `age_ms` after the write before, by the store's clock: ours may have stood
        still, as a suspended machine's does. Where another instance removed it, the new one says that the run has ended."""
        if age_ms < _KEPT_MS:
            self._note_restored()
            return
        with contextlib.suppress(StoreError):  # then the others remove it when it is silent
            await self._store.write_bulletin(replace(bulletin, version=self._version, is_ended=True))
        self._end_as_dead()

    def _note_restored(self) -> None:
        if not self.is_store_restored:
            self.is_store_restored = True
            _log.warning("the store has lost a write of this run that it had acknowledged: it was restored, or emptied")

    def _end_as_dead(self) -> None:
        if not self._identity.declared_dead.is_set():
            self._identity.declared_dead.set()
            _log.warning("another instance has declared this run dead: all sockets are closed, and a new run begins")
        raise StoreUnavailable("this run was declared dead")
