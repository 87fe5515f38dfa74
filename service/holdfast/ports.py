"""The table of contents: what one instance needs from the outside, each method with its promise.

Adapters implement these; `node` knows nothing else of Redis, Firestore or sockets. Every method that waits is bounded by
its adapter's deadline and raises only what its docstring names (`holdfast.errors`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Conversation, LastMessage, Membership, NewConversation, PageKey
from holdfast.domain.ids import ConnectionId, ConversationId, Epoch, InstanceId, Seq, UserId
from holdfast.domain.messages import Draft, Message, Settlement
from holdfast.domain.notifications import CatchUp, Notification
from holdfast.domain.presence import Presence, PresenceChange
from holdfast.domain.registry import ConnectionRecord, InstanceLease


class Clock(Protocol):
    """Time, so that tests own it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for every wait, age and deadline."""
        ...

    def now_ms(self) -> int:
        """Wall clock in Unix milliseconds; for what people read, never for decisions between machines."""
        ...


class Transport(Protocol):
    """The way out of one socket. Never blocks: what the peer does not take waits in a bounded buffer."""

    def write(self, data: bytes) -> None:
        """Append encoded WebSocket frames. After the end it does nothing."""
        ...

    async def writable(self) -> None:
        """Wait until the buffer has room again, or the end. For replay only: nobody else ever waits for a client."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Say why in an `error` frame where the code stands for one, send a close frame, end within a second. Idempotent."""
        ...


class DependencyWatch(Protocol):
    """Where an adapter reports how its outside system behaves; health is made of it. Never blocks, never raises."""

    def succeeded(self, latency_seconds: float) -> None:
        """A call was answered."""
        ...

    def failed(self, reason: str, *, is_timeout: bool) -> None:
        """A call was refused, reset, or not answered in time."""
        ...


