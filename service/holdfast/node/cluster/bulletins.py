"""The slow path between instances: the latest commits of each, kept in the store and read where the fast path may have failed.

A bulletin is written with the heartbeat, every 3 s. It is written within 250 ms when the mode changes, and once a second while
the mode is not ok and the content changed. All bulletins are read every second while our own fast path is gone (and 10 s longer)
or may not reach all instances (`split`). They are read at once and 4 s later after a resubscription, and every 15 s in any case,
so no gap outlives 20 s, whatever its cause. Bulletins of instances whose own fast path is gone are read every 2 s.
"""

import asyncio
import contextlib
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import ConversationId, InstanceId, UserId
from holdfast.errors import StoreError
from holdfast.loops import STORE, Loop
from holdfast.node.cluster.above import Above
from holdfast.node.cluster.lease import Lease
from holdfast.node.cluster.own_bulletin import BEAT_SECONDS, OwnBulletin
from holdfast.node.cluster.redis_trust import RedisTrust
from holdfast.node.cluster.window import ROOM_BYTES, Window, bytes_of
from holdfast.ports import Clock, RunStore

_BUSY_SECONDS: Final = 300.0  # bulletins that name 5,000 changes of members each: a read of the store for most of them
_TICK_SECONDS: Final = 0.25
_CHANGED_SECONDS: Final = 1.0
_READ_SECONDS: Final = 1.0
_UNWELL_SECONDS: Final = 2.0  # an instance without Redis writes once a second: others learn of its commits within 5 s
_AFTER_RECOVERY_SECONDS: Final = 10.0
_ANTI_ENTROPY_SECONDS: Final = 15.0
_SECOND_LOOK_SECONDS: Final = 4.0  # a commit that was under way at the first look has its bulletin by then


