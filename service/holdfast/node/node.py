"""One running instance, put together: what starts, what ticks, how it ends."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from holdfast.domain.bulletins import LOST, Bulletin
from holdfast.domain.ids import ConversationId, InstanceId, Seq, UserId
from holdfast.errors import HoldfastError
from holdfast.loops import Loop, Loops, each_of
from holdfast.node.cluster.bulletins import Bulletins
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.split import Split
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.activity import Activity
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.conversations.entering import Entering
from holdfast.node.conversations.membership import Membership
from holdfast.node.conversations.replay import Replay
from holdfast.node.health.dependencies import Dependency
from holdfast.node.health.evaluator import Health
from holdfast.node.health.saturation import Saturation
from holdfast.node.identity import Identity, own_epoch
from holdfast.node.incoming import Incoming
from holdfast.node.notifications.catchup import CatchUps
from holdfast.node.notifications.decision import Notifications
from holdfast.node.notifications.pushing import Pushing
from holdfast.node.recovery.audit import PresenceAudit
from holdfast.node.recovery.comparison import Comparison
from holdfast.node.recovery.opening import StoreContact
from holdfast.node.recovery.predecessor import reap_predecessor
from holdfast.node.recovery.reaper import Reaper
from holdfast.node.recovery.sweep import Sweep
from holdfast.node.requests.commands import Commands
from holdfast.node.requests.directory import Directory
from holdfast.node.sending.append import Appender, Commit
from holdfast.node.sending.committer import Committer
from holdfast.node.sessions.connecting import Connecting
from holdfast.node.tasks import Tasks, until_store_answers
from holdfast.node.users.presence import Presence
from holdfast.node.users.presence_notices import PresenceNotices
from holdfast.node.users.receipts import Receipts
from holdfast.node.users.revocations import Revocations
from holdfast.node.users.rosters import Rosters
from holdfast.ports import Clock, ClusterBus, ConnectionRegistry, Memory, MessageStore, Notifier, RosterCache
from holdfast.settings import Settings
from holdfast.telemetry import Telemetry

_TICK_SECONDS: Final = 0.05  # holes are 150 ms old when they are filled; sends expire within 3 s
_SLOW_TICK_SECONDS: Final = 1.0
_THAW_SECONDS: Final = 1.0  # a loop that stood still that long may have been frozen, and missed anything
_COMMITTERS_GRACE_SECONDS: Final = 3.0

_log = logging.getLogger(__name__)


class Node:
    """Lives in the loop: `start`, then `stop` once."""

    def __init__(
        self,
        settings: Settings,
        version: str,
        store: MessageStore,
        bus: ClusterBus,
        registry: ConnectionRegistry,
        roster_cache: RosterCache,
        notifier: Notifier,
        clock: Clock,
        memory: Memory,
        telemetry: Telemetry,
        store_dependency: Dependency,
        redis_dependency: Dependency,
    ) -> None:
        limits = settings.limits
        self.identity = identity = Identity(InstanceId(settings.instance_id), own_epoch(clock))
        self.settings = settings
        self.clock = clock
        self.telemetry = telemetry
        self.store = store
        self.bus = bus
        self.registry = registry
        self.notifier = notifier
        self.store_clock = StoreClock(clock)
        self.loops = Loops(clock.monotonic, telemetry)
        self.tasks = Tasks(self.loops.note_failure)
        self.hub = Hub(telemetry)
        self.split = Split(clock)
        self.conversations = Conversations(store, bus, clock, self.split)
        self.appender = Appender(identity, store, self.store_clock, telemetry, self._on_commit)
        self.delivery = Delivery(
            store,
            bus,
            self.hub,
            self.conversations,
            self.appender,
            self.store_clock,
            telemetry,
            self.tasks,
            identity,
            max_conversations=limits.subscriptions,
        )
        self.revocations = Revocations(store, bus, self.hub, self.delivery, self.store_clock, settings.auth.leeway_seconds)
        self.store_contact = StoreContact(store, self.delivery, self.revocations)
        self.lease = Lease(
            registry,
            bus,
            self.hub,
            clock,
            self.tasks,
            identity,
            state=lambda: self.health.state,
            on_epoch=lambda: self.presence.new_epoch(),
            on_other_server=lambda: self.rosters.doubt(),
        )
        self.notices = PresenceNotices(store, bus, self.conversations, self.delivery, self.tasks)
        self.presence = Presence(
            store,
            bus,
            self.hub,
            self.delivery,
            self.notices,
            clock,
            self.store_clock,
            self.tasks,
            identity,
            grace_seconds=settings.presence.grace_seconds,
            indicator_members=limits.indicator_members,
            on_offline=lambda user_ids: self.catch_ups.look_soon(user_ids),
        )
        self.bulletins = Bulletins(
            store,
            clock,
            self.lease,
            self.split,
            self.store_clock,
            mode=self._mode,
            left=self.presence.left_behind,
            earlier=self.presence.earlier,
            on_read=lambda bulletins: self.comparison.with_bulletins(bulletins),
            on_loss_elsewhere=self._on_loss_elsewhere,
        )
        self.health = Health(
            identity,
            version,
            store_dependency,
            redis_dependency,
            bus,
            self.hub,
            Saturation(self.hub, memory, telemetry, max_connections=limits.connections),
            clock,
            telemetry,
            split=self.split,
            loops=self.loops,
            store_contact=self.store_contact,
            store_clock=self.store_clock,
        )
        replay = Replay(store, self.delivery, telemetry)
        self.entering = Entering(
            self.hub, self.conversations, self.delivery, replay, self.tasks, limits, self.presence.note_membership
        )
        self.membership = Membership(
            store,
            bus,
            self.hub,
            self.conversations,
            self.delivery,
            self.entering,
            clock,
            self.tasks,
            indicator_members=limits.indicator_members,
            on_membership=self.presence.note_membership,
        )
        self.delivery.on_stale_membership = self.membership.refresh
        self.delivery.on_newer_members = self.membership.enforce
        self.rosters = Rosters(
            roster_cache,
            store,
            bus,
            telemetry,
            self.delivery,
            self.bulletins,
            is_trusted=settings.bus.secret is None,  # what Redis remembers is not signed
        )
        self.delivery.published_tails = self.rosters.tails
        self.receipts = Receipts(
            store,
            bus,
            self.hub,
            self.conversations,
            self.delivery,
            roster_cache,
            self.notices,
            self.store_clock,
            indicator_members=limits.indicator_members,
            on_moved=self._on_read,
        )
        self.pushing = Pushing(store, notifier, self.store_clock, telemetry)
        self.notifications = Notifications(
            store,
            bus,
            registry,
            self.hub,
            self.conversations,
            clock,
            self.store_clock,
            telemetry,
            self.tasks,
            self.pushing,
            settings.presence.grace_seconds,
        )
        self.audit = PresenceAudit(store, self.presence, clock, self.store_clock, identity)
        self.catch_ups = CatchUps(store, self.notifications, clock, settings.presence.grace_seconds)
        self.comparison = Comparison(
            store, self.hub, self.conversations, self.delivery, self.membership, self.receipts, mode=self._mode
        )
        self.committer = Committer(self.appender, bus, clock, telemetry, identity, self.conversations.strangers)
        self.commands = Commands(self.committer, self.receipts, self.conversations, self.delivery, self.hub, bus, limits)
        self.directory = Directory(
            store,
            self.conversations,
            self.membership,
            self.delivery,
            self.bulletins,
            self.split,
            self.rosters,
            bus,
            self.store_clock,
            self.tasks,
            self.notifications,
            limits,
            identity,
        )
        self.connecting = Connecting(
            store,
            bus,
            self.hub,
            self.conversations,
            self.delivery,
            self.membership,
            replay,
            self.presence,
            self.rosters,
            self.lease,
            clock,
            self.tasks,
            telemetry,
            limits,
        )
        self.incoming = Incoming(
            identity, self.delivery, self.receipts, self.commands, self.notices, self.membership, self.revocations, telemetry
        )
        self.activity = Activity(store, self.tasks)
        self.reaper = Reaper(
            registry,
            store,
            self.presence,
            clock,
            self.store_clock,
            telemetry,
            self.lease,
            roster_cache,
            on_fleet=self.health.note_fleet,
            grace_seconds=settings.presence.grace_seconds,
        )
        self.sweep = Sweep(
            store, bus, registry, self.delivery, self.membership, self.activity, self.notifications, clock, identity
        )

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
        await self.store_contact.open(self.tasks)
        await self.bus.start(self.loops, self.incoming.take, partial(self._on_missed, "resubscribed"), self.health.note_bus)
        grace = self.settings.presence.grace_seconds
        self.tasks.start(reap_predecessor(self.store, self.presence, self.instance_id, grace, self._on_predecessor))
        parts = (self.lease, self.reaper, self.sweep, self.rosters, self.catch_ups, self.pushing, self.audit, self.revocations)
        ticks = (("tick", self._tick, _TICK_SECONDS), ("slow_tick", self._tick_slowly, _SLOW_TICK_SECONDS))
        for loop in (*(part.loop for part in parts), *(Loop(*tick, is_vital=True) for tick in ticks)):
            self.tasks.start(self.loops.run(loop))

    async def stop(self) -> None:
        """Finish what is under way, give the name back, let go. Bounded by `drain.flush_seconds`.

        Presence is left as it is: our users are within their grace. Our bulletin, now without a lease, tells the others (or the
        next start) to take users offline who do not come back. Data of a store that was replaced is not written to the new one.
        """
        try:
            async with asyncio.timeout(self.settings.drain.flush_seconds):
                await self.committer.close(_COMMITTERS_GRACE_SECONDS)
                if not self.store_contact.replaced.is_set():
                    await self.receipts.close(_COMMITTERS_GRACE_SECONDS)
                    await self.activity.flush()
                await self.bulletins.write_last()
                await self.lease.release()
        except (TimeoutError, HoldfastError) as error:
            _log.warning("not everything could be given back: %s", error)
        await self.tasks.close()
        await self.bus.close()
        await self.notifier.close()
        await self.store.close()

    # --- time -----------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        began = self.clock.monotonic()
        await asyncio.sleep(_TICK_SECONDS)
        lag = self.clock.monotonic() - began - _TICK_SECONDS
        self.telemetry.note_lag(lag)
        if lag > _THAW_SECONDS:
            self._on_thaw()
        each_of(self.delivery.tick, self.committer.expire, self.receipts.expire)

    def _on_thaw(self) -> None:
        """This process stood still: what it believes of members and of its lease is old, and much may have passed it by."""
        _log.warning("the loop stood still; everything is read again")
        self._on_missed("thaw")

    async def _tick_slowly(self) -> None:
        self.telemetry.connections.set(len(self.hub.connections))
        self.tasks.start(self.store_contact.look())  # not awaited: a store that hangs is asked every second all the same
        each_of(self.health.evaluate, self.presence.tick, self.activity.tick, self.notifications.tick)
        await asyncio.sleep(_SLOW_TICK_SECONDS)

    # --- what happens ---------------------------------------------------------------------------------------------------

    def _on_commit(self, commit: Commit) -> None:
        self.delivery.hand_over(commit)
        self.bulletins.note_commit(commit.conversation_id, commit.messages[-1].seq)
        self.activity.note(commit)
        self.notifications.note(commit)

    def _on_read(self, conversation_id: ConversationId, user_id: UserId, seq: Seq) -> None:
        self.bulletins.note_receipt(conversation_id, user_id, seq)
        self.notifications.note_read(conversation_id, user_id, seq)

    def _on_predecessor(self, earlier: Sequence[Bulletin]) -> None:
        """What an earlier start of our name left is read; its bulletin may be replaced by ours."""
        for bulletin in earlier:
            self.lease.follow_predecessor(bulletin.server)
            if not bulletin.is_harmless_at(""):
                self.rosters.doubt()
        for loop in self.bulletins.loops:
            self.tasks.start(self.loops.run(loop))

    def _on_missed(self, reason: str) -> None:
        """The bus, or this process, was away for a while: what it carried meanwhile is compared with the store."""
        self.lease.doubt()
        self.conversations.doubt()
        self.bulletins.look_soon()
        self.tasks.start(until_store_answers(lambda: self.comparison.run(reason)))

    def _on_loss_elsewhere(self) -> None:
        """An instance at another Redis died there, perhaps before it could announce its commits."""
        self.rosters.doubt()
        self._on_missed("split")

    def _mode(self) -> str:
        """Whether our fast path works, as our bulletin says it."""
        if self.rosters.has_losses:
            return LOST
        if not self.health.redis_is_connected:
            return "redis"
        if self.bus.is_lost:
            return "bus"
        return "split" if self.split.is_split else "ok"
