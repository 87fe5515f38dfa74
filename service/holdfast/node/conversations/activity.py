"""Hints on conversations for lists (last message, last seq), at most one write a second each. A lost hint is a stale preview
until the next message: so hints are written again after a failure."""

import logging
from typing import Final

from holdfast.domain.conversations import LastMessage
from holdfast.domain.ids import ConversationId
from holdfast.errors import StoreError
from holdfast.node.sending.append import Commit
from holdfast.node.tasks import Tasks
from holdfast.ports import ConversationStore

_PREVIEW_CHARACTERS: Final = 200
_MAX_WAITING: Final = 10_000

_log = logging.getLogger(__name__)


class Activity:
    """Lives in the loop; `tick` once a second writes what came since."""

    def __init__(self, store: ConversationStore, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._waiting: dict[ConversationId, LastMessage] = {}
        self._is_writing = False

    def note(self, commit: Commit) -> None:
        """A conversation has a new last message."""
        message = commit.messages[-1]
        known = self._waiting.get(commit.conversation_id)
        if (known is None or known.seq < message.seq) and len(self._waiting) < _MAX_WAITING:
            self._waiting[commit.conversation_id] = LastMessage(
                message.seq, message.sender, message.body[:_PREVIEW_CHARACTERS], message.sent_at_ms
            )

    def tick(self) -> None:
        """Write what waits, unless the last round still does."""
        if self._waiting and not self._is_writing:
            self._is_writing = True
            waiting, self._waiting = self._waiting, {}
            self._tasks.start(self._write(waiting))

    async def flush(self) -> None:
        """Write what waits, now: the instance stops."""
        waiting, self._waiting = self._waiting, {}
        await self._write(waiting)

    async def _write(self, waiting: dict[ConversationId, LastMessage]) -> None:
        try:
            for conversation_id, last in tuple(waiting.items()):
                await self._store.note_activity(conversation_id, last)
                del waiting[conversation_id]
        except StoreError as error:
            _log.debug("activity hints are delayed: %s", error)
            self._waiting = waiting | self._waiting
        except Exception:
            del waiting[next(iter(waiting))]  # the one that failed: the others are written the next time
            self._waiting = waiting | self._waiting
            raise
        finally:
            self._is_writing = False
