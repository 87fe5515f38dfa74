"""Marks in the store: those of this instance are removed when they are done, those of instances that died are finished.

The marks of an instance whose beat is late are looked for every 2 s, all marks every 30 s (one read where there is none). An
instance that finishes a mark publishes its messages, names them in its bulletin, and decides once more whom to notify. All that
is harmless where it was done. 15 s later the mark is removed: by then the other instances have seen it, or that bulletin.

An instance whose own writes are slow takes no other for late: then the store is slow, and more reads would make it slower.

A living instance removes its marks itself. Those that it leaves, because it has too many or does not know whether an append
landed, are finished like those of the dead when they were seen twice.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.chunks import chunks
from holdfast.domain.marks import StoredMark
from holdfast.errors import StoreError, StoreUnavailable
from holdfast.loops import STORE, Loop
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Process
from holdfast.node.notifications.decision import Notifications
from holdfast.node.recovery.mark_owners import MarkOwners
from holdfast.node.sending.append import Commit
from holdfast.node.sending.own_marks import OwnMarks
from holdfast.node.tasks import each_in_turn
from holdfast.ports import MarkStore, MessageStore, RunStore

_ROUND_SECONDS: Final = 1.0
_SCAN_SECONDS: Final = 30.0
_FIRST_SCAN_SECONDS: Final = 5.0  # after the start: an earlier run of this name may have left some
_KEEP_SECONDS: Final = 15.0
_BUSY_SECONDS: Final = 300.0  # as many marks as a page has, each a few reads of a store that answers slowly
_PAGE: Final = 200
_MAX_PAGES: Final = 50
_MAX_SEEN: Final = 20_000
_MAX_UNANSWERED: Final = 3  # in one look: then the store is away, and the other marks would only wait for it, too
_MAX_FAILURES: Final = 40  # of one mark: it is given up, or it would be read every 30 s for ever
_DAMAGED_SECONDS: Final = 3_600.0  # a version to come may write others, which that version will remove itself


class MarkedStore(MarkStore, MessageStore, RunStore, Protocol):
    """The concepts of the store that the sweep of marks reads and writes."""


class StoredMarks:
    """Lives in the event loop; `loop` removes and sweeps. Every instance runs one; two that find the same mark are harmless."""

    def __init__(
        self,
        store: MarkedStore,
        own_marks: OwnMarks,
        bulletins: Bulletins,
        conversations: ConversationParts,
        notifications: Notifications,
        process: Process,
    ) -> None:
        self._store = store
        self._own_marks = own_marks
        self._bulletins = bulletins
        self._conversations = conversations
        self._notifications = notifications
        self._process = process
        self._owners = MarkOwners()
        self._seen_at = BoundedDict[str, float](_MAX_SEEN)
        self._finished_at = BoundedDict[str, float](_MAX_SEEN)
        self._failures = BoundedDict[str, int](_MAX_SEEN)
        self._scan_at = self._now() + _FIRST_SCAN_SECONDS

    @property
    def loop(self) -> Loop:
        """Removes our marks once a second, and looks for those of others when it is time."""
        return Loop("stored_marks", self._round, _ROUND_SECONDS, needs=(STORE,), busy_seconds=_BUSY_SECONDS)

    def note_bulletins(self, bulletins: Sequence[Bulletin]) -> None:
        """Of other instances, all of them or some; they tell which of them are late."""
        self._owners.note(bulletins, self._now())

    async def remove_done(self) -> None:
        """Remove our marks that are done with.

        Raises:
            StoreError: some are still there; they are removed another time.
        """
        while done := self._own_marks.done(self._bulletins.told_at, _PAGE):
            await self._store.remove_marks(done)
            self._own_marks.removed(done)

    def _now(self) -> float:
        return self._process.clock.monotonic()

    async def _round(self) -> None:
        await asyncio.sleep(_ROUND_SECONDS)
        await each_in_turn(self._steps())

    def _steps(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self.remove_done()
        for owner in self._owners.due(self._now()) if self._bulletins.is_prompt else ():
            yield self._finish_of(owner)
        if self._now() >= self._scan_at:
            yield self._scan()

    async def _finish_of(self, owner: str) -> None:
        marks, _ = await self._read(owner)
        await self._finish(marks)

    async def _scan(self) -> None:
        """All marks: those of living instances when they have been seen before."""
        marks, damaged = await self._read("")
        if marks:
            await self._judge_owners()
        now, mine = self._now(), self._process.identity.run
        old = {mark.mark_id for mark in marks if now - self._seen_at.setdefault(mark.mark_id, now) >= _SCAN_SECONDS / 2}
        await self._finish(
            [mark for mark in marks if mark.mark_id in old or not (mark.owner == mine or self._owners.is_living(mark.owner))]
        )
        finished = [mark.mark_id for mark in marks if self._finished_at.get(mark.mark_id, now) <= now - _KEEP_SECONDS]
        useless = [each for each in damaged if now - self._seen_at.setdefault(each, now) >= _DAMAGED_SECONDS]
        for some in chunks([*finished, *useless], _PAGE):
            await self._store.remove_marks(some)
            self._own_marks.forget(some)
        self._scan_at = self._now() + _SCAN_SECONDS

    async def _judge_owners(self) -> None:
        """By a look at all bulletins now: a run that has none is over."""
        mine = self._process.identity.run
        bulletins = [bulletin for bulletin in await self._store.read_bulletins() if bulletin.run != mine]
        self._owners.note(bulletins, self._now())
        self._owners.keep(bulletins)

    async def _read(self, owner: str) -> tuple[list[StoredMark], list[str]]:
        """The marks of that owner, or of all, and the ids of what stands among them and is none."""
        marks, damaged, after = list[StoredMark](), list[str](), ""
        for _ in range(_MAX_PAGES):
            page = await self._store.read_marks(owner, after, _PAGE)
            marks += page.marks
            damaged += page.damaged
            if page.last in ("", after):
                break
            after = page.last
        return marks, damaged

    async def _finish(self, marks: Sequence[StoredMark]) -> None:
        """Those that this instance has not finished before. One that fails is left to a later look and holds up no other."""
        unanswered = 0
        for mark in marks:
            if mark.mark_id in self._finished_at or unanswered >= _MAX_UNANSWERED:
                continue
            try:
                await self._finish_one(mark)
            except StoreUnavailable:
                unanswered += 1
                continue
            except Exception as error:  # noqa: BLE001 - one mark must not keep the others from being finished
                self._note_failure(mark, error)
                continue
            self._finished_at[mark.mark_id] = self._now()
            self._process.telemetry.stored_marks.labels("finished").inc()

    def _note_failure(self, mark: StoredMark, error: Exception) -> None:
        """A mark that fails for good is removed some time as if it had been finished."""
        failures = self._failures[mark.mark_id] = self._failures.get(mark.mark_id, 0) + 1
        if not isinstance(error, StoreError):
            self._process.tasks.note_failure("stored_marks", error)
        if failures >= _MAX_FAILURES:
            self._finished_at[mark.mark_id] = self._now()

    async def _finish_one(self, mark: StoredMark) -> None:
        count = mark.last - mark.first + 1
        page = await self._store.read_messages(mark.conversation_id, after_seq=mark.first - 1, limit=count)
        messages = [message for message in page if message.seq <= mark.last]
        if not messages:  # a restored store, or a forged mark
            return
        self._conversations.delivery.publish_again(mark.conversation_id, messages)
        self._conversations.activity.note(Commit(mark.conversation_id, messages, self._now(), None))
        await self._notifications.look_at(mark.conversation_id, mark.first, mark.last)
