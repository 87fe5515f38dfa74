"""Unfinished commits and changes of an instance: found by its marks in Redis, finished by the instance that sweeps.

A mark is set before an append or a change, and removed when all that follows is done (`sending/own_marks`). A mark older than
1.5 s belongs to an instance that died in between, or whose attempt has an unknown outcome. What that attempt may have stored is
announced and decided about once more, which is harmless where it was done. The mark is removed when its owner is dead, or is this
instance, and 15 s have passed, because a slow commit may still land until then. These seconds begin anew while the store does not
answer: then no instance can have finished it.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Final

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.marks import mark_of
from holdfast.errors import StoreError, StoreUnavailable
from holdfast.loops import REDIS, Loop
from holdfast.node.conversations.membership import Membership
from holdfast.node.foundation import Process
from holdfast.node.recovery.finishing import Finishing
from holdfast.node.tasks import each_in_turn
from holdfast.ports import Marks, Registry

_ROUND_SECONDS: Final = 0.5
_OLD_SECONDS: Final = 1.5
_HOLD_SECONDS: Final = 2.0
_KEEP_SECONDS: Final = 15.0
_LIMIT: Final = 100
_BUSY_SECONDS: Final = 300.0  # 100 marks, each a few reads of a store that answers slowly
_MAX_SEEN: Final = 10_000


class UnfinishedCommits:
    """Lives in the event loop; `loop` sweeps. Every instance runs one; a mark is claimed by one of them at a time."""

    def __init__(self, marks: Marks, registry: Registry, membership: Membership, finishing: Finishing, process: Process) -> None:
        self._marks = marks
        self._registry = registry
        self._membership = membership
        self._finishing = finishing
        self._clock = process.clock
        self._identity = process.identity
        self._first_seen: dict[str, float] = {}
        self._unanswered: set[ConversationId] = set()  # in this sweep

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
        self._unanswered.clear()
        await each_in_turn(self._steps(entries, now))

    def _steps(self, entries: list[str], now: float) -> Iterator[Coroutine[Any, Any, None]]:
        """A failure leaves the mark for a later sweep. Each conversation once: changes first, they are to be told within 3 s."""
        revisions: dict[ConversationId, int] = {}
        users: dict[ConversationId, list[UserId]] = {}
        firsts: dict[tuple[ConversationId, bool], Seq] = {}
        for mark in filter(None, map(mark_of, entries)):
            c = mark.conversation_id
            if mark.user_id is None:
                known = (c, mark.first > 0)  # one whose first message is not known says nothing of the others
                firsts[known] = min(mark.first, firsts.get(known, mark.first))
            else:
                revisions[c] = min(mark.revision, revisions.get(c, mark.revision))
                users.setdefault(c, []).append(mark.user_id)
        for c, revision in revisions.items():
            yield self._attempt(c, self._membership.publish_again(c, revision, users[c]))
        for (c, _), first in firsts.items():
            yield self._attempt(c, self._finishing.finish(c, first))
        yield self._remove_ownerless(entries, now)

    async def _attempt(self, conversation_id: ConversationId, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except StoreUnavailable:
            self._unanswered.add(conversation_id)
        except StoreError:
            return

    async def _remove_ownerless(self, entries: list[str], now: float) -> None:
        living = {(lease.instance_id, lease.epoch) for lease in await self._registry.instances()}
        mine = self._identity.instance_id
        for entry in entries:
            mark = mark_of(entry)
            if mark is not None and mark.conversation_id in self._unanswered:
                self._first_seen[entry] = now
                continue
            owner = None if mark is None else mark.owner
            is_ownerless = owner is None or owner[0] == mine or owner not in living
            if is_ownerless and now - self._first_seen.get(entry, now) >= _KEEP_SECONDS:
                self._marks.clear_dirty(entry)
                self._first_seen.pop(entry, None)