class MessageStore(Protocol):
    """Durable truth. Firestore in production, SQLite embedded; the same contract suite runs over both.

    Every method raises `StoreUnavailable` (or `StoreTimeout`) when it cannot tell, within the adapter's deadline (2 s), and
    `StoreDenied` for wrong credentials or addresses. Reads are strongly consistent: they see every write acknowledged before
    they began, by any process. Writes that promise idempotence may be repeated after an ambiguous error.
    """

    @property
    def name(self) -> str:
        """`firestore` or `sqlite`; the key of `services` in `/api/health`."""
        ...

    async def open(self) -> None:
        """First contact: connects, creates what is missing (schema, `meta/generation`). May be repeated until it succeeds."""
        ...

    async def close(self) -> None:
        """Release everything. Calls under way end with `StoreUnavailable`."""
        ...

    async def probe(self) -> None:
        """One cheap strongly consistent read."""
        ...

    async def generation(self) -> str:
        """The id in `meta/generation`: changes when the store was restored or replaced. Created once, atomically."""
        ...

    # --- messages -------------------------------------------------------------------------------------------------

    async def append(self, conversation_id: ConversationId, first_seq: Seq, drafts: Sequence[Draft], sent_at_ms: int) -> None:
        """Atomically create the messages `first_seq … first_seq + len(drafts) - 1` and their `sends` records.

        One attempt, no retry inside. The caller passes distinct keys and at most 200 drafts.

        Raises:
            StoreConflict: one of those seqs or keys exists; nothing was written.
            StoreRejected: the content was refused; nothing was written.
            StoreUnavailable: it may have been written, now or a little later.
        """
        ...

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """The tail, and what is stored under each of `keys`, with the tail read no earlier than the keys."""
        ...

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """The true tail of each conversation; `known` is a seq that its tail is believed not to be below (0 if nothing is known).

        Cheap where `known` is right (one read per conversation, many in one call); correct where it is not: a tail
        below `known` (the store was restored) is found as well.
        """
        ...

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """Up to `limit` (≤ 500) messages between exclusive bounds, ascending.

        With `after_seq` the first ones after it; otherwise the last ones (before `before_seq`, where given).
        """
        ...

    # --- conversations --------------------------------------------------------------------------------------------

    async def create_conversation(self, new: NewConversation) -> tuple[Conversation, bool]:
        """Create it unless its id exists; (what is stored, whether this call created it). Idempotent."""
        ...

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation, or None."""
        ...

    async def update_conversation(
        self, conversation_id: ConversationId, *, title: str | None, metadata_json: str | None
    ) -> Conversation | None:
        """Replace title and metadata and raise `revision`, atomically; None when there is no such conversation."""
        ...

    async def change_member(
        self, conversation_id: ConversationId, user_id: UserId, *, is_member: bool, max_members: int
    ) -> tuple[Conversation, bool] | None:
        """Add or remove one member; `membersVersion` and `revision` rise in the same write. Idempotent.

        Returns (the conversation after, whether this changed anything), or None when there is no such conversation.

        Raises:
            CommandError: `limit_reached` (field `members`) when it would grow beyond `max_members`.
        """
        ...

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """Every conversation of a user (at most a few thousand), most recently active first."""
        ...

    async def count_memberships(self, user_id: UserId) -> int:
        """How many conversations a user is in."""
        ...

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """A user's conversations, newest activity first (then id, descending), strictly after `after`."""
        ...

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """Hint `lastSeq`, `lastMessage` and `lastMessageAt`; older hints never replace newer ones. Creates no conversation."""
        ...

    # --- read cursors ---------------------------------------------------------------------------------------------

    async def advance_cursors(
        self,
        conversation_id: ConversationId,
        cursors: Mapping[UserId, Seq],
        read_by: Mapping[Seq, Sequence[UserId]],
    ) -> dict[UserId, Seq]:
        """Move read cursors forward and add users to `readBy` of the messages named; one batch, idempotent, commutative.

        Returns the cursors as committed: never below what was asked, possibly above.
        """
        ...

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """The read cursor of everyone who has one in this conversation."""
        ...

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """One user's read cursors; conversations without one are absent."""
        ...

    # --- presence -------------------------------------------------------------------------------------------------

    async def add_presence(self, entry: str, user_ids: Sequence[UserId], seen_at_ms: int) -> list[PresenceChange]:
        """Put `entry` into `on` of each user (distinct, ≤ 200) and set `online`; return those who came online by it.

        Under a precondition on what was read, retried inside: a concurrent removal by another instance is never lost.
        Idempotent; a change whose reply was lost is still returned by the call that made it.
        """
        ...

    async def remove_presence(self, entry: str, user_ids: Sequence[UserId], seen_at_ms: int) -> list[PresenceChange]:
        """Take `entry` out of `on` of each user (distinct, ≤ 200); return those whose `on` became empty: they are offline now.

        `lastSeen` becomes the larger of what is stored and `seen_at_ms`. The same write sets `catchup` for those who went
        offline: nobody can die between the two. Same conditions as `add_presence`.
        """
        ...

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Presence of each user asked for; someone never seen is offline."""
        ...

    async def users_on(self, entry: str, limit: int) -> list[UserId]:
        """Users whose `on` holds `entry`: whom a dead epoch left behind."""
        ...

    # --- offline notifications ------------------------------------------------------------------------------------

    async def messages_since(self, conversation_id: ConversationId, since_ms: int, limit: int) -> list[Message]:
        """The last `limit` (≤ 500) messages that were committed at or after `since_ms` by the store's own clock, ascending."""
        ...

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """Up to `limit` users whose `catchup` flag is still set."""
        ...

    async def finish_catch_up(self, done: CatchUp) -> None:
        """Clear the flag, unless the user went offline again since (`since_ms` differs). Idempotent."""
        ...

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """Create each record unless its id exists (≤ 200, distinct ids); those that this call created. Idempotent."""
        ...

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """Up to `limit` records that are due to be pushed, oldest first; nobody else gets them for `hold_seconds`.

        `attempts` is counted by the claim, so that a process which dies while pushing has used one up.
        """
        ...

    async def mark_notification(self, notification_id: str, state: str, retry_in_seconds: float = 0.0) -> None:
        """What became of a claimed record: `sent`, `pending` (again after `retry_in_seconds`) or `dead`. Idempotent."""
        ...

    async def clear_notification(self, notification_id: str) -> None:
        """Forget a record, so that a later message makes a new one (large conversations, once the user has read). Idempotent."""
        ...

    # --- bulletins and revocations --------------------------------------------------------------------------------

    async def write_bulletin(self, bulletin: Bulletin) -> int:
        """Replace this instance's bulletin; when that was, by the store's own clock (Unix milliseconds)."""
        ...

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """Everybody's bulletins, or only those whose `mode` is not `ok`: a small query, asked every 2 s by everyone."""
        ...

    async def remove_bulletin(self, instance_id: InstanceId, epoch: Epoch) -> None:
        """Remove an instance's bulletin if it is of that epoch. Idempotent."""
        ...

    async def revoke(self, user_id: UserId, not_before: int) -> None:
        """Refuse the user's tokens issued before `not_before` (Unix seconds); never moves back. Idempotent."""
        ...

    async def read_revocations(self, since: int) -> dict[UserId, int]:
        """Every revocation with `not_before >= since` (Unix seconds)."""
        ...


