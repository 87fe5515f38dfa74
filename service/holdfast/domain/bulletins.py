"""The bulletin: what an instance committed lately, kept in the store; the slow path between instances."""

from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.ids import ConversationId, Epoch, InstanceId, RunId, Seq, UserId, run_id

LOST: Final = "lost"
_BY_NAME: Final = RunId("")


@dataclass(frozen=True, slots=True)
class BulletinVersion:
    """What a write of a bulletin left in the store: the version of the document, and when that was (store's Unix ms)."""

    version: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class StandingBulletin:
    """What the store holds under a run, as far as the run itself needs it.

    Attributes:
        beat: None where the document cannot be read.
        is_dead, is_ended: as in the bulletin.
    """

    version: str
    beat: int | None
    is_dead: bool
    is_ended: bool = False


@dataclass(frozen=True, slots=True)
class Bulletin:
    """The bulletin of one run.

    Attributes:
        instance_id: the name of the instance now: its `INSTANCE_ID`, unless a younger process has that.
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
        earlier: only of an instance of an older version: what else stands in `on` of its users -> when that epoch was last alive
            (store's clock; 0: as this bulletin).
        overflow: there were more heads, members or users than fit (5,000 of each, 950,000 bytes): compare with the store instead.
        run: whose it is; never another one in the life of the run.
        is_ended: the run ended in order, and this is its last bulletin.
        beats: it publishes heartbeats over Redis; instances of an older version do not say so.
        is_dead: another instance declared the run dead; the rest is as the run wrote it last.
        is_older: an instance of an older version wrote it: under its name, whatever stood there.
        written_at_ms: when the run wrote it, by the store's own clock (Unix milliseconds); filled in by reading.
        version: of the document, as the store tells it; filled in by reading.
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
    run: RunId = _BY_NAME
    is_ended: bool = False
    beats: bool = False
    is_dead: bool = False
    is_older: bool = False
    written_at_ms: int = 0
    version: str = ""

    def __post_init__(self) -> None:
        """A run is named after its instance, unless the instance had to take another name since."""
        if not self.run:
            object.__setattr__(self, "run", run_id(self.instance_id, self.epoch))

    @property
    def key(self) -> str:
        """The name of its document."""
        return self.instance_id if self.is_older else self.run

    @property
    def entries(self) -> dict[str, int]:
        """The entries in `on` of its users, and when each of those was last alive (store's clock)."""
        return {self.run: self.written_at_ms} | {entry: ms or self.written_at_ms for entry, ms in self.earlier.items()}

    @property
    def stored_earlier(self) -> dict[str, int]:
        """`earlier` as it is written. Instances of an older version take the name of the document for a name of an instance, and
        find the users of a dead run only by what stands here.
        """
        return self.entries if self.is_dead else {self.run: 0} | self.earlier

    def is_harmless_at(self, server: str) -> bool:
        """All its changes went through that Redis, or it made no change since it lost Redis (at its start, for example).

        Args:
            server: as in the bulletin; where one of the two is not known, they count as the same.
        """
        return self.mode != LOST and (not server or self.server in ("", server))
