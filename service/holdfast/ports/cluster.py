"""The other instances: their publications, and the registry of connections."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.domain.conversations import RosterLook, RosterRow
from holdfast.domain.ids import ConnectionId, ConversationId, Epoch, InstanceId, Seq, UserId
from holdfast.domain.registry import ConnectionRecord, InstanceLease
from holdfast.loops import Loops

RECENT_MESSAGES: Final = 64
"""How many of each conversation Redis keeps, for two minutes."""


@dataclass(frozen=True, slots=True)
class PublishedCommit:
    """Messages of one conversation that were committed together, as they are told in Redis.

    Attributes:
        messages: encoded frames, from `first_seq` on.
        mark: of the commit, done with when it is told; None when there is none in Redis.
        generation: of the store; what another one left in `recent:{c}` goes.
    """

    conversation_id: ConversationId
    first_seq: Seq
    messages: Sequence[bytes]
    envelope: bytes
    mark: str | None
    generation: str


@dataclass(frozen=True, slots=True)
class PublishedChange:
    """A change of a conversation, as it is told in Redis.

    Attributes:
        revision, member_count: what the rosters of all its members say from then on.
        affected: users whose list of conversations changed: their rosters go.
        marks: of the change, done with when it is told.
        generation: of the store.
    """

    conversation_id: ConversationId
    revision: int
    member_count: int
    envelope: bytes
    affected: Sequence[UserId]
    marks: Sequence[str]
    generation: str


class ClusterBus(Protocol):
    """Instance to instance, through Redis: at most once, unordered, possibly repeated.

    No correctness may rest on it. It supervises itself: connects, detects by an in-band echo when it is deaf, reconnects with
    jitter, resubscribes. None of its methods raises because of Redis.
    """

    @property
    def is_live(self) -> bool:
        """It is proven now that everything published before has been heard on the confirmed channels: caches may be believed.

        While this process listens an echo a second proves it; after it stood still for a second, the next echo.
        """
        ...

    @property
    def is_lost(self) -> bool:
        """Redis, or the way to it, does not work: a connection or a publish failed, no byte came for 1.5 s, or no echo for 2.5 s.

        Counted in time in which this process listened. A lost bus is not live; a bus that is neither lost nor live is being
        tested.
        """
        ...

    def subscription(self, channel: str) -> int:
        """Which confirmed subscription of the channel is in force, on the connection as it is; 0 for none.

        The number changes whenever envelopes may have been missed: what was read under one subscription may be believed for as
        long as the same one is in force.
        """
        ...

    async def start(
        self,
        loops: Loops,
        on_envelope: Callable[[str, bytes], None],
        on_subscribed: Callable[[], None],
        on_liveness: Callable[[bool, str], None],
    ) -> None:
        """Begin supervising; returns at once, whether Redis is there or not.

        Args:
            loops: what runs its loops.
            on_envelope: called in the loop with (channel, payload) for each message of a wanted channel, echoes excluded.
            on_subscribed: called after every (re)connection once all wanted channels are confirmed: compare with the store now.
            on_liveness: called on each turn of `is_lost`: whether it is well, and the reason when it is lost.
        """
        ...

    async def close(self) -> None:
        """Send what is queued (bounded, 1 s), then disconnect."""
        ...

    async def subscribe(self, channels: Iterable[str]) -> bool:
        """Want these channels; True once Redis confirmed all of them, False when it is lost meanwhile (they stay wanted)."""
        ...

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Want them no more."""
        ...

    def rename(self, instance_id: InstanceId) -> None:
        """From now on `subscriptions:` and the control channel are those of this name; `record_channels` follows."""
        ...

    def record_channels(self) -> None:
        """Make `subscriptions:{instance_id}` equal to the channels subscribed now; call it after each `acquire`.

        Between such calls the bus keeps the SET in step by itself, `user:` entries excepted (registration owns those).
        """
        ...

    def publish(self, channel: str, envelope: bytes) -> None:
        """Queue one envelope; sent with everything else of this moment in one round trip.

        Dropped, and counted, when the queue is full (10,000).
        """
        ...

    async def mark_dirty(self, *entries: str, within_seconds: float = 0.1) -> bool:
        """Record `conversation|instance|epoch|batch` (or `user:{id}|…`) as not yet done with; whether Redis took it.

        Waits that long at most, and not at all while Redis is known to be away. The default is what an ack may wait.
        """
        ...

    def publish_commit(self, commit: PublishedCommit) -> None:
        """Queue one script: add the messages to `recent:{c}`, trim, TTL, PUBLISH on `conversation:{c}`, remove the mark.

        Sent like `publish`.
        """
        ...

    def publish_change(self, change: PublishedChange) -> None:
        """Queue one script: PUBLISH on `conversation:{c}` and on `user:` of those affected, delete their rosters, remove marks.

        Sent like `publish`. An instance that subscribes before it reads a roster either does not find it or receives the
        envelope.
        """
        ...

    def clear_dirty(self, *entries: str) -> None:
        """Remove marks: one's own, or those whose owner is dead."""
        ...

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """Up to `limit` entries marked longer ago than that, by Redis's clock, oldest first; empty without Redis.

        Atomic: no other instance gets the same entries for the next `hold_seconds`. The entries stay until `clear_dirty`.
        """
        ...

    async def recent(self, conversation_id: ConversationId, after_seq: Seq, generation: str) -> list[tuple[Seq, bytes]]:
        """Encoded messages of this `generation` after `after_seq` that Redis still has (of the last `RECENT_MESSAGES`),
        ascending; holes and nothing at all are possible.
        """
        ...


