"""Unfinished commits of an instance: found by its marks in Redis, finished by the instance that sweeps.

A mark is set before the append and removed with the publication. A second mark is removed when the notifications are decided. A
change of a conversation has one mark for each user whose list it touches, and is announced again like a message. A mark older
than 1.5 s belongs to an instance that died in between, or whose append has an unknown outcome. Then the conversation's tail is
published and looked through again, which is harmless where it was done. The mark is removed when its owner is dead, or is this
instance, and 15 s have passed, because a slow commit may still land until then.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Final

from holdfast.domain.changes import Change, change_of
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, is_id
from holdfast.domain.notifications import is_notify_mark
from holdfast.errors import StoreError
from holdfast.loops import REDIS, Loop
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Process
from holdfast.node.notifications.decision import Notifications
from holdfast.node.sending.append import Commit
from holdfast.node.tasks import each_in_turn
from holdfast.ports import RECENT_MESSAGES, Marks, MessageStore, Registry

_ROUND_SECONDS: Final = 0.5
_OLD_SECONDS: Final = 1.5
_HOLD_SECONDS: Final = 2.0
_KEEP_SECONDS: Final = 15.0
_LIMIT: Final = 100
_BUSY_SECONDS: Final = 300.0  # 100 marks, each a few reads of a store that answers slowly
_MAX_SEEN: Final = 10_000


class UnfinishedCommits:
    """Lives in the event loop; `loop` sweeps. Every instance runs one; a mark is claimed by one of them at a time."""

    def __init__(
        self,
        store: MessageStore,
        marks: Marks,
        registry: Registry,
        conversations: ConversationParts,
        notifications: Notifications,
        process: Process,
    ) -> None:
        self._store = store
        self._marks = marks
        self._registry = registry
        self._conversations = conversations
        self._notifications = notifications
        self._clock = process.clock
        self._identity = process.identity
        self._first_seen: dict[str, float] = {}

    @property
    def loop(self) -> Loop:
        """Sweeps twice a second; without Redis there is nothing to find."""
        return Loop("sweep", self._round, _ROUND_SECONDS, needs=(REDIS,), busy_seconds=_BUSY_SECONDS)

    async def _round(self) -> None:
        await asyncio.sleep(_ROUND_SECONDS)
        entries = await self._marks.claim_dirty(_OLD_SECONDS, _HOLD_SECONDS, _LIMIT)
        if entries:
            await self._finish_claimed(entries)

    async def _finish_claimed(self, entries: list[str]) -> None:
        now = self._clock.monotonic()
        for entry in entries:
            self._first_seen.setdefault(entry, now)
        while len(self._first_seen) > _MAX_SEEN:
            self._first_seen.pop(next(iter(self._first_seen)))  # the oldest: most marks are removed by their owners
        await each_in_turn(self._steps(entries, now))

    def _steps(self, entries: list[str], now: float) -> Iterator[Coroutine[Any, Any, None]]:
        changes = [change for entry in entries if (change := change_of(entry)) is not None]
        for changed_id in dict.fromkeys(change.conversation_id for change in changes):  # first: these are to be told within 3 s
            yield self._tell([change for change in changes if change.conversation_id == changed_id])
        unpublished = {entry.partition("|")[0] for entry in entries if not is_notify_mark(entry)}
        for conversation_id in filter(is_id, dict.fromkeys(entry.partition("|")[0] for entry in entries)):
            yield self._finish(ConversationId(conversation_id), is_published=conversation_id not in unpublished)
        yield self._remove_ownerless(entries, now)

    async def _remove_ownerless(self, entries: list[str], now: float) -> None:
        living = {(lease.instance_id, lease.epoch) for lease in await self._registry.instances() if lease.epoch is not None}
        for entry in entries:
            if now - self._first_seen.get(entry, now) >= _KEEP_SECONDS and self._is_ownerless(entry, living):
                self._marks.clear_dirty(entry)
                self._first_seen.pop(entry, None)

    async def _finish(self, conversation_id: ConversationId, *, is_published: bool) -> None:
        try:
            if not is_published and (tail := await self._store.read_messages(conversation_id, limit=RECENT_MESSAGES)):
                self._conversations.delivery.publish_again(conversation_id, tail)
                self._conversations.activity.note(Commit(conversation_id, tail, self._clock.monotonic(), None))
            await self._notifications.look_again(conversation_id)
        except StoreError:
            return  # the mark stays for a later sweep

    async def _tell(self, changes: list[Change]) -> None:
        """Of one conversation: what its members and lists say now, to whom it may concern."""
        revision, users = min(change.revision for change in changes), [change.user_id for change in changes]
        try:
            await self._conversations.membership.publish_again(changes[0].conversation_id, revision, users)
        except StoreError:
            return  # the mark stays for a later sweep

    def _is_ownerless(self, entry: str, living: set[tuple[InstanceId, Epoch]]) -> bool:
        parts = entry.split("|")
        if len(parts) not in (4, 5, 6):
            return True
        owner = InstanceId(parts[1])
        return owner == self._identity.instance_id or (owner, Epoch(parts[2])) not in living
