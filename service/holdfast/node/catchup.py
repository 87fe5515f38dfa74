"""What came for a user between the last proof of life and the moment when the store calls them offline.

The write of `online: false` sets a flag with it; here the flag's work is done and the flag cleared. A flag that stays because
an instance died in between is found by the sweep of every instance. The store is asked about each conversation of the user:
the hint of a conversation's activity only orders the work.

Why no message is lost: its own decision (`notifications`) reads presence after its commit. If that still said online, the flag
was written after the commit, and every read after the flag sees the message. An older answer, that of Redis, is believed for
less than a grace, so the flag follows that decision too. Records that exist already make a repetition harmless.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.domain.conversations import Membership
from holdfast.domain.ids import Seq, UserId
from holdfast.domain.notifications import IN_FLIGHT_MS, MAX_RECORD_MEMBERS, CatchUp
from holdfast.loops import STORE, Loop
from holdfast.node.notifications import FIRST_PAGE, MAX_RECORDS, Notifications, records_of
from holdfast.ports import Clock, MessageStore

_SWEEP_SECONDS: Final = 15.0
_BUSY_SECONDS: Final = 300.0  # 200 flags, each two reads for every conversation of its user, and what is new in them
_AT_ONCE: Final = 8  # flags
_CONVERSATIONS_AT_ONCE: Final = 4  # of one flag: with 8 flags half of the calls that a store takes at once
_LIMIT: Final = 200
_ASKED: Final = 200  # conversations whose last message is asked for in one call
_AWAY_SECONDS: Final = 1.0  # how long an answer that the user is still away is used; less than `RESTED_SECONDS`

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Absence:
    """A flag, and when the user was last found away (monotonic seconds). `is_over`: the user is back."""

    flag: CatchUp
    read_at: float
    is_over: bool

    @property
    def since_ms(self) -> int:
        """From when on messages are recorded, on the store's clock."""
        return self.flag.since_ms - IN_FLIGHT_MS


class CatchUps:
    """Lives in the event loop; `loop` does the work."""

    def __init__(self, store: MessageStore, notifications: Notifications, clock: Clock) -> None:
        self._store = store
        self._notifications = notifications
        self._clock = clock
        self._wake = asyncio.Event()
        self._pause = _SWEEP_SECONDS

    def look_soon(self) -> None:
        """This instance took a user offline."""
        self._wake.set()

    @property
    def loop(self) -> Loop:
        """Looks whenever a user went offline here, and every 15 s for what other instances left."""
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
        mistakes: list[BaseException] = []
        are_done = True
        for start in range(0, len(flags), _AT_ONCE):
            outcomes = await _all(self._catch_up(flag) for flag in flags[start : start + _AT_ONCE])
            mistakes += [each for each in outcomes if isinstance(each, BaseException)]
            are_done = are_done and all(outcomes)
        if mistakes:  # when all the others had their turn
            raise mistakes[0]
        if not are_done:
            return 1.0
        return 0.1 if len(flags) == _LIMIT else _SWEEP_SECONDS

    async def _catch_up(self, flag: CatchUp) -> bool:
        """Record what the user missed, then clear the flag; False when the flag has to wait for the next round."""
        absence = _Absence(flag, self._clock.monotonic(), await self._is_online(flag.user_id))
        rows = [] if absence.is_over else await self._store.memberships_of(flag.user_id)
        for start in range(0, len(rows), _ASKED):
            some = {row.conversation_id: row for row in rows[start : start + _ASKED]}
            active = await self._store.active_since(absence.since_ms, {c: row.last_seq for c, row in some.items()})
            for begin in range(0, len(active), _CONVERSATIONS_AT_ONCE):
                these = active[begin : begin + _CONVERSATIONS_AT_ONCE]
                outcomes = await _all(self._record(absence, some[c]) for c in these)
                for outcome in outcomes:
                    if isinstance(outcome, BaseException):
                        raise outcome
                if not all(outcomes):
                    return False
        await self._store.finish_catch_up(flag)
        return True

    async def _record(self, absence: _Absence, row: Membership) -> bool:
        """Record what others said in one conversation, page by page from its end; False when this instance stood still."""
        before_seq: Seq | None = None
        limit = FIRST_PAGE
        while True:
            found = await self._store.messages_since(row.conversation_id, absence.since_ms, limit, before_seq)
            theirs = [each.message for each in found if each.message.seq > row.joined_seq]
            records = records_of(theirs, absence.flag.user_id, row.member_count)
            if records and not await self._is_away(absence):
                return True  # back meanwhile: what was missed is replayed
            if not await self._notifications.create(records, absence.read_at):
                return False
            is_told = bool(records) and row.member_count > MAX_RECORD_MEMBERS  # one record, of the last message
            if len(found) < limit or len(theirs) < len(found) or is_told:
                return True
            before_seq, limit = found[0].message.seq, min(4 * limit, MAX_RECORDS)

    async def _is_away(self, absence: _Absence) -> bool:
        """Whether the user has not come back, as the store said within the last second."""
        now = self._clock.monotonic()
        if not absence.is_over and now - absence.read_at >= _AWAY_SECONDS:
            absence.is_over = await self._is_online(absence.flag.user_id)
            absence.read_at = now
        return not absence.is_over

    async def _is_online(self, user_id: UserId) -> bool:
        return (await self._store.read_presence([user_id]))[user_id].online


async def _all(works: Iterable[Coroutine[Any, Any, bool]]) -> list[bool | BaseException]:
    """Await all of them, whatever one meets."""
    return await asyncio.gather(*works, return_exceptions=True)