class Notifier(Protocol):
    """The way out of offline notifications: a push service, or the log."""

    async def push(self, notification: Notification) -> None:
        """Hand one over, at least once; `notification_id` lets the receiver drop a repetition. Bounded by its own deadline.

        Raises:
            PushFailed: it was not taken; `is_final` says whether trying again is useless.
        """
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...


class ClusterBus(Protocol):
    """Instance to instance, through Redis: at most once, unordered, possibly repeated. Nobody may rely on it.

    It supervises itself: connects, finds out by an in-band echo when it is deaf, reconnects with jitter, resubscribes. None of
    its methods raises for Redis's sake.
    """

    @property
    def is_live(self) -> bool:
        """An echo came back within the last 1.5 s, and nothing wanted has been unconfirmed for more than a second."""
        ...

    @property
    def channels(self) -> frozenset[str]:
        """The channels whose subscription is confirmed on the connection as it is."""
        ...

    async def start(
        self,
        on_envelope: Callable[[str, bytes], None],
        on_subscribed: Callable[[], None],
        on_liveness: Callable[[bool, str], None],
    ) -> None:
        """Begin supervising; returns at once, whether Redis is there or not.

        Args:
            on_envelope: called in the loop with (channel, payload) for each message of a wanted channel, echoes excluded.
            on_subscribed: called after every (re)connection once all wanted channels are confirmed: compare with the store now.
            on_liveness: called on each turn of `is_live`, with the reason when it is lost.
        """
        ...

    async def close(self) -> None:
        """Send what is queued (bounded, 1 s), then disconnect."""
        ...

    async def subscribe(self, channels: Iterable[str]) -> bool:
        """Want these channels; True once Redis confirmed all of them, False after 1 s or without Redis (they stay wanted)."""
        ...

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Want them no more."""
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

    async def mark_dirty(self, entry: str) -> bool:
        """Record `conversation|instance|epoch|batch` (or `user:{id}|…`) as not yet published; whether Redis took it.

        Waits at most 100 ms, and not at all while Redis is known to be away.
        """
        ...

    def publish_commit(
        self,
        conversation_id: ConversationId,
        first_seq: Seq,
        messages: Sequence[bytes],
        envelope: bytes,
        dirty_entry: str | None,
    ) -> None:
        """Queue one script: add `messages` (encoded frames) to `recent:{c}`, trim, TTL, PUBLISH on `conversation:{c}`,
        remove `dirty_entry`. Sent like `publish`.
        """
        ...

    def clear_dirty(self, entry: str) -> None:
        """Remove a mark: one's own, or one whose owner is dead."""
        ...

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        """Up to `limit` entries marked longer ago than that, by Redis's clock, oldest first; empty without Redis.

        Atomic: what one instance gets, nobody gets for the next `hold_seconds`. The entries stay until `clear_dirty`.
        """
        ...

    async def recent(self, conversation_id: ConversationId, after_seq: Seq) -> list[tuple[Seq, bytes]]:
        """Encoded messages after `after_seq` that Redis still has, ascending; holes and nothing at all are possible."""
        ...


class ConnectionRegistry(Protocol):
    """Who is connected where, in Redis. An index: the instances can rebuild all of it.

    Raises `RedisUnavailable` (or `RedisTimeout`) within the deadline, `LeaseLost` when this instance's lease is missing or
    foreign, `WorldChanged` when Redis is not the one it was. After either: `acquire` again, then register everything.
    """

    async def acquire(self, state: str) -> Epoch:
        """Take the lease under a new epoch, whatever was there, and remember the world (creating it when there is none).

        What an earlier start of the same name left in the registry is removed first.
        """
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

    async def unregister(self, user_id: UserId, connection_id: ConnectionId) -> None:
        """Remove one connection, and `user:{id}` from the subscriptions when it was this instance's last of that user.

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

    async def reap(self, instance_id: InstanceId) -> tuple[Epoch | None, list[UserId]]:
        """Remove what a gone instance left: only if its lease is still gone, field by field, comparing epochs.

        Returns the epoch it last had, where known, and the users who lost a connection by it.
        """
        ...
