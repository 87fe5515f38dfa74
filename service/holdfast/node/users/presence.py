"""Online and offline: the store decides, this instance reports its own connections.

The user's first connection here puts the id of this run into the user's `on`. After the end of the last one and the grace period
the entry is removed. Writes are grouped: one is under way, changes that come meanwhile go into the next. Which connections are
told of a change is decided by `presence_fan_out`, and how it is told by `presence_publisher`.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.domain.bounded import BoundedDict
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
_MAX_REAPING: Final = 100
_RETRY_SECONDS: Final = 0.5
_NOT_HEARD: Final = UNKNOWN
"""`seen_at_ms` of a write that is no proof of life: the connection may be silently dead, and what it misses has to be found."""


class PresentStore(PresenceStore, ConversationStore, BlockStore, Protocol):
    """The presence of users, and where it is told."""


@dataclass(slots=True)
class _Wanted:
    """What the store should say about one user, and what waits for it."""

    is_present: bool
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
        self._written: set[UserId] = set()  # or about to be
        self._reaping = BoundedDict[str, dict[UserId, int]](_MAX_REAPING)  # entry of a dead run -> users whom a call takes out
        self._heard: dict[UserId, int] = {}  # the last proof that a user was shown what had come, by the store's clock
        self._leaving: list[tuple[float, UserId]] = []
        self._due: dict[UserId, float] = {}
        self._conversations: dict[UserId, tuple[ConversationId, ...]] = {}
        self._writer: asyncio.Task[None] | None = None

    def expect(self, user_id: UserId) -> None:
        """A connection of the user is being opened: a grace period that ends meanwhile does not count."""
        self._due.pop(user_id, None)

    async def arrived(self, user_id: UserId, opened_at: float) -> None:
        """A connection of the user was accepted at that time (monotonic seconds); returns once the store knows."""
        self._due.pop(user_id, None)
        if user_id in self._written and user_id not in self._wanted:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._want(user_id, is_present=True, seen_at_ms=self._store_clock.at(opened_at), waiter=waiter)
        await waiter

    def heard(self, user_id: UserId, at: float) -> None:
        """A connection of the user was live until then (monotonic seconds): what had come was shown on it.

        A connection that was never live is no proof: it has not shown what the user missed before.
        """
        self._heard[user_id] = max(self._store_clock.at(at), self._heard.get(user_id, _NOT_HEARD))

    def left(self, user_id: UserId) -> None:
        """The user's last connection here ended; the store hears of it after the grace period."""
        due = self._clock.monotonic() + self._grace_seconds
        self._due[user_id] = due
        heapq.heappush(self._leaving, (due, user_id))

    def missed(self, user_id: UserId, opened_at: float) -> None:
        """A connection of the user, opened at that time (monotonic seconds), ended before the store was told of it.

        While it was open, instances did not notify the user. So the user is made present all the same: what came since is looked
        through when the store calls the user offline.
        """
        if user_id not in self._written and all(each.is_ended for each in self._hub.connections_of(user_id)):
            self._want(user_id, is_present=True, seen_at_ms=self._store_clock.at(opened_at))
            self.left(user_id)

    def leaving(self) -> dict[UserId, int]:
        """Users who have left, as long as the store says that they are present, and when they were last heard (store's Unix
        milliseconds): 5,000 at most, first the users that are being written, then the latest."""
        writing = [(user_id, wanted.seen_at_ms) for user_id, wanted in self._wanted.items() if not wanted.is_present]
        waiting = [(due, user_id) for due, user_id in self._leaving if self._due.get(user_id) == due]
        latest = [(user_id, self._heard.get(user_id, _NOT_HEARD)) for _, user_id in heapq.nlargest(_MAX_LEAVING, waiting)]
        return dict((writing + latest)[:_MAX_LEAVING])

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
            due, user_id = heapq.heappop(self._leaving)
            if self._due.get(user_id) == due:
                del self._due[user_id]
                self._want(user_id, is_present=False, seen_at_ms=self._heard.get(user_id, _NOT_HEARD))

    def certain(self) -> list[UserId]:
        """Those connected here who stand in the store under this run, as far as we know, with nothing under way."""
        return [user_id for user_id in self._hub.users if user_id in self._written and user_id not in self._wanted]

    def release(self, user_ids: Iterable[UserId], heard_at_ms: int) -> int:
        """Of users present in the store under this run, remove those that are not here and not within the grace; how many.

        `heard_at_ms`: when such a user was last known to be here, by the store's clock.
        """
        absent = [u for u in user_ids if not (self._hub.count_of(u) or u in self._due or u in self._wanted)]
        for user_id in absent:
            self._want(user_id, is_present=False, seen_at_ms=heard_at_ms)
        return len(absent)

    def restore(self, user_ids: Iterable[UserId]) -> int:
        """Users whose presence was certain, and whom the store does not have: if they are still here they are added again; how
        many."""
        wanted = frozenset(user_ids)
        lost = [user_id for user_id in self.certain() if user_id in wanted]
        for user_id in lost:
            self._want(user_id, is_present=True, seen_at_ms=_NOT_HEARD)
        return len(lost)

    async def written(self, within_seconds: float) -> None:
        """Wait until nothing is being written, at most so long."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=within_seconds)

    async def reap(self, entry: str, alive_at_ms: int, left: Mapping[UserId, int]) -> None:
        """Remove a dead run from the presence of its users, and tell which of them are offline by that.

        Args:
            alive_at_ms: the last proof of its life, by the store's clock. It counts for users who had not left, also where no
                connection of theirs was live yet.
            left: when those were last heard who had left it before.

        Raises:
            StoreError: it has to be tried again.
        """
        while seen := self._reaping.get(entry) or await self._left_on(entry, alive_at_ms, left):
            self._reaping[entry] = seen  # a call that failed may have removed them: only its repetition returns these changes
            self._tell(await self._store.remove_presence(entry, seen))
            self._reaping.pop(entry, None)

    async def _left_on(self, entry: str, alive_at_ms: int, left: Mapping[UserId, int]) -> dict[UserId, int]:
        user_ids = await self._store.users_on(entry, _BATCH)
        return {user_id: min(left.get(user_id, alive_at_ms), alive_at_ms) for user_id in user_ids}

    def _want(
        self,
        user_id: UserId,
        *,
        is_present: bool,
        seen_at_ms: int,
        waiter: "asyncio.Future[None] | None" = None,
    ) -> None:
        earlier = self._wanted.get(user_id)
        waiters = list(earlier.waiters) if earlier is not None else []  # callers of a running write have their own list
        if waiter is not None:
            waiters.append(waiter)
        self._wanted[user_id] = _Wanted(is_present, seen_at_ms, waiters)
        if self._writer is None or self._writer.done():
            self._writer = self._tasks.start(self._write_all())

    async def _write_all(self) -> None:
        """A user who cannot be written is found by going one by one, and left to the presence reconciler."""
        size = _BATCH
        await self._identity.is_written.wait()
        while batch := dict(list(self._still_wanted().items())[:size]):
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

    def _still_wanted(self) -> dict[UserId, _Wanted]:
        """A run that was declared dead adds no user: no other one looks for that entry. Its connections wait till it ends."""
        if self._identity.declared_dead.is_set():
            self._wanted = {user_id: wanted for user_id, wanted in self._wanted.items() if not wanted.is_present}
        return self._wanted

    async def _write(self, batch: dict[UserId, _Wanted]) -> None:
        """Write one group."""
        run = self._identity.run
        coming = {user_id: wanted.seen_at_ms for user_id, wanted in batch.items() if wanted.is_present}
        going = {user_id: wanted.seen_at_ms for user_id, wanted in batch.items() if not wanted.is_present}
        if coming:
            self._written.update(coming)  # before it is written: a write whose answer is lost may stand
            self._tell(await self._store.add_presence(run, coming))  # at once: a repetition returns no change
        if going:
            self._tell(await self._store.remove_presence(run, going))
            self._written.difference_update(going)
        for user_id in going:
            if not self._hub.count_of(user_id):
                self._conversations.pop(user_id, None)
                self._heard.pop(user_id, None)

    def _tell(self, changes: Iterable[PresenceChange]) -> None:
        """Of a user whose conversations are not known here the store is asked for them."""
        gone = []
        for change in changes:
            self._publisher.tell(change, self._conversations.get(change.user_id))
            if not change.online:
                gone.append(change.user_id)
        if gone:
            self._on_offline(gone)