class Bulletins:
    """Lives in the event loop; of `loops` one writes and one reads.

    Reading must not delay the beat: without it the others take this instance for dead.

    Attributes:
        latest: when all bulletins were asked for last (monotonic seconds), and the answer.
        told_at: a written bulletin contains everything that was noted before that time (monotonic seconds).
    """

    def __init__(
        self,
        store: RunStore,
        clock: Clock,
        lease: Lease,
        redis_trust: RedisTrust,
        own: OwnBulletin,
        above: Above,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lease = lease
        self._identity = lease.identity
        self._redis_trust = redis_trust
        self._above = above
        self._own = own
        self.window = Window()
        self._beat = 0
        self._turn = asyncio.Lock()
        self._asked = self._answered = 0
        self._written_mode = ""
        self._written_as: tuple[InstanceId, str] | None = None
        self._is_ended = False
        self.latest: tuple[float, list[Bulletin]] = (float("-inf"), [])
        self._written_at = -BEAT_SECONDS
        self._written_changes = 0
        self.told_at = -BEAT_SECONDS
        self._read_at = clock.monotonic()
        self._unwell_read_at = -_UNWELL_SECONDS
        self._look_at: list[float] = []
        self._unwell_until = 0.0
        self._losses = redis_trust.losses.count

    @property
    def is_prompt(self) -> bool:
        """The store takes the bulletins of this instance promptly: one that comes late is late for another reason."""
        return self._own.is_prompt

    def write_soon(self) -> None:
        """Others, or this instance, may know by nothing else that this instance lives."""
        self._written_as = None

    def look_soon(self) -> None:
        """Envelopes may have been missed: read all bulletins now and once more a little later."""
        now = self._clock.monotonic()
        self._look_at = [now, now + _SECOND_LOOK_SECONDS]

    async def write_last(self) -> None:
        """Once more at the end: the run ended in order. Whichever instance takes its users offline knows when each was heard."""
        self._is_ended = True
        await self._write()

    async def write_first(self, conversation_id: ConversationId, user_ids: tuple[UserId, ...]) -> None:
        """Before a change of which only the bulletin can tell: these users' lists may be other ones soon.

        Raises:
            StoreError: it is not written.
        """
        self.window.note_members(conversation_id, 0, user_ids, self._clock.monotonic())
        await self._insist()

    @property
    def loops(self) -> tuple[Loop, Loop]:
        """Write and read when it is time."""
        return (
            Loop("bulletins_write", self._writing_round, BEAT_SECONDS, needs=(STORE,), is_vital=True),
            Loop("bulletins_read", self._reading_round, _UNWELL_SECONDS, needs=(STORE,), busy_seconds=_BUSY_SECONDS),
        )

    async def _writing_round(self) -> None:
        while not self._is_time_to_write():  # noqa: ASYNC110 - time makes it true, among other things
            await asyncio.sleep(_TICK_SECONDS)
        await self._insist()

    async def _reading_round(self) -> None:
        while not (is_all := self._is_time_to_read()):
            if self._clock.monotonic() - self._unwell_read_at >= _UNWELL_SECONDS:
                break
            await asyncio.sleep(_TICK_SECONDS)
        await self._read(only_unwell=not is_all)

    def _is_time_to_write(self) -> bool:
        age = self._clock.monotonic() - self._written_at
        mode = self._told_mode()
        if self._written_as != (self._identity.instance_id, self._lease.server):
            return True  # an instance that dies now is reaped under this name
        has_changed = self.window.changes != self._written_changes
        return mode != self._written_mode or age >= BEAT_SECONDS or (mode != "ok" and has_changed and age >= _CHANGED_SECONDS)

    def _told_mode(self) -> str:
        """What we committed while our fast path was gone is looked for a little longer, however short that was."""
        mode, losses, now = self._redis_trust.mode, self._redis_trust.losses.count, self._clock.monotonic()
        if mode != "ok" or losses != self._losses:
            self._losses = losses
            self._unwell_until = now + _AFTER_RECOVERY_SECONDS
        return "recovering" if mode == "ok" and now < self._unwell_until else mode

    def _is_time_to_read(self) -> bool:
        now = self._clock.monotonic()
        age = now - self._read_at
        if self._look_at and self._look_at[0] <= now:
            self._look_at.pop(0)
            return True
        is_in_doubt = now < self._unwell_until or self._redis_trust.is_in_doubt
        return age >= _ANTI_ENTROPY_SECONDS or (is_in_doubt and age >= _READ_SECONDS)

    async def _write(self) -> None:
        with contextlib.suppress(StoreError):
            await self._insist()

    async def _insist(self) -> None:
        self._asked += 1
        mine = self._asked
        async with self._turn:  # of two under way at once the older one could be the one that stays
            if self._answered < mine:  # else one that was begun after we asked is written
                asked = self._asked
                await self._write_now()
                self._answered = asked

    async def _write_now(self) -> None:
        now, mode = self._clock.monotonic(), self._told_mode()
        self._beat += 1
        changes, left = self.window.changes, self._above.users_within_grace()
        bulletin = Bulletin(
            instance_id=self._identity.instance_id,
            epoch=self._identity.epoch,
            run=self._identity.run,
            beat=self._beat,
            mode=mode,
            left=left,
            server=self._lease.server,
            is_cut=self._lease.is_cut,
            is_out=self._redis_trust.isolation.is_out,
            is_ended=self._is_ended,
            beats=True,
            **self.window.contents(now, ROOM_BYTES - bytes_of(left)),
        )
        self._written_at = now
        await self._own.write(bulletin)
        self._written_changes = changes
        self.told_at = now
        self._written_mode, self._written_as = mode, (bulletin.instance_id, bulletin.server)

    async def _read(self, *, only_unwell: bool) -> None:
        self._unwell_read_at = now = self._clock.monotonic()
        if not only_unwell:
            self._read_at = now
        bulletins = await self._store.read_bulletins(only_unwell=only_unwell)
        if not only_unwell:
            self.latest = (now, bulletins)
        others = [bulletin for bulletin in bulletins if bulletin.run != self._identity.run]
        self._redis_trust.judge(others, now, is_complete=not only_unwell)
        await self._above.take_bulletins(others)
