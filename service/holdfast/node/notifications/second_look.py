"""A second look at the messages that one user missed in one conversation, once no instance uses outdated data.

For a few seconds two caches can make an instance leave out a user when it decides about a message. Its members of the
conversation may be older than the user's addition. In a large conversation it may remember a record that a read has cleared. So
the instance at which the user was added, or read, checks the store again when each such entry has expired. If that instance dies
before, the next message makes a record.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.conversations.cache import UNPROVEN_WITHOUT_BUS_SECONDS
from holdfast.node.tasks import Tasks
from holdfast.telemetry import Telemetry

KNOWN_SECONDS: Final = 5.0
"""How long an instance remembers a record: each absent member of a busy large conversation costs a write that often."""

DELAY_SECONDS: Final = (
    max(KNOWN_SECONDS, UNPROVEN_WITHOUT_BUS_SECONDS) + 2.0
)  # longer than any call to the store that began before
_MAX_PENDING: Final = 10_000
_TRIES: Final = 240  # two minutes at least

_Key = tuple[ConversationId, UserId]


@dataclass(slots=True)
class _Pending:
    """`after_seq`: what is looked at comes after it. `has_read`: the record is to be cleared. `is_new`: since the work began."""

    after_seq: Seq
    has_read: bool
    is_new: bool = True


class SecondLooks:
    """Lives in the loop: one task for each user and conversation, at most 10,000."""

    def __init__(
        self,
        tasks: Tasks,
        telemetry: Telemetry,
        clear: Callable[[ConversationId, UserId], Awaitable[None]],
        look: Callable[[ConversationId, UserId, Seq], Awaitable[None]],
    ) -> None:
        """`clear`: forget the record of a large conversation. `look`: record what came after a message and is missed."""
        self._tasks = tasks
        self._telemetry = telemetry
        self._clear = clear
        self._look = look
        self._pending: dict[_Key, _Pending] = {}

    def begin(self, conversation_id: ConversationId, user_id: UserId, after_seq: Seq, *, has_read: bool) -> None:
        """The user was added after that message, or has read up to it."""
        key = (conversation_id, user_id)
        pending = self._pending.get(key)
        if pending is not None:
            pending.after_seq, pending.is_new = max(pending.after_seq, after_seq), True
            pending.has_read |= has_read
        elif len(self._pending) < _MAX_PENDING:
            pending = self._pending[key] = _Pending(after_seq, has_read)
            self._tasks.start(self._run(key, pending))
        else:
            self._telemetry.dropped.labels("notifications").inc()

    async def _run(self, key: _Key, pending: _Pending) -> None:
        """A user who reads on and on has the record cleared once in each delay, and is looked after at the end."""
        try:
            while pending.is_new:
                pending.is_new = False
                if pending.has_read:
                    await self._tasks.until_store_answers(lambda: self._clear(*key), _TRIES, name="notifications")
                await asyncio.sleep(DELAY_SECONDS)
                if not pending.is_new:
                    await self._tasks.until_store_answers(
                        lambda: self._look(*key, pending.after_seq), _TRIES, name="notifications"
                    )
        finally:
            del self._pending[key]
