"""Online and offline: the store decides, this instance reports its own connections.

The user's first connection here puts `instance:epoch` into the user's `on`. After the end of the last one and the grace period
the entry is removed. Writes are grouped: one is under way, changes that come meanwhile go into the next. Which connections are
told of a change is decided by `presence_fan_out`, and how it is told by `presence_publisher`.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.domain.conversations import Conversation, Membership
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.presence import PresenceChange
from holdfast.errors import StoreError
from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.identity import Identity
from holdfast.node.tasks import Tasks
from holdfast.node.users.presence_fan_out import MAX_TOLD_CONVERSATIONS, PresenceFanOut
from holdfast.node.users.presence_publisher import PresencePublisher
from holdfast.ports import BlockStore, Bus, Clock, ConversationStore, PresenceStore

_BATCH: Final = 200
_MAX_LEAVING: Final = 5_000  # as many entries as a bulletin holds of anything
_RETRY_SECONDS: Final = 0.5
_NOT_HEARD: Final = UNKNOWN
"""`seen_at_ms` of a write that is no proof of life: the connection may be silently dead, and what it misses has to be found."""


class PresentStore(PresenceStore, ConversationStore, BlockStore, Protocol):
    """The presence of users, and where it is told."""


@dataclass(slots=True)
class _Wanted:
    """What the store should say about one user, and what waits for it."""

    is_present: bool
    entry: str
    seen_at_ms: int
    waiters: list["asyncio.Future[None]"]


class Presence:
    """Lives in the loop."""

    def __init__(
        self,
        store: PresentStore,
        bus: Bus,
        hub: Hub,
        delivery: Delivery,
        fan_out: PresenceFanOut,
        clock: Clock,
        store_clock: StoreClock,
        tasks: Tasks,
        identity: Identity,
        *,
        grace_seconds: float,
        indicator_members: int,
        on_offline: Callable[[list[UserId]], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._publisher = PresencePublisher(store, bus, delivery, fan_out, tasks, indicator_members)
        self._clock = clock
        self._store_clock = store_clock
        self._tasks = tasks
        self._grace_seconds = grace_seconds
        self._indicator_members = indicator_members
        self._identity = identity
        self._on_offline = on_offline
        self._wanted: dict[UserId, _Wanted] = {}
        self._written: dict[UserId, str] = {}  # or about to be
        self._replaced: dict[str, dict[UserId, None]] = {}  # entry of an older epoch -> who may still stand under it
        self._inherited: dict[str, int] = {}
        self._inherited_left: dict[UserId, int] = {}
        self._leaving: list[tuple[float, UserId, int]] = []
        self._due: dict[UserId, float] = {}
        self._conversations: dict[UserId, tuple[ConversationId, ...]] = {}
        self._is_writing = False
        self._is_removing = False

    def expect(self, user_id: UserId) -> None:
        """A connection of the user is being opened: a grace period that ends meanwhile does not count."""
        self._due.pop(user_id, None)

    async def arrived(self, user_id: UserId) -> None:
        """A connection of the user was accepted; returns once the store knows."""
        self._due.pop(user_id, None)
        if self._written.get(user_id) == self._identity.presence_entry and user_id not in self._wanted:
            return
        waiter = asyncio.get_running_loop().create_future()
        entry, seen_at_ms = self._identity.presence_entry, self._store_clock.now()
        self._want(user_id, is_present=True, entry=entry, seen_at_ms=seen_at_ms, waiter=waiter)
        await waiter
        self._inherited_left.pop(user_id, None)  # that absence is over: were we killed now, the next one would begin with it

    def left(self, user_id: UserId, heard_at: float) -> None:
        """The user's last connection here ended; the store hears of it after the grace period.

        `heard_at`: monotonic seconds of the last frame on it. Later writes may not have reached the user.
        """
        due = self._clock.monotonic() + self._grace_seconds
        self._due[user_id] = due
        heapq.heappush(self._leaving, (due, user_id, self._store_clock.at(heard_at)))

    def leaving(self) -> dict[UserId, int]:
        """Those whose grace is not over, and when they were last heard (store's Unix milliseconds); the latest 5,000."""
        waiting = [(due, user_id, seen) for due, user_id, seen in self._leaving if self._due.get(user_id) == due]
        return {user_id: seen for _, user_id, seen in heapq.nlargest(_MAX_LEAVING, waiting)}

    def earlier(self) -> dict[str, int]:
        """Entries of earlier epochs under which users may still be present, and when each was last alive (0: now).

        The instance that reaps us has to look for those, too.
        """
        moving = dict.fromkeys((*self._written.values(), *self._replaced), 0)
        own = self._identity.presence_entry
        return {entry: alive_ms for entry, alive_ms in (moving | self._inherited).items() if entry != own}

    def left_behind(self) -> dict[UserId, int]:
        """As `leaving`, with users whom an earlier start of our name was letting go, unless they have returned here."""
        away = {user_id: seen_ms for user_id, seen_ms in self._inherited_left.items() if not self._hub.count_of(user_id)}
        return away | self.leaving()

    def inherit(self, entries: Mapping[str, int], left: Mapping[UserId, int]) -> None:
        """An earlier start of our name left users under these; until `settle` they are in our bulletin, which replaces its."""
        self._inherited |= entries
        self._inherited_left |= left

    def settle(self) -> None:
        """The entries of the predecessor are removed."""
        self._inherited, self._inherited_left = {}, {}

    def note_conversations(self, user_id: UserId, memberships: list[Membership]) -> None:
        """Remember who is to be told about this user: the most recently active conversations that are small enough."""
        self._conversations[user_id] = self._publisher.told_in(memberships)

    def note_membership(self, user_id: UserId, conversation: Conversation, is_member: bool) -> None:
        """The user got into a conversation, or out of it."""
        others = [c for c in self._conversations.get(user_id, ()) if c != conversation.conversation_id]
        if is_member and len(conversation.members) <= self._indicator_members:
            others.insert(0, conversation.conversation_id)
        self._conversations[user_id] = tuple(others[:MAX_TOLD_CONVERSATIONS])

    def tick(self) -> None:
        """Let go of those whose grace is over; once a second is enough."""
        now = self._clock.monotonic()
        while self._leaving and self._leaving[0][0] <= now:
            due, user_id, seen_at_ms = heapq.heappop(self._leaving)
            if self._due.get(user_id) == due:
                del self._due[user_id]
                entry = self._written.get(user_id, self._identity.presence_entry)
                self._want(user_id, is_present=False, entry=entry, seen_at_ms=seen_at_ms)

    def new_epoch(self) -> None:
        """The entries are of an older epoch: every user who is here, or within the grace, is written again."""
        for user_id, seen_at_ms in (self.leaving() | dict.fromkeys(self._hub.users, _NOT_HEARD)).items():
            self._want(user_id, is_present=True, entry=self._identity.presence_entry, seen_at_ms=seen_at_ms)

    def certain(self, entry: str) -> list[UserId]:
        """Those connected here who stand in the store under `entry`, as far as we know, with nothing under way."""
        return [u for u in self._hub.users if self._written.get(u) == entry and u not in self._wanted]

    def release(self, entry: str, user_ids: Iterable[UserId], heard_at_ms: int) -> int:
        """Of users present in the store under `entry`, remove those that are not here and not within the grace; how many.

        `heard_at_ms`: when such a user was last known to be here, by the store's clock.
        """
        absent = [u for u in user_ids if not (self._hub.count_of(u) or u in self._due or u in self._wanted)]
        for user_id in absent:
            self._want(user_id, is_present=False, entry=entry, seen_at_ms=heard_at_ms)
        return len(absent)

    def restore(self, entry: str, user_ids: Iterable[UserId]) -> int:
        """Users whose presence was certain, and whom the store does not have: if they are still here they are added again; how
        many."""
        wanted = frozenset(user_ids)
        lost = [user_id for user_id in self.certain(entry) if user_id in wanted]
        for user_id in lost:
            self._want(user_id, is_present=True, entry=entry, seen_at_ms=_NOT_HEARD)
        return len(lost)

    async def reap(self, entry: str, alive_at_ms: int, left: Mapping[UserId, int]) -> None:
        """Remove a dead epoch from the presence of its users, and tell which of them are offline by that.

        Args:
            alive_at_ms: the last proof of its life, by the store's clock.
            left: when those were last heard who had left it before.

        Raises:
            StoreError: it has to be tried again.
        """
        while user_ids := await self._store.users_on(entry, _BATCH):
            seen = {user_id: min(left.get(user_id, alive_at_ms), alive_at_ms) for user_id in user_ids}
            changes = await self._store.remove_presence(entry, seen)
            for change in changes:
                self._publisher.tell(change, None)
            self._on_offline([change.user_id for change in changes if not change.online])

    def _want(
        self,
        user_id: UserId,
        *,
        is_present: bool,
        entry: str,
        seen_at_ms: int,
        waiter: "asyncio.Future[None] | None" = None,
    ) -> None:
        earlier = self._wanted.get(user_id)
        waiters = list(earlier.waiters) if earlier is not None else []  # callers of a running write have their own list
        if waiter is not None:
            waiters.append(waiter)
        self._wanted[user_id] = _Wanted(is_present, entry, seen_at_ms, waiters)
        if not self._is_writing:
            self._is_writing = True
            self._tasks.start(self._write_all())

    async def _write_all(self) -> None:
        """A user who cannot be written is found by going one by one, and left to the presence reconciler."""
        size = _BATCH
        try:
            while self._wanted:
                batch = dict(list(self._wanted.items())[:size])
                try:
                    await self._write(batch)
                    size = min(_BATCH, 2 * size)
                except StoreError:
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                except Exception as error:  # noqa: BLE001 - one user must not keep all others from being written
                    self._tasks.note_failure("presence", error)
                    if len(batch) > 1:
                        size = 1
                        continue
                    await asyncio.sleep(_RETRY_SECONDS)
                for user_id, wanted in batch.items():
                    if self._wanted.get(user_id) is wanted:
                        del self._wanted[user_id]
                    for waiter in wanted.waiters:
                        if not waiter.done():
                            waiter.set_result(None)
        finally:
            self._is_writing = False

    async def _write(self, batch: dict[UserId, _Wanted]) -> None:
        """Write one group; entries differ only around a new epoch."""
        for user_id, wanted in batch.items():
            if not wanted.is_present:  # the state written by now, which a new epoch may have changed since the request
                wanted.entry = self._written.get(user_id, wanted.entry)
        for entry in dict.fromkeys(wanted.entry for wanted in batch.values()):
            coming = {u: w for u, w in batch.items() if w.entry == entry and w.is_present}
            going = {u: w for u, w in batch.items() if w.entry == entry and not w.is_present}
            changes: list[PresenceChange] = []
            if coming:
                self._replace(coming, entry)
                changes += await self._store.add_presence(entry, {u: w.seen_at_ms for u, w in coming.items()})
                if self._replaced and not self._is_removing:
                    self._is_removing = True
                    self._tasks.start(self._remove_replaced())
            if going:
                changes += await self._store.remove_presence(entry, {u: w.seen_at_ms for u, w in going.items()})
                for user_id in going:
                    self._written.pop(user_id, None)
            for change in changes:
                self._publisher.tell(change, self._conversations.get(change.user_id, ()))
            if gone := [change.user_id for change in changes if not change.online]:
                self._on_offline(gone)
            for user_id in going:
                if not self._hub.count_of(user_id):
                    self._conversations.pop(user_id, None)

    def _replace(self, user_ids: Iterable[UserId], entry: str) -> None:
        """Note it before it is written: a write whose answer is lost may stand, and has to go as well when it is replaced."""
        for user_id in user_ids:
            earlier = self._written.get(user_id, entry)
            if earlier != entry:
                self._replaced.setdefault(earlier, {})[user_id] = None
            self._written[user_id] = entry

    async def _remove_replaced(self) -> None:
        """After the new entry is in, so that no user flickers."""
        try:
            while self._replaced:
                entry, user_ids = next(iter(self._replaced.items()))
                some = [u for u in user_ids if u not in self._wanted][:_BATCH]
                if not some:
                    await asyncio.sleep(_RETRY_SECONDS)  # their new entry is not in yet
                    self._replaced[entry] = self._replaced.pop(entry)  # nor is it the turn of the others for ever
                    continue
                try:
                    for change in await self._store.remove_presence(entry, dict.fromkeys(some, _NOT_HEARD)):
                        self._publisher.tell(change, None)  # their grace ended meanwhile
                        self._on_offline([change.user_id])
                except Exception as error:  # noqa: BLE001 - others wait behind it
                    self._tasks.note_failure("presence", error)
                    await asyncio.sleep(_RETRY_SECONDS)
                    self._replaced[entry] = self._replaced.pop(entry)
                    continue
                for user_id in some:
                    user_ids.pop(user_id, None)
                if not user_ids:
                    self._replaced.pop(entry, None)
        finally:
            self._is_removing = False
