"""Alterations of marks: see `support.altered`."""

import dataclasses
from typing import Any

from holdfast.adapters.redis.marks import RedisMarks
from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.domain.ids import ConversationId, Seq
from holdfast.node.notifications import decision
from holdfast.node.sending.append import Commit
from holdfast.node.sending.own_marks import Marking, OwnMarks
from support.replacing import replace


def one_mark() -> None:
    """All batches of a conversation have one mark, which goes with the first of them that is done."""
    set_for_commit = OwnMarks.set_for_commit

    async def set_first(self: OwnMarks, conversation_id: ConversationId, _: Seq, now: float) -> Marking:
        self._number = 0
        return await set_for_commit(self, conversation_id, 0, now)

    replace(OwnMarks, "set_for_commit", set_first)


def stale_marks() -> None:
    """A commit takes over the mark of the one before it, also one that is not in Redis any more."""
    set_for_commit = OwnMarks.set_for_commit
    last: dict[tuple[int, ConversationId], Marking] = {}

    async def take_over(self: OwnMarks, conversation_id: ConversationId, first: Seq, now: float) -> Marking:
        key = id(self), conversation_id
        if key not in last or not last[key].is_found:
            last[key] = await set_for_commit(self, conversation_id, first, now)
        return last[key]

    replace(OwnMarks, "set_for_commit", take_over)


def mark_ends_with_publication() -> None:
    """A mark in Redis is removed when its messages are published, before the notifications of them are decided."""
    note = decision.Notifications.note

    def note_ended(self: decision.Notifications, commit: Commit) -> None:
        if commit.marking is not None:
            self._own_marks.end(commit.marking)
        note(self, commit)

    replace(decision.Notifications, "note", note_ended)


def no_marks() -> None:
    """Redis does not take a mark in time."""

    async def mark_dirty(self: RedisMarks, *entries: str, within_seconds: float = 0) -> bool:
        return False

    replace(RedisMarks, "mark_dirty", mark_dirty)


def no_stored_marks() -> None:
    """A commit carries no mark, whatever Redis says of the one there."""
    set_for_commit = OwnMarks.set_for_commit

    async def set_only_there(self: OwnMarks, conversation_id: ConversationId, first: Seq, now: float) -> Marking:
        return dataclasses.replace(await set_for_commit(self, conversation_id, first, now), is_found=True)

    replace(OwnMarks, "set_for_commit", set_only_there)


def marks_go_at_once() -> None:
    """A mark that a commit carried is removed when the commit is answered, and not when all is done."""
    append = SqliteStore.append

    async def append_unmarked(self: SqliteStore, *arguments: Any) -> None:
        await append(self, *arguments)
        if (mark := arguments[-1]) is not None:
            await self.remove_marks([mark.mark_id])

    replace(SqliteStore, "append", append_unmarked)
