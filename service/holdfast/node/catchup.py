"""What came for a user between the last proof of life and the moment when the store calls them offline.

Whoever wrote `online: false` set a flag with it; here the flag's work is done and the flag cleared. What stays because somebody
died in between is found by everybody's sweep. A message's own decision (`notifications`) is read after its commit, this one
after the write of the flag: so one of them always sees the other's, and records that exist already make a repetition harmless.
"""

import asyncio
import logging
from typing import Final

from holdfast.domain.ids import UserId
from holdfast.domain.notifications import CatchUp, Notification
from holdfast.loops import STORE, Loop
from holdfast.node.notifications import RESTED_SECONDS, Notifications, records_of
from holdfast.node.store_clock import StoreClock
from holdfast.ports import Clock, MessageStore

_SWEEP_SECONDS: Final = 15.0
_BUSY_SECONDS: Final = 300.0  # 200 flags, each a read for every conversation of its user
_AT_ONCE: Final = 8
_LIMIT: Final = 200
_HINT_LAG_MS: Final = 2_000  # how much older a conversation's hint of activity may be than its last message
_SETTLING_MS: Final = 3_000  # a commit that was under way, and its hint, are in by then
_MAX_MESSAGES: Final = 500  # per conversation

_log = logging.getLogger(__name__)


class CatchUps:
    """Lives in the event loop; `loop` does the work."""

    def __init__(self, store: MessageStore, notifications: Notifications, clock: Clock, store_clock: StoreClock) -> None:
        self._store = store
        self._notifications = notifications
        self._clock = clock
        self._store_clock = store_clock
        self._wake = asyncio.Event()
        self._pause = _SWEEP_SECONDS

    def look_soon(self) -> None:
        """Somebody went offline by our doing."""
        self._wake.set()

    @property
    def loop(self) -> Loop:
        """Looks whenever somebody went offline here, and every 15 s for what others left."""
        return Loop("catch_ups", self._round, _SWEEP_SECONDS, needs=(STORE,), busy_seconds=_BUSY_SECONDS)

    async def _round(self) -> None:
        try:
            async with asyncio.timeout(self._pause):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        self._pause = 1.0  # unless this look succeeds
        self._pause = await self.look()

    async def look(self) -> float:
        """One round over all flags; in how many seconds the next is due.

        Raises:
            StoreError: some flags are left.
        """
        flags = await self._store.catch_ups(_LIMIT)
        due_ms = self._store_clock.now() - _SETTLING_MS
        mistakes: list[BaseException] = []
        due = [flag for flag in flags if flag.since_ms <= due_ms]
        for start in range(0, len(due), _AT_ONCE):
            some = (self._catch_up(flag) for flag in due[start : start + _AT_ONCE])
            mistakes += [each for each in await asyncio.gather(*some, return_exceptions=True) if each is not None]
        if mistakes:  # when all the others had their turn
            raise mistakes[0]
        if len(due) < len(flags):
            return 1.0
        return 0.1 if len(flags) == _LIMIT else _SWEEP_SECONDS

    async def _catch_up(self, flag: CatchUp) -> None:
        records = [] if await self._is_online(flag.user_id) else await self._missed(flag)
        began = self._clock.monotonic()
        if records and await self._is_online(flag.user_id):
            records = []  # back meanwhile: what was missed is replayed
        is_rested = self._clock.monotonic() - began < RESTED_SECONDS
        if is_rested and await self._notifications.create(records, began):
            await self._store.finish_catch_up(flag)  # else we stood still, and the flag waits for the next round

    async def _is_online(self, user_id: UserId) -> bool:
        return (await self._store.read_presence([user_id]))[user_id].online

    async def _missed(self, flag: CatchUp) -> list[Notification]:
        """Records of what others said since, wherever the user is a member now."""
        records: list[Notification] = []
        for row in await self._store.memberships_of(flag.user_id):
            if row.last_active_at_ms >= flag.since_ms - _HINT_LAG_MS:
                messages = await self._store.messages_since(row.conversation_id, flag.since_ms, _MAX_MESSAGES)
                records += records_of(messages, flag.user_id, row.member_count)
        return records
