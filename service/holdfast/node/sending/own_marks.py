"""The marks of what this instance does: in Redis, or in the commit itself where Redis confirms none.

A mark in Redis is set before an append or a change of members. When that is published, and the notifications of its messages are
decided, it is removed with others at the next tick. Publications and removals reach Redis in the order in which they are queued.
Where one of them may be lost, or what follows is not done for another reason, the mark is left: this instance finishes it like
those of the dead (`recovery/unfinished_commits`). Other instances do not touch the marks of one that they hear. Such a mark ends
with the first look that finds the places of all its attempts taken: none of them can land any more.

Until that tick the next commit of the conversation may take its mark over, and sets none: under load most commits wait for no
answer of Redis. A mark has one commit at a time, so what becomes of it follows from the last commit alone. It is taken over only
while it is as certain as a new one. That is: Redis confirmed it on the connection that still stands, no command to Redis was lost
since, every instance sees it, and it is no older than a new one may be when its confirmation comes. It names the first message of
the first commit. So the number of messages is bounded, too: an instance that finishes it looks at all from there on.

A mark in the store is removed, with others at once, when two things are done: the notifications of its messages are decided,
and a written bulletin names them. If this instance dies before, or has too many of them, they are found in the store
(`recovery/stored_marks`).

Why marks in Redis do not wait for a bulletin: no other instance needs that. One that missed a publication compares with the store
when it subscribes again, and the offline backfill asks the store. But a dead instance would leave the marks of three seconds
instead of those of a moment, and each costs the instance that finishes it reads of the store.
"""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Protocol

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.marks import MAX_MESSAGES, StoredMark, change_mark, commit_mark
from holdfast.node.identity import Identity
from holdfast.ports import MARK_SECONDS, Marks
from holdfast.telemetry import Telemetry

MAX_OPEN: Final = 10_000  # marks in the store; those beyond stay there and are found like those of a dead instance

_TAKEN_OVER_SECONDS: Final = MARK_SECONDS  # a new mark may be confirmed that late: it is no younger then when its append begins
_TAKEN_OVER_MESSAGES: Final = MAX_MESSAGES - 200  # so that a batch more is still within what is looked at first for one mark

_AGAIN_SECONDS: Final = 2.0  # between two looks for one that was left, as between two claims of a mark of another instance


class Visibility(Protocol):
    """Whether other instances see the writes of this instance to Redis."""

    @property
    def is_seen_by_all(self) -> bool:
        """A mark that is set there can be seen by every instance."""


