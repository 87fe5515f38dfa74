"""Hints on conversations for lists (last message, last seq), at most one write a second each. A lost hint is a stale preview
until the next message: so hints are written again after a failure, behind those that did not fail."""

import asyncio
import logging
from itertools import islice
from typing import Final

from holdfast.domain.conversations import LastMessage
from holdfast.domain.ids import ConversationId
from holdfast.errors import StoreError, StoreUnavailable
from holdfast.node.sending.append import Commit
from holdfast.node.tasks import Tasks
from holdfast.ports import ConversationStore

_PREVIEW_CHARACTERS: Final = 200
MAX_WAITING: Final = 10_000
AT_ONCE: Final = 16  # at 80 ms a write (two round trips of Firestore) 200 a second

_Hints = dict[ConversationId, LastMessage]

_log = logging.getLogger(__name__)


class Activity:
    """Lives in the loop; `tick` once a second writes what came since."""

    def __init__(self, store: ConversationStore, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._waiting: _Hints = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, commit: Commit) -> None:
        """A conversation has a new last message."""
        message = commit.messages[-1]
        known = self._waiting.get(commit.conversation_id)
        has_room = known is not None or len(self._waiting) < MAX_WAITING
        if (known is None or known.seq < message.seq) and has_room:
            self._waiting[commit.conversation_id] = LastMessage(
                message.seq, message.sender, message.body[:_PREVIEW_CHARACTERS], message.sent_at_ms
            )

    def tick(self) -> None:
        """Write the waiting hints, unless the last round is still under way."""
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = self._tasks.start(self._write())

    async def flush(self) -> None:
        """Write the waiting hints, after those of the round under way: the instance stops."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        await self._write()

    async def _write(self) -> None:
        """One round. A mistake drops its hint: it would fail for ever.

        Raises:
            Exception: the first mistake, when the others had their turn.
        """
        unwritten, self._waiting = self._waiting, {}
        failed: _Hints = {}
        mistakes: list[BaseException] = []
        while unwritten:
            errors = await self._write_some(dict(islice(unwritten.items(), AT_ONCE)))
            for conversation_id, error in errors.items():
                last = unwritten.pop(conversation_id)
                if isinstance(error, StoreError):
                    failed[conversation_id] = last
                elif error is not None:
                    mistakes.append(error)
            if all(isinstance(error, StoreUnavailable) for error in errors.values()):
                break  # the store is away, as it seems
        self._put_back(unwritten, failed)
        if mistakes:
            raise mistakes[0]

    async def _write_some(self, hints: _Hints) -> dict[ConversationId, BaseException | None]:
        """The error of each, None of those that are written."""
        writes = (self._store.note_activity(conversation_id, last) for conversation_id, last in hints.items())
        return dict(zip(hints, await asyncio.gather(*writes, return_exceptions=True), strict=True))

    def _put_back(self, unwritten: _Hints, failed: _Hints) -> None:
        """Those that failed last: they must not keep others out. Newer hints of the same conversations count."""
        if failed:
            _log.debug("activity hints are delayed: %d", len(failed))
        newer = self._waiting
        in_turn = {c: last for c, last in (unwritten | newer).items() if c not in failed}
        in_turn |= {c: newer.get(c, last) for c, last in failed.items()}
        self._waiting = dict(islice(in_turn.items(), MAX_WAITING))
