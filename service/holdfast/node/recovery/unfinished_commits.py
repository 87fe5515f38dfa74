"""Unfinished commits and changes of an instance: found by its marks in Redis, finished by the instance that sweeps.

A mark is set before an append or a change, and removed when all that follows is done (`sending/own_marks`). A mark older than
1.5 s whose owner is not heard (`cluster/peers`) belongs to an instance that died in between, or whose publications may not
arrive. What it did may be stored: that is announced and decided about once more, which is harmless where it was done. An owner
that is heard is only busy, and more reads would make it slower. It finishes itself the marks that it left: those of attempts with
an unknown outcome, for example. Should it have forgotten one, the others finish it after a minute.

The mark is removed when its owner is dead, or is this instance, and 15 s have passed, because a slow commit may still land until
then: behind the messages that were looked at, so these are not looked at again. The seconds begin anew while the store does not
answer: then no instance can have finished it. A mark that this instance left goes at once where no attempt can land any more
(`OwnMarks.looked_at`).
"""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, Seq, UserId, run_id
from holdfast.domain.marks import mark_of
from holdfast.errors import StoreError, StoreUnavailable
from holdfast.loops import REDIS, Loop
from holdfast.node.cluster.peers import Peers
from holdfast.node.conversations.membership import Membership
from holdfast.node.foundation import Foundation
from holdfast.node.recovery.finishing import Finishing
from holdfast.node.sending.own_marks import OwnMarks
from holdfast.node.tasks import each_in_turn

_ROUND_SECONDS: Final = 0.5
_OLD_SECONDS: Final = 1.5
_HOLD_SECONDS: Final = 2.0
_KEEP_SECONDS: Final = 15.0
_FORGOTTEN_SECONDS: Final = 60.0  # a busy owner is done long before
_LIMIT: Final = 100
_BUSY_SECONDS: Final = 300.0  # 100 marks, each a few reads of a store that answers slowly
_MAX_SEEN: Final = 20_000  # twice as many as an instance leaves


@dataclass(slots=True)
class _Seen:
    """A mark in Redis.

    Attributes:
        known_at: when this instance saw it first (monotonic seconds).
        due_at: when it was to be finished here first, or the store did not answer.
        last: the last message that was looked at for it.
        losses: of commands to Redis, when it was looked at: after another loss it is to be told again.
    """

    known_at: float
    due_at: float = float("inf")
    last: Seq = 0
    losses: int = 0


class UnfinishedCommits:
    """Lives in the event loop; `loop` sweeps. Every instance runs one; a mark is claimed by one of them at a time."""

    def __init__(self, on: Foundation, own_marks: OwnMarks, peers: Peers, membership: Membership, finishing: Finishing) -> None:
        self._marks = on.marks
        self._registry = on.registry
        self._clock = on.clock
        self._identity = on.identity
        self._own_marks = own_marks
        self._peers = peers
        self._membership = membership
        self._finishing = finishing
        self._seen = BoundedDict[str, _Seen](_MAX_SEEN)
        self._unanswered: set[ConversationId] = set()  # in this sweep

    @property
    def loop(self) -> Loop:
        """Sweeps twice a second; without Redis there is nothing to find."""
        return Loop("sweep", self._round, _ROUND_SECONDS, needs=(REDIS,), busy_seconds=_BUSY_SECONDS)

    async def _round(self) -> None:
        await asyncio.sleep(_ROUND_SECONDS)
        claimed, now = await self._marks.claim_dirty(_OLD_SECONDS, _HOLD_SECONDS, _LIMIT), self._clock.monotonic()
        left = self._own_marks.to_finish(now, _LIMIT)
        for entry in (*claimed, *left):
            self._seen[entry] = self._seen.get(entry) or _Seen(now)
        if entries := list(dict.fromkeys([*left, *(each for each in claimed if self._is_due(each, now))])):
            await self._finish(entries, now)

    def _is_due(self, entry: str, now: float) -> bool:
        if (mark := mark_of(entry)) is None or now - self._seen[entry].known_at >= _FORGOTTEN_SECONDS:
            return True
        run, mine = run_id(*mark.owner), (self._identity.run, run_id(self._identity.instance_id, self._identity.epoch))
        return run not in mine and not self._peers.hears(run, now)

    async def _finish(self, entries: list[str], now: float) -> None:
        self._unanswered.clear()
        for seen in (self._seen[entry] for entry in entries):
            seen.due_at = min(seen.due_at, now)
        await each_in_turn(self._steps(entries, now))

    def _steps(self, entries: list[str], now: float) -> Iterator[Coroutine[Any, Any, None]]:
        """A failure leaves the mark for a later sweep. Each conversation once: changes first, they are to be told within 3 s."""
        revisions: dict[ConversationId, int] = {}
        users: dict[ConversationId, list[UserId]] = {}
        firsts: dict[tuple[ConversationId, bool], dict[str, Seq]] = {}
        for entry, mark in ((entry, mark) for entry in entries if (mark := mark_of(entry)) is not None):
            c = mark.conversation_id
            if mark.user_id is None:
                # One whose first message is not known says nothing of the others.
                firsts.setdefault((c, mark.first > 0), {})[entry] = mark.first
            else:
                revisions[c] = min(mark.revision, revisions.get(c, mark.revision))
                users.setdefault(c, []).append(mark.user_id)
        for c, revision in revisions.items():
            yield self._attempt(c, self._membership.publish_again(c, revision, users[c]))
        for (c, is_known), marked in firsts.items():
            yield self._attempt(c, self._finish_commits(c, marked) if is_known else self._finishing.finish(c, 0))
        yield self._remove_ownerless(entries, now)

    async def _finish_commits(self, conversation_id: ConversationId, firsts: dict[str, Seq]) -> None:
        """From the first message that may be one of these marks' and was not looked at for it."""
        losses, seen = self._marks.losses, [self._seen[entry] for entry in firsts]
        looked_at = [each.last if each.losses == losses else 0 for each in seen]
        first = min(max(first, last + 1) for first, last in zip(firsts.values(), looked_at, strict=True))
        last = await self._finishing.finish(conversation_id, first)
        for entry, each in zip(firsts, seen, strict=True):
            each.last, each.losses = last, losses
            self._own_marks.looked_at(entry, last, losses)

    async def _attempt(self, conversation_id: ConversationId, step: Coroutine[Any, Any, object]) -> None:
        try:
            await step
        except StoreUnavailable:
            self._unanswered.add(conversation_id)
        except StoreError:
            return

    async def _remove_ownerless(self, entries: list[str], now: float) -> None:
        marks = {entry: mark_of(entry) for entry in entries}
        for entry, mark in marks.items():
            if mark is not None and mark.conversation_id in self._unanswered:
                self._seen[entry].due_at = now
        living = {(lease.instance_id, lease.epoch) for lease in await self._registry.instances()}
        mine = self._identity.instance_id
        for entry, mark in marks.items():
            owner = None if mark is None else mark.owner
            is_ownerless = owner is None or owner[0] == mine or owner not in living
            if is_ownerless and now - self._seen[entry].due_at >= _KEEP_SECONDS:
                self._marks.clear_dirty(entry)
                self._own_marks.forget(entry)
                self._seen.pop(entry, None)