@dataclass(frozen=True, slots=True)
class Marking:
    """Marks in Redis that were set together.

    Attributes:
        losses: of commands to Redis, before they were set.
        is_found: Redis confirmed them, and every instance sees them there.
        terms: of the mark of a commit: by what a later commit of the conversation may take it over.
    """

    entries: tuple[str, ...]
    losses: int
    is_found: bool
    terms: "Terms | None" = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a mark that Redis confirmed. `first`: its first message; `asked_at`: monotonic seconds; `connection`: see `Marks`."""

    conversation_id: ConversationId
    first: Seq
    asked_at: float
    connection: int


class Marked(Protocol):
    """A commit, as far as its marks are concerned."""

    @property
    def marking(self) -> Marking | None:
        """Its mark in Redis."""

    @property
    def stored_mark(self) -> str | None:
        """The id of its mark in the store."""


@dataclass(slots=True)
class _Left:
    """A mark that was left. `due_at`: the next look (monotonic seconds). `latest`: see `OwnMarks.leave`."""

    latest: Seq = 0
    due_at: float = 0.0


@dataclass(slots=True)
class _Open:
    committed_at: float
    is_decided: bool = False


class OwnMarks:
    """Lives in the loop; `flush` at each tick."""

    def __init__(self, marks: Marks, identity: Identity, visibility: Visibility, telemetry: Telemetry) -> None:
        self._marks = marks
        self._identity = identity
        self._visibility = visibility
        self._telemetry = telemetry
        self._open: dict[str, _Open] = {}
        self._ended: list[Marking] = []
        self._free: dict[ConversationId, Marking] = {}  # as ended, but of a commit: the next one may take it over
        self._left = BoundedDict[str, _Left](MAX_OPEN)
        self._number = 0

    async def set_for_commit(self, conversation_id: ConversationId, first: Seq, now: float) -> Marking:
        """Before an append: none of its messages will have a lower seq than `first`; 0 where that is not known.

        It is to be ended even if Redis did not say that it took it: it may have. `now`: monotonic seconds.
        """
        free = self._free.pop(conversation_id, None)
        if free is not None:
            if self._may_take_over(free, first, now):
                return free
            self._ended.append(free)
        self._number += 1
        marking = await self._set(commit_mark(conversation_id, self._identity.mark_owner, self._number, first))
        return replace(marking, terms=Terms(conversation_id, first, now, self._marks.connection)) if marking.is_found else marking

    def _may_take_over(self, marking: Marking, first: Seq, now: float) -> bool:
        terms = marking.terms
        return (
            terms is not None
            and now - terms.asked_at < _TAKEN_OVER_SECONDS
            and 0 < terms.first <= first < terms.first + _TAKEN_OVER_MESSAGES
            and marking.losses == self._marks.losses
            and 0 < terms.connection == self._marks.connection
            and self._visibility.is_seen_by_all
        )

    async def set_for_change(
        self, conversation_id: ConversationId, revision: int, user_ids: Iterable[UserId], within_seconds: float
    ) -> Marking:
        """Before a change of a conversation at `revision`, which touches the lists of these users; otherwise as above."""
        self._number += 1
        owner, number = self._identity.mark_owner, self._number
        entries = (change_mark(user_id, owner, number, conversation_id, revision) for user_id in user_ids)
        return await self._set(*entries, within_seconds=within_seconds)

    async def _set(self, *entries: str, **limit: float) -> Marking:
        losses = self._marks.losses
        is_confirmed = await self._marks.mark_dirty(*entries, **limit)
        return Marking(entries, losses, is_confirmed and self._visibility.is_seen_by_all)

    def end(self, marking: Marking) -> None:
        """The commit or change that it was set for is published and decided, or will never be made."""
        terms = marking.terms
        if terms is None or terms.conversation_id in self._free:
            self._ended.append(marking)
        else:
            self._free[terms.conversation_id] = marking
        for entry in marking.entries:
            self._left.pop(entry, None)

    def leave(self, marking: Marking | None, latest: Seq = 0) -> None:
        """Nothing more follows from what it was set for, and some of it may be missing.

        Args:
            marking: None: no mark is to be left.
            latest: no attempt of the commit began at a higher seq; 0 where that is not known.
        """
        for entry in marking.entries if marking is not None else ():
            self._left[entry] = _Left(latest)

    def to_finish(self, now: float, limit: int) -> list[str]:
        """Up to `limit` marks in Redis that were left, each once in 2 s (`now`: monotonic seconds)."""
        due = list(islice((entry for entry, left in self._left.items() if left.due_at <= now), limit))
        for entry in due:
            self._left[entry].due_at = now + _AGAIN_SECONDS
        return due

    def looked_at(self, entry: str, last: Seq, losses: int) -> None:
        """All messages up to `last` that its commit may have stored were finished; `losses`: of commands to Redis, before that.

        The mark ends where no attempt of the commit can land behind them.
        """
        left = self._left.get(entry)
        if left is not None and 0 < left.latest <= last:
            self.end(Marking((entry,), losses, is_found=True))

    def forget(self, entry: str) -> None:
        """That mark is removed from Redis."""
        self._left.pop(entry, None)

    def flush(self) -> None:
        """Remove the marks in Redis that are ended. Where a publication may be lost, those that are found there are left.

        The others stay: instead of them a mark in the store, or a bulletin, tells of what they were set for.
        """
        losses, ended = self._marks.losses, [*self._free.values(), *self._ended]
        self._ended, self._free = [], {}
        for lost in (each for each in ended if each.losses != losses and each.is_found):
            self.leave(lost)
        if entries := [entry for each in ended if each.losses == losses for entry in each.entries]:
            self._marks.clear_dirty(*entries)

    def of(self, conversation_id: ConversationId, first: Seq, last: Seq) -> StoredMark:
        """For one attempt to append: the mark that its commit carries."""
        return StoredMark(f"{self._identity.run}~{secrets.token_hex(4)}", conversation_id, first, last)

    def committed(self, mark: StoredMark, now: float) -> None:
        """The store has it."""
        self._telemetry.stored_marks.labels("written").inc()
        self._note(mark, _Open(now))

    def finished(self, mark: StoredMark, now: float) -> None:
        """The mark of any instance: its messages were published and decided here; a bulletin has yet to name them."""
        self._note(mark, _Open(now, is_decided=True))

    def is_finished(self, mark_id: str) -> bool:
        """It only waits for its removal."""
        return mark_id in self._open and self._open[mark_id].is_decided

    def decided(self, commit: Marked) -> None:
        """The notifications of its messages are decided."""
        if commit.marking is not None:
            self.end(commit.marking)
        if commit.stored_mark in self._open:
            self._open[commit.stored_mark].is_decided = True

    def done(self, told_at: float, limit: int) -> list[str]:
        """Up to `limit` marks that may be removed from the store.

        Args:
            told_at: a written bulletin names all commits from before that time (monotonic seconds).
        """
        done = (mark_id for mark_id, each in self._open.items() if each.is_decided and each.committed_at < told_at)
        return list(islice(done, limit))

    def removed(self, mark_ids: Collection[str]) -> None:
        """The store has them no more."""
        for mark_id in mark_ids:
            self._open.pop(mark_id, None)
        self._telemetry.stored_marks_open.set(len(self._open))
        self._telemetry.stored_marks.labels("removed").inc(len(mark_ids))

    def _note(self, mark: StoredMark, each: _Open) -> None:
        if len(self._open) < MAX_OPEN or mark.mark_id in self._open:
            self._open[mark.mark_id] = each
            self._telemetry.stored_marks_open.set(len(self._open))
