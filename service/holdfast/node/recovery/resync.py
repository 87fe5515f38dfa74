"""The resync: finds missed messages and changes by comparison with the store and with the bulletins of other instances."""

import asyncio
import contextlib
from functools import partial
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import ConversationId, RunId, UserId
from holdfast.errors import StoreError
from holdfast.node.cluster.redis_trust import RedisTrust
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.membership import Membership
from holdfast.node.tasks import Tasks
from holdfast.node.users.receipt_fan_out import ReceiptFanOut
from holdfast.ports import ConversationStore

_ENDED_RUNS: Final = 1_000  # one that is forgotten costs reads; it is there for about a minute


class Resync:
    """Lives in the loop. Doing it again is harmless."""

    def __init__(
        self,
        store: ConversationStore,
        local: LocalSide,
        membership: Membership,
        receipts: ReceiptFanOut,
        redis_trust: RedisTrust,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._hub = local.hub
        self._conversations = local.conversations
        self._delivery = local.delivery
        self._membership = membership
        self._receipts = receipts
        self._redis_trust = redis_trust
        self._tasks = tasks
        self._next_reason: str | None = None
        self._is_running = False
        self._overflows = self._compared = 0
        self._comparing: asyncio.Task[None] | None = None
        self._taken_for_good: BoundedDict[RunId, None] = BoundedDict(_ENDED_RUNS)

    def begin(self, reason: str) -> None:
        """Something was missed: compare all local conversations with the store, in the background.

        One run at a time. For envelopes that are missed while a run is under way one more follows: it may have read before.
        """
        self._next_reason = reason
        if not self._is_running:
            self._is_running = True
            self._tasks.start(self._run())

    async def _run(self) -> None:
        try:
            while (reason := self._next_reason) is not None:
                self._next_reason = None
                users = dict.fromkeys(self._hub.users)
                await self._tasks.until_store_answers(partial(self._compare, users, reason))
        finally:
            self._is_running = False

    async def _compare(self, users: dict[UserId, None], reason: str) -> None:
        """Members first, then heads, so that a user who was added meanwhile gets the rest.

        `users`: those to look at; those that were looked at are taken out, and the next try spares them.
        """
        for user_id in tuple(users):
            users[user_id] = users.pop(user_id)  # the last in the next try, should this one fail
            await self._refresh_user(user_id)
            del users[user_id]
        await self._delivery.gaps.compare(reason)

    async def with_bulletins(self, bulletins: list[Bulletin]) -> None:
        """The slow path: what others committed and we may have missed.

        The last bulletin of a run that ended in order never changes, and a user who connects after it was taken is given lists
        that are later than all of its changes. So it is taken once: an instance that starts again reads nothing for the run
        before.

        Raises:
            StoreError: the store does not answer.
        """
        bulletins = [bulletin for bulletin in bulletins if bulletin.run not in self._taken_for_good]
        await self._take(bulletins)
        for bulletin in bulletins:
            if bulletin.is_ended:
                self._taken_for_good[bulletin.run] = None

    async def _take(self, bulletins: list[Bulletin]) -> None:
        for bulletin in bulletins:
            for conversation_id, seq in bulletin.heads.items():
                self._delivery.hint(conversation_id, seq)
            for key, seq in bulletin.receipts.items():
                conversation, _, user = key.partition("|")
                self._receipts.learn(ConversationId(conversation), UserId(user), seq)
        for bulletin in bulletins:  # these may take a read each: no message waits for them
            await self._refresh_members(bulletin)
        self._overflows += sum(bulletin.overflow for bulletin in bulletins)
        if self._compared < self._overflows and (self._comparing is None or self._comparing.done()):
            self._comparing = self._tasks.start(self._compare_overflows())

    async def _compare_overflows(self) -> None:
        """In the background: with many conversations it takes long, and no bulletin waits for it.

        What overflows meanwhile is compared afterwards. Where the store does not answer, the next bulletins begin it again.
        """
        with contextlib.suppress(StoreError):
            while self._compared < (overflows := self._overflows):
                await self._delivery.gaps.compare("overflow")
                self._compared = overflows

    async def _refresh_members(self, bulletin: Bulletin) -> None:
        concerns_users_here = any(map(self._hub.count_of, bulletin.users))
        for conversation_id, version in bulletin.members.items():
            cached = self._conversations.peek(conversation_id)
            is_known = cached is not None and cached.members_version >= version
            # A conversation that is not local yet may be new to a user who is connected here, and its envelope lost.
            if not is_known and (concerns_users_here or conversation_id in self._delivery.locals):
                await self._membership.refresh(conversation_id)
        for user_id in bulletin.users:
            if self._hub.count_of(user_id) and not bulletin.mode == self._redis_trust.mode == "ok":
                await self._refresh_user(user_id)

    async def _refresh_user(self, user_id: UserId) -> None:
        """Compare what a user's connections hear with the store's list."""
        listed = dict.fromkeys(row.conversation_id for row in await self._store.memberships_of(user_id))
        for connection in self._hub.connections_of(user_id):
            if connection.conversations is None:
                connection.missed.update(listed)
                continue
            heard = connection.conversations
            for conversation_id in [*(c for c in listed if c not in heard), *(c for c in heard if c not in listed)]:
                await self._membership.refresh(conversation_id)
