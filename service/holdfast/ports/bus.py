"""From instance to instance: publications through Redis."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.domain.ids import ConversationId, InstanceId, Seq, UserId
from holdfast.loops import Loops

FLEET: Final = "control:.fleet"
"""The channel of the heartbeats of all instances. A Redis user that may use the channels `control:*` may use it: rights that an
operator gave to an older version suffice."""


@dataclass(frozen=True, slots=True)
class PublishedCommit:
    """Messages of one conversation that were committed together, as they are told in Redis.

    Attributes:
        messages: encoded frames, from `first_seq` on.
        generation: of the store; what another one left in `recent:{c}` goes.
    """

    conversation_id: ConversationId
    first_seq: Seq
    messages: Sequence[bytes]
    envelope: bytes
    generation: str


@dataclass(frozen=True, slots=True)
class PublishedChange:
    """A change of a conversation, as it is told in Redis.

    Attributes:
        revision, member_count: what the rosters of all its members say from then on.
        affected: users whose list of conversations changed: their rosters go.
        generation: of the store.
    """

    conversation_id: ConversationId
    revision: int
    member_count: int
    envelope: bytes
    affected: Sequence[UserId]
    generation: str


class Bus(Protocol):
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

    def publish_commit(self, commit: PublishedCommit) -> None:
        """Queue one script: add the messages to `recent:{c}`, trim, TTL, PUBLISH on `conversation:{c}`.

        Sent like `publish`.
        """
        ...

    def publish_change(self, change: PublishedChange) -> None:
        """Queue one script: PUBLISH on `conversation:{c}` and on `user:` of those affected, delete their rosters.

        Sent like `publish`. An instance that subscribes before it reads a roster either does not find it or receives the
        envelope.
        """
        ...
