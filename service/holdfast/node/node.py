"""One running instance, put together: what starts, what ticks, how it ends."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, InstanceId, Seq, UserId
from holdfast.errors import HoldfastError
from holdfast.loops import Loop, each_of
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.health.dependencies import Dependency
from holdfast.node.health.parts import health_of
from holdfast.node.incoming import Incoming
from holdfast.node.notifications.parts import NotificationParts
from holdfast.node.recovery.own_death import take_out_users
from holdfast.node.recovery.parts import RecoveryParts
from holdfast.node.requests.parts import RequestParts
from holdfast.node.sending.append import Commit
from holdfast.node.sending.parts import SendingParts
from holdfast.node.sessions.parts import connecting_of
from holdfast.node.users.parts import UserParts
from holdfast.ports import FLEET

_TICK_SECONDS: Final = 0.05  # holes are 150 ms old when they are filled; sends expire within 3 s
SLOW_TICK_SECONDS: Final = 1.0
_THAW_SECONDS: Final = 1.0  # a loop that stood still that long may have been frozen, and missed anything
_COMMITTERS_GRACE_SECONDS: Final = 3.0
_ASKED_SECONDS: Final = 2.0  # for whether the store was replaced; nothing is served meanwhile
STORE_REPLACED: Final = "store_replaced"
DECLARED_DEAD: Final = "declared_dead"

_log = logging.getLogger(__name__)


class Node:
    """Lives in the loop: `start`, then `stop` once."""

    def __init__(self, on: Foundation, store_dependency: Dependency, redis_dependency: Dependency) -> None:
        """Builds the rooms, the lowest first. Each room asks the rooms above it, and tells them, through this object."""
        self.on, self.settings, self.clock, self.telemetry = on, on.settings, on.clock, on.telemetry
        self.identity, self.loops, self.tasks, self.hub = on.identity, on.loops, on.tasks, on.hub
        self.cluster = ClusterParts(on, redis_dependency, self)
        self.sending = SendingParts(on, self.cluster.store_clock, self.cluster.redis_trust, self)
        self.conversations = ConversationParts(on, self.cluster, self.sending, self)
        self.notifications = NotificationParts(on, self.cluster, self.sending, self.conversations)
        self.users = UserParts(on, self.cluster, self.conversations, self.notifications)
        self.recovery = RecoveryParts(on, self.cluster, self.sending, self.conversations, self.users, self.notifications, self)
        self.health = health_of(on, self.cluster, self.recovery, store_dependency, redis_dependency)
        requests = RequestParts(on, self.cluster, self.sending, self.conversations, self.users, self.notifications)
        self.commands, self.conversation_service = requests.commands, requests.conversation_service
        self.connecting = connecting_of(on, self.cluster, self.conversations, self.users)
        self._incoming = Incoming(on, self.cluster.heartbeats, self.conversations, self.users, self.commands)

    # --- life -----------------------------------------------------------------------------------------------------------

    @property
    def instance_id(self) -> InstanceId:
        """The name of this instance now: its `INSTANCE_ID`, unless a younger process has that."""
        return self.identity.instance_id

    async def start(self) -> None:
        """Connect to the outside systems and begin to tick; returns at once, without waiting for them.

        Raises:
            StoreDenied: the store refuses us for good.
        """
        await self.recovery.store_contact.open(self.tasks)
        take, resubscribed = self._incoming.take, partial(self._on_missed, "resubscribed")
        await self.on.bus.subscribe((FLEET,))  # first of all: until others are heard, nothing that they wrote is believed
        await self.on.bus.start(self.loops, take, resubscribed, self.health.note_bus)
        for loop in self._loops():
            self.tasks.start(self.loops.run(loop))

    async def ended(self) -> str:
        """Wait until this run has to end, because the store was replaced or another instance declared it dead; the reason."""
        replaced, dead = self.recovery.store_contact.replaced, self.identity.declared_dead
        waits = [asyncio.create_task(each.wait()) for each in (replaced, dead)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if dead.is_set():  # a store that was emptied or restored has no bulletin of this run either
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ASKED_SECONDS):
                    await self.recovery.store_contact.look()
        return STORE_REPLACED if replaced.is_set() else DECLARED_DEAD

    async def stop(self) -> None:
        """Finish what is under way, give the name back, let go. Bounded by `drain.flush_seconds`.

        Presence is left as it is: our users are within their grace. Our last bulletin says that this run has ended. The other
        instances, or the next run, take users offline who do not come back. Data of a store that was replaced is not written to
        the new one. A run that was declared dead leaves no user online whom no other instance looks for.
        """
        try:
            async with asyncio.timeout(self.settings.drain.flush_seconds):
                await self.sending.committer.close(_COMMITTERS_GRACE_SECONDS)
                if not self.recovery.store_contact.replaced.is_set():
                    await self.users.receipts.close(_COMMITTERS_GRACE_SECONDS)
                self.sending.own_marks.flush()
                await self.cluster.bulletins.write_last()
                await self.cluster.lease.release()
                await self.recovery.stored_marks.remove_done()  # those that stay are found by the other instances
                if not self.recovery.store_contact.replaced.is_set():
                    await self.conversations.activity.flush()  # last: a lost hint is only a stale preview
        except (TimeoutError, HoldfastError) as error:
            _log.warning("not everything could be given back: %s", error)
        if self.identity.declared_dead.is_set() and not self.recovery.store_contact.replaced.is_set():
            await take_out_users(self.on, self.cluster, self.users.presence)
        await self.tasks.close()
        await self.on.bus.close()
        await self.on.notifier.close()
        await self.on.store.close()

    def _loops(self) -> Iterable[Loop]:
        """Of the rooms, then the ticks."""
        users, notifications, recovery = self.users, self.notifications, self.recovery
        yield from self.cluster.bulletins.loops
        yield from self.cluster.heartbeats.loops
        yield from (part.loop for part in (self.cluster.lease, recovery.reaper, users.rosters))
        yield from (part.loop for part in (recovery.unfinished_commits, recovery.stored_marks))
        yield from (
            part.loop
            for part in (notifications.offline_backfill, notifications.pushing, recovery.presence_reconciler, users.revocations)
        )
        yield Loop("tick", self._tick, _TICK_SECONDS, is_vital=True)
        yield Loop("slow_tick", self._tick_slowly, SLOW_TICK_SECONDS, is_vital=True)

    # --- time -----------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        began = self.clock.monotonic()
        await asyncio.sleep(_TICK_SECONDS)
        lag = self.clock.monotonic() - began - _TICK_SECONDS
        self.telemetry.note_lag(lag)
        if lag > _THAW_SECONDS:
            self._on_thaw()
        sending = self.sending
        each_of(self.conversations.delivery.tick, sending.committer.expire, sending.own_marks.flush, self.users.receipts.expire)

    def _on_thaw(self) -> None:
        """This process stood still: what it believes of members, of its lease and of other runs is old, and much may have passed
        it by."""
        _log.warning("the loop stood still; everything is read again")
        self.recovery.reaper.forget()
        self.cluster.peers.forget(self.clock.monotonic())
        self._on_missed("thaw")

    async def _tick_slowly(self) -> None:
        self.telemetry.connections.set(len(self.hub.connections))
        self.tasks.start(self.recovery.store_contact.look())  # not awaited: a store that hangs is asked every second all the same
        users, conversations, notifications = self.users, self.conversations, self.notifications
        each_of(self.health.evaluate, users.presence.tick, conversations.activity.tick, notifications.decision.tick)
        await asyncio.sleep(SLOW_TICK_SECONDS)

    def _on_missed(self, reason: str) -> None:
        """The bus, or this process, was away for a while: what it carried meanwhile is compared with the store."""
        self.cluster.lease.invalidate()
        self.conversations.cache.invalidate()
        self.cluster.bulletins.look_soon()
        self.recovery.resync.begin(reason)

    # --- the `Above` of each room: its questions to the rooms above it, and its news for them -----------------------------

    def state(self) -> str:
        """The health of this instance."""
        return self.health.state

    def users_within_grace(self) -> dict[UserId, int]:
        """The users whose last connection here ended a moment ago."""
        return self.users.presence.leaving()

    def on_loss_elsewhere(self) -> None:
        """An instance at another Redis died there, perhaps before it could announce its commits."""
        self.cluster.redis_trust.losses.note_uncertain_write()
        self._on_missed("split")

    def on_heard_again(self) -> None:
        """Conversations cached before are not believed again: a change of a title stands in no bulletin."""
        self.conversations.cache.invalidate()
        self.cluster.bulletins.look_soon()

    async def take_bulletins(self, bulletins: list[Bulletin]) -> None:
        """Their commits are compared with the messages that came here."""
        self.recovery.stored_marks.note_bulletins(bulletins)
        await self.recovery.resync.with_bulletins(bulletins)

    def on_commit(self, commit: Commit) -> None:
        """The commit is delivered here, announced and shown in lists; then users who are away are notified.

        Where it is not announced its mark in Redis is left, and `unfinished_commits` announces it.
        """
        is_told = self.conversations.delivery.hand_over(commit)
        if not is_told:
            self.sending.own_marks.leave(commit.marking)
        self.conversations.activity.note(commit)
        self.notifications.decision.note(commit if is_told else replace(commit, marking=None))

    async def non_members(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> set[UserId] | None:
        """Which of these are no members."""
        return await self.conversations.cache.non_members(conversation_id, user_ids)

    def on_membership(self, user_id: UserId, conversation: Conversation, is_member: bool) -> None:
        """Presence is told where the user is."""
        self.users.presence.note_membership(user_id, conversation, is_member)

    async def published_tails(self, known: Mapping[ConversationId, Seq], proof: str) -> dict[ConversationId, Seq]:
        """As Redis remembers them."""
        return await self.users.rosters.tails(known, proof)

    def on_fleet(self, states: tuple[str, ...]) -> None:
        """As the reaper found them."""
        self.health.note_fleet(states)
