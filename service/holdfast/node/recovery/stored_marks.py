"""Marks in the store: those of this instance are removed when they are done, those of instances that died are finished.

The marks of an instance whose beat is late are looked for every 2 s, all marks every 30 s (one read where there is none). Every
instance that finds a mark shows its messages to its own clients, where it has any in that conversation. One instance finishes the
mark: it announces the messages, in its bulletin as well, and decides once more whom to notify. That is the living run with the
first turn (`turns`). If the mark is still there 4 s later, the run with the next turn finishes it as
well, and so on. All that is harmless where it was done. The mark is removed as an own one is: when a written bulletin names its
messages.

An instance whose own writes are slow takes no other for late: then the store is slow, and more reads would make it slower.

A living instance removes its marks itself. Those that it leaves, because it has too many or does not know whether an append
landed, are finished like those of the dead when they were seen twice.

Instances of an older version finish each mark that they find, and leave it for 15 s. Then a mark may be finished more than once.
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
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.foundation import Process
from holdfast.node.recovery.finishing import Finishing
from holdfast.node.recovery.mark_owners import MarkOwners
from holdfast.node.recovery.turns import runs_before
from holdfast.node.sending.own_marks import OwnMarks
from holdfast.node.tasks import each_in_turn
from holdfast.ports import MarkStore, RunStore

_ROUND_SECONDS: Final = 1.0
_SCAN_SECONDS: Final = 30.0
_FIRST_SCAN_SECONDS: Final = 5.0  # after the start: an earlier run of this name may have left some
_TURN_SECONDS: Final = 4.0  # the first to finish a mark has removed it by then: its bulletin is written once in 3 s
_BUSY_SECONDS: Final = 300.0  # as many marks as a page has, each a few reads of a store that answers slowly
_PAGE: Final = 200
_MAX_PAGES: Final = 50
_MAX_SEEN: Final = 20_000
_MAX_UNANSWERED: Final = 3  # in one look: then the store is away, and the other marks would only wait for it, too
_MAX_FAILURES: Final = 40  # of one mark: it is given up, or it would be read every 30 s for ever
_DAMAGED_SECONDS: Final = 3_600.0  # a version to come may write others, which that version will remove itself


class MarkedStore(MarkStore, RunStore, Protocol):
    """The concepts of the store that the sweep of marks reads and writes."""


class StoredMarks:
    """Lives in the event loop; `loop` removes and sweeps. Every instance runs one."""

    def __init__(
        self,
        store: MarkedStore,
        own_marks: OwnMarks,
        bulletins: Bulletins,
        delivery: Delivery,
        finishing: Finishing,
        process: Process,
    ) -> None:
        self._store = store
        self._own_marks = own_marks
        self._bulletins = bulletins
        self._delivery = delivery
        self._finishing = finishing
        self._process = process
        self._owners = MarkOwners()
        self._seen_at = BoundedDict[str, float](_MAX_SEEN)
        self._due_since = BoundedDict[str, float](_MAX_SEEN)
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
        await self._finish(
            [mark for mark in marks if not self._has_living_owner(mark) or self._age(mark.mark_id) >= _SCAN_SECONDS / 2]
        )
        for some in chunks([each for each in damaged if self._age(each) >= _DAMAGED_SECONDS], _PAGE):
            await self._store.remove_marks(some)
        self._scan_at = self._now() + _SCAN_SECONDS

    def _has_living_owner(self, mark: StoredMark) -> bool:
        return mark.owner == self._process.identity.run or self._owners.is_living(mark.owner)

    def _age(self, mark_id: str) -> float:
        """For how many seconds this instance has known it."""
        now = self._now()
        return now - self._seen_at.setdefault(mark_id, now)

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
        """Those whose turn it is here. One that fails is left to a later look and holds up no other."""
        unanswered, before = 0, self._runs_before(marks)
        for mark in marks:
            is_finished = self._own_marks.is_finished(mark.mark_id)
            if is_finished or not self._is_due(mark, before[_share(mark)]) or unanswered >= _MAX_UNANSWERED:
                continue
            try:
                await self._finishing.finish(mark.conversation_id, mark.first, mark.last)
            except StoreUnavailable:
                unanswered += 1
                continue
            except Exception as error:  # noqa: BLE001 - one mark must not keep the others from being finished
                if not self._is_given_up(mark, error):
                    continue
            self._own_marks.finished(mark, self._now())
            self._process.telemetry.stored_marks.labels("finished").inc()

    def _runs_before(self, marks: Sequence[StoredMark]) -> dict[str, int]:
        """How many living runs have their turn before this one, by share: a dead run may leave thousands of marks."""
        mine, living = self._process.identity.run, self._owners.living(self._now())
        return {share: runs_before(mine, living, share) for share in set(map(_share, marks))}

    def _is_due(self, mark: StoredMark, turns: int) -> bool:
        """Whether the living runs before this one have had their turn. Clients here are shown the messages at once."""
        now = self._now()
        if turns and mark.mark_id not in self._due_since:
            self._delivery.hint(mark.conversation_id, mark.last)
        return now - self._due_since.setdefault(mark.mark_id, now) >= turns * _TURN_SECONDS

    def _is_given_up(self, mark: StoredMark, error: Exception) -> bool:
        """A mark that fails for good is removed some time as if it had been finished."""
        failures = self._failures[mark.mark_id] = self._failures.get(mark.mark_id, 0) + 1
        if not isinstance(error, StoreError):
            self._process.tasks.note_failure("stored_marks", error)
        return failures >= _MAX_FAILURES


def _share(mark: StoredMark) -> str:
    """The marks of a run are finished in shares: those whose random ids end alike."""
    return f"{mark.owner}~{mark.mark_id[-1]}"