class RosterCache(Protocol):
    """The conversation list of each user, kept in Redis for ten minutes: reconnecting users are served without a read of the
    store.

    A list is valid only while every change that concerns it reaches the same Redis. Each change deletes the list, also while it
    is being written. Another Redis, a restarted one, another generation of the store or a new era ends all lists. Methods raise
    `RedisUnavailable` within the deadline, unless they say otherwise.
    """

    @property
    def losses(self) -> int:
        """How many of this instance's writes have been lost since its start: each may have been one that others rely on."""
        ...

    async def new_era(self) -> None:
        """Make all rosters invalid that were written before now."""
        ...

    async def look(self, user_id: UserId, generation: str) -> RosterLook:
        """The user's roster; or, where there is none, leave to write one within a minute (`fill`)."""
        ...

    async def fill(self, user_id: UserId, generation: str, leave: str, rows: Sequence[RosterRow]) -> bool:
        """Write the roster, unless something changed since that leave was given; whether it was written.

        What `rows` say must have been read after that. Their `tail`: at least what had been published by then.
        """
        ...

    async def tails(
        self, conversation_ids: Sequence[ConversationId], generation: str, proof: str
    ) -> dict[ConversationId, Seq] | None:
        """The last publication of each; None when `proof` is no longer valid, or Redis has lost one of them.

        The larger of this and of a roster's `tail` is the tail, but for commits whose publication is still to come.
        """
        ...

    async def begin_reads(self, conversation_id: ConversationId, user_ids: Sequence[UserId]) -> str:
        """Read cursors are about to be written: until `end_reads` of the returned name no roster says where they are.

        Raises nothing: what did not reach Redis counts in `losses`.
        """
        ...

    def end_reads(self, name: str, conversation_id: ConversationId, cursors: Mapping[UserId, Seq]) -> None:
        """They were written, and are at least these now. Queued, like `ClusterBus.publish`."""
        ...


class Fates(Protocol):
    """The deaths of instances that Kubernetes has seen, for the reaper.

    Raises `RedisUnavailable` within the deadline. An instance that is reported gone and still lives renews its lease; this
    cancels the report.
    """

    async def ended(self, instance_id: InstanceId) -> bool:
        """The kubelet saw its container end, without a successor under its name: its lease is removed at once.

        Returns whether there was anything to end.
        """
        ...

    async def removed(self, instance_id: InstanceId) -> None:
        """Its pod is gone from the API, which proves nothing of the process: the lease is shortened to 4 s."""
        ...

    async def connections(self) -> dict[InstanceId, int]:
        """How many connections each instance with a lease has."""
        ...


class ConnectionRegistry(Protocol):
    """Which user is connected to which instance, in Redis.

    An index: the instances can rebuild all of it. It raises `RedisUnavailable` (or `RedisTimeout`) within the deadline,
    `LeaseLost` when this instance's lease is missing or foreign, `WorldChanged` when Redis is not the one it was. After either:
    `acquire` again, then register everything.
    """

    @property
    def server(self) -> str:
        """Which start of which Redis took the last `acquire` or `renew`; empty before, and where that may not be asked."""
        ...

    async def acquire(self, state: str, *, may_keep_epoch: bool = False) -> Epoch:
        """Take the lease, and remember the world (creating it when there is none, or when another server made it).

        The first time whatever was there is taken over: a start follows its predecessor. Nothing that was registered before
        under this name counts any more, and it is removed.

        Args:
            may_keep_epoch: go on under the last epoch, where the lease is still there under it or was lost with the world.
                A new epoch is given in every other case.

        Raises:
            NameTaken: we had it before, and a process that started later has it now; nothing was changed.
        """
        ...

    def rename(self, instance_id: InstanceId) -> None:
        """From the next `acquire` on, everything is done under this name."""
        ...

    async def renew(self, state: str, connections: int) -> None:
        """Prolong the lease by 12 s and publish state and count."""
        ...

    async def release(self) -> None:
        """Remove the lease and what is left under it, if it is still ours. Idempotent."""
        ...

    async def register(self, records: Sequence[ConnectionRecord]) -> dict[UserId, int]:
        """Add connections (scripts of 500); how many connections each user has now, everywhere. Idempotent."""
        ...

    async def unregister(self, connections: Sequence[tuple[UserId, ConnectionId]]) -> None:
        """Remove connections, and `user:{id}` from the subscriptions where it was this instance's last of that user.

        Idempotent.
        """
        ...

    async def set_registered(self) -> None:
        """All local connections are in: others may believe our silence about a user."""
        ...

    async def refresh(self, user_ids: Sequence[UserId]) -> None:
        """Renew the hour-long TTL of `connections:` and `subscriptions:`."""
        ...

    async def connections_of(self, user_id: UserId) -> list[ConnectionRecord]:
        """The user's connections whose instance's lease lives with that epoch."""
        ...

    async def instances(self) -> list[InstanceLease]:
        """Every instance that has, or had, a lease."""
        ...

    async def connected(self, user_ids: Sequence[UserId]) -> set[UserId]:
        """Which of them (≤ 1,000) have a connection at some instance whose lease lives."""
        ...

    async def reap(self, instance_id: InstanceId) -> tuple[Epoch | None, list[UserId]] | None:
        """Remove what a gone instance left, field by field, only if its lease is still gone.

        Returns the epoch it last had, where known, and the users who lost a connection by it; None where it has a lease.
        """
        ...
