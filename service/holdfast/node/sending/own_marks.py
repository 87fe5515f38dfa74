"""The marks of this instance's unfinished commits: in Redis, or in the commit itself where Redis confirms none.

A mark in the store is removed, with others at once, when two things are done: the notifications of its messages are decided,
and a written bulletin names them. If this instance dies before, or has too many of them, they are found in the store
(`recovery/stored_marks`).
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from holdfast.domain.ids import ConversationId, Seq
from holdfast.domain.marks import StoredMark
from holdfast.domain.notifications import notify_mark
from holdfast.node.identity import Identity
from holdfast.ports import Marks
from holdfast.telemetry import Telemetry

MAX_OPEN: Final = 10_000  # marks in the store; those beyond stay there and are found like those of a dead instance


class Visibility(Protocol):
    """Whether other instances see the writes of this instance to Redis."""

    @property
    def is_seen_by_all(self) -> bool:
        """A mark that is set there can be seen by every instance."""


class Marked(Protocol):
    """A commit, as far as its marks are concerned."""

    @property
    def dirty(self) -> str | None:
        """Its mark in Redis."""

    @property
    def stored_mark(self) -> str | None:
        """The id of its mark in the store."""


@dataclass(slots=True)
class _Open:
    committed_at: float
    is_decided: bool = False


class OwnMarks:
    """Lives in the loop."""

    def __init__(self, marks: Marks, identity: Identity, visibility: Visibility, telemetry: Telemetry) -> None:
        self._marks = marks
        self._identity = identity
        self._visibility = visibility
        self._telemetry = telemetry
        self._open: dict[str, _Open] = {}
        self._batches = 0

    async def set_in_redis(self, conversation_id: ConversationId) -> tuple[str, bool]:
        """Before an append: its mark, and whether every instance can find it there.

        Until the publication, an instance that finds it knows what this instance might leave undone. It is to be removed later
        even if Redis did not say that it took it: it may have.
        """
        self._batches += 1
        dirty = f"{conversation_id}|{self._identity.mark_owner}|{self._batches}"
        is_confirmed = await self._marks.mark_dirty(dirty, notify_mark(dirty))
        return dirty, is_confirmed and self._visibility.is_seen_by_all

    def of(self, conversation_id: ConversationId, first: Seq, last: Seq) -> StoredMark:
        """For one attempt to append: the mark that its commit carries."""
        return StoredMark(f"{self._identity.run}~{secrets.token_hex(4)}", conversation_id, first, last)

    def committed(self, mark: StoredMark, now: float) -> None:
        """The store has it."""
        self._telemetry.stored_marks.labels("written").inc()
        if len(self._open) < MAX_OPEN:
            self._open[mark.mark_id] = _Open(now)
            self._telemetry.stored_marks_open.set(len(self._open))

    def decided(self, commit: Marked) -> None:
        """The notifications of its messages are decided."""
        if commit.dirty is not None:
            self._marks.clear_dirty(notify_mark(commit.dirty))
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
        self.forget(mark_ids)
        self._telemetry.stored_marks.labels("removed").inc(len(mark_ids))

    def forget(self, mark_ids: Collection[str]) -> None:
        """The sweep has finished and removed these: those whose decision was given up would keep their places for ever."""
        for mark_id in mark_ids:
            self._open.pop(mark_id, None)
        self._telemetry.stored_marks_open.set(len(self._open))
