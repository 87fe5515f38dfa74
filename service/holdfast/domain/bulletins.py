"""The bulletin: what an instance committed lately, kept in the store; the slow path between instances."""

from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.ids import ConversationId, Epoch, InstanceId, Seq, UserId
from holdfast.domain.presence import presence_entry

LOST: Final = "lost"


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One instance's bulletin.

    Attributes:
        beat: rises every 3 s; alive means that it changed, as seen on the observer's own monotonic clock.
        mode: `ok`, or why this instance's fast path does not work (`redis`, `bus`), that something it wrote to Redis was lost or
            may be and the others there do not know (`lost`), that others use another Redis (`split`), or that it has worked
            for a few seconds only (`recovering`).
        server: which start of which Redis its lease is in, or was in the last 11 minutes; empty while that is not known.
        is_cut: that Redis did not answer the last time.
        is_out: it takes no new connections: it starts, drains, or stays out of the Service for lack of Redis.
        heads: highest seq committed or published per conversation, of the last 60 s.
        members: members' version per conversation changed in the last 60 s.
        users: users whose list of conversations changed in the last 60 s.
        receipts: `"conversation_id|user_id"` -> last read seq, of the last 60 s.
        left: users whose last connection here has ended and whose grace is not over -> when they were last heard (store's clock).
        earlier: what stands in `on` of users of earlier epochs who are still to be moved to this one, or to be taken out -> when
            that epoch was last alive (store's clock; 0: as this bulletin).
        overflow: there was more than fits (5,000 entries): compare with the store instead.
        written_at_ms: when it was written, by the store's own clock (Unix milliseconds); filled in by reading.
    """

    instance_id: InstanceId
    epoch: Epoch
    beat: int
    mode: str
    heads: dict[ConversationId, Seq] = field(default_factory=dict)
    members: dict[ConversationId, int] = field(default_factory=dict)
    users: tuple[UserId, ...] = ()
    receipts: dict[str, Seq] = field(default_factory=dict)
    left: dict[UserId, int] = field(default_factory=dict)
    earlier: dict[str, int] = field(default_factory=dict)
    overflow: bool = False
    server: str = ""
    is_cut: bool = False
    is_out: bool = False
    written_at_ms: int = 0

    @property
    def entries(self) -> dict[str, int]:
        """The entries in `on` of its users, and when each of those epochs was last alive (store's clock)."""
        own = {presence_entry(self.instance_id, self.epoch): self.written_at_ms}
        return own | {entry: ms or self.written_at_ms for entry, ms in self.earlier.items()}

    def is_harmless_at(self, server: str) -> bool:
        """All its changes went through that Redis, or it made no change since it lost Redis (at its start, for example).

        Args:
            server: as in the bulletin; where one of the two is not known, they count as the same.
        """
        return self.mode != LOST and (not server or self.server in ("", server))
