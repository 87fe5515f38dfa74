"""The offline backfill: messages for a user between the last proof of life and the moment when the store calls the user offline.

The write of `online: false` also sets a flag. The backfill clears the flag when its work is done. If an instance died in between,
the backfill of another instance finds the flag. An instance leaves a flag that another one set alone for some seconds after it
first read it. Then it takes a few of these flags at a time, at random. So instances that work off the many flags of a dead one
seldom take the same.

The store is asked about each conversation of the user: the hint of a conversation's activity only orders the work.

Why no message is lost: the decision about a message (`decision`) reads presence after its commit. If presence still said online,
the flag was written after the commit, and every read after the flag sees the message. Redis may call a user connected for some
seconds after the end of the connection. Where the grace period is shorter than that, the conversations are looked through twice
more: soon after Redis calls the user connected nowhere, and when these seconds are over. Then the instance that took the user
offline, unless it has died, clears the flag. Existing records make a repetition harmless.

Why no user is notified of a message that was shown: the user is found away after the messages were read, so they came in the
absence.
"""

import asyncio
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from holdfast.domain.chunks import chunks
from holdfast.domain.conversations import Membership
from holdfast.domain.ids import Seq, UserId
from holdfast.domain.notifications import IN_FLIGHT_MS, MAX_RECORD_MEMBERS, CatchUp, Notification
from holdfast.errors import HoldfastError
from holdfast.loops import STORE, Loop
from holdfast.node.notifications.decision import BELIEVED_SECONDS, FIRST_PAGE, MAX_RECORDS, Notifications
from holdfast.node.notifications.records import records_of
from holdfast.ports import Clock, ConversationStore, MessageStore, NotificationStore, Registry
from holdfast.waiting import is_set_within

_ROUND_SECONDS: Final = 15.0
_BUSY_SECONDS: Final = 300.0  # 200 flags, each two reads for every conversation of its user, and what is new in them
_AT_ONCE: Final = 8  # flags
_PAGES_AT_ONCE: Final = 4  # of one flag: with 8 flags half of the calls that a store takes at once
_LIMIT: Final = 200
_MAX_UNSETTLED: Final = 10_000
_LEFT_SECONDS: Final = 5.0  # a flag is left to the instance that took the user offline: it begins at once
_OTHERS: Final = 40  # flags of others that one look takes: about a second of work, and others may have cleared the rest by then
_FILTERED_SECONDS: Final = 12.5 + BELIEVED_SECONDS
"""So long after its end a connection may keep its user from being notified: by the lease of an instance that cannot take the
connection out of Redis (12 s), and by an answer of Redis that is believed for a while."""
_MAX_DOUBTED: Final = 1_000  # users whom Redis is asked for at once
_ASKED: Final = 200  # conversations whose last message is asked for in one call


class BackfillStore(MessageStore, ConversationStore, NotificationStore, Protocol):
    """The concepts of the store that the backfill reads and writes."""


@dataclass(frozen=True, slots=True)
class _Place:
    """How far back one conversation has been looked through: the messages from `before_seq` on. `limit`: of the next page."""

    row: Membership
    before_seq: Seq
    limit: int = FIRST_PAGE


@dataclass(frozen=True, slots=True)
class _Page:
    """The messages of one page to be recorded, and the place of the next page; None at the beginning of the absence."""

    records: list[Notification]
    next: _Place | None


@dataclass(slots=True)
class _Flag:
    """A flag that this instance has read; times are monotonic seconds.

    Attributes:
        settles_at: from then on no connection of before keeps its user from being notified.
        left_until: from then on this instance takes it, whichever instance took the user offline.
        is_own: this instance took the user offline, or has begun with the flag.
        unfiltered_at: the same, as far as Redis says; infinite when it was looked through after that, None: Redis is to be asked.
    """

    settles_at: float
    left_until: float
    is_own: bool = False
    unfiltered_at: float | None = None


class OfflineBackfill:
    """Lives in the event loop; `loop` does the work."""

    def __init__(
        self, store: BackfillStore, notifications: Notifications, registry: Registry, clock: Clock, grace_seconds: float
    ) -> None:
        self._store = store
        self._notifications = notifications
        self._registry = registry
        self._clock = clock
        self._unsettled_seconds = max(0.0, _FILTERED_SECONDS - grace_seconds)
        self._left_seconds = max(_LEFT_SECONDS, self._unsettled_seconds)
        self._flags: dict[CatchUp, _Flag] = {}  # those of the last look that it did not clear
        self._postponed = 0  # how many of these are for the next look
        self._gone: set[UserId] = set()  # users taken offline here: their flags are looked through before that as well
        self._wake = asyncio.Event()
        self._pause = _ROUND_SECONDS

    def look_soon(self, user_ids: Iterable[UserId]) -> None:
        """This instance took these users offline. Beyond a bound they are found as those that others took offline are."""
        self._gone.update(islice(user_ids, max(0, _MAX_UNSETTLED - len(self._gone))))
        self._wake.set()

    @property
    def loop(self) -> Loop:
        """Looks whenever a user went offline here, and every 15 s for what other instances left."""
        return Loop("catch_ups", self._round, _ROUND_SECONDS, needs=(STORE,), busy_seconds=_BUSY_SECONDS)

    async def _round(self) -> None:
        await is_set_within(self._wake, self._pause)
        self._wake.clear()
        self._pause = 1.0  # unless this look succeeds
        self._pause = await self.look()

    async def look(self) -> float:
        """One round over all flags; in how many seconds the next is due.

        Flags of users that other instances took offline are left to these for a while.

        Raises:
            StoreError: some flags are left.
        """
        limit = _LIMIT + min(len(self._flags) - self._postponed, _MAX_UNSETTLED)  # flags that stay must not hide others
        gone = frozenset(self._gone)  # before the flags are read: users who go offline meanwhile belong to the next look
        flags, now = await self._store.catch_ups(limit), self._clock.monotonic()
        is_full = len(flags) == limit
        if not is_full:
            self._gone -= gone.difference(flag.user_id for flag in flags)
        new = (now + self._unsettled_seconds, now + self._left_seconds)
        self._flags = {flag: self._flags.get(flag) or _Flag(*new) for flag in flags}
        await self._find_unfiltered(now)
        chosen = self._choose(now)
        if not await self._catch_up_all(chosen):
            return 1.0
        return 0.1 if chosen and (is_full or self._postponed) else self._until_next()

    def _choose(self, now: float) -> list[CatchUp]:
        """The flags of this look: all of its own, and some of those that other instances have left for long."""
        for flag, each in self._flags.items():
            each.is_own |= flag.user_id in self._gone
        own = [flag for flag, each in self._flags.items() if each.is_own]
        due = [flag for flag, each in self._flags.items() if not each.is_own and each.left_until <= now]
        others = random.sample(due, min(len(due), _OTHERS))
        self._postponed = len(due) - len(others)
        return own + others

    def _until_next(self) -> float:
        """In how many seconds the next look is due when no flag is left but those that wait."""
        if self._gone:
            return 1.0  # their flags are behind a full page of those that wait
        now = self._clock.monotonic()
        return max(1.0, min((each.left_until - now for each in self._flags.values()), default=_ROUND_SECONDS))

    async def _find_unfiltered(self, now: float) -> None:
        """Look again through what instances decided while Redis called these users connected, once it does so no more.

        After an outage of Redis that is for a second or so: until all connections that ended meanwhile are taken out.
        """
        known = self._flags.items()
        doubted = [flag for flag, each in known if each.is_own and each.unfiltered_at is None and now < each.settles_at]
        if asked := doubted[:_MAX_DOUBTED]:
            try:
                connected = await self._registry.connected([flag.user_id for flag in asked])
            except HoldfastError:
                connected = {flag.user_id for flag in asked}
            unfiltered_at = self._clock.monotonic() + BELIEVED_SECONDS
            for flag in asked:
                self._flags[flag].unfiltered_at = None if flag.user_id in connected else unfiltered_at
        for flag, each in known:
            if each.unfiltered_at is not None and each.unfiltered_at <= now:
                each.unfiltered_at = math.inf
                self._gone.add(flag.user_id)

    async def _catch_up_all(self, chosen: Sequence[CatchUp]) -> bool:
        """See `_catch_up`. What one flag raises is raised when all the others had their turn."""
        mistakes: list[BaseException] = []
        are_done = True
        for some in chunks(chosen, _AT_ONCE):
            outcomes = await asyncio.gather(*map(self._catch_up, some), return_exceptions=True)
            mistakes += [each for each in outcomes if isinstance(each, BaseException)]
            are_done = are_done and all(outcomes)
        if mistakes:
            raise mistakes[0]
        return are_done

    async def _catch_up(self, flag: CatchUp) -> bool:
        """Record what the user missed, then clear the flag; False when the flag has to wait for another round."""
        is_settled = self._clock.monotonic() >= self._flags[flag].settles_at
        if not is_settled and flag.user_id not in self._gone:
            return False
        self._gone.discard(flag.user_id)  # the next absence adds it again
        is_through = False
        try:
            _, since_ms = await self._away_since(flag)
            is_through = since_ms is None or await self._record(flag, since_ms)
            if is_through and (is_settled or since_ms is None):
                await self._store.finish_catch_up(flag)
                del self._flags[flag]
                return True
        finally:
            if not is_through:
                self._gone.add(flag.user_id)
        return False

    async def _record(self, flag: CatchUp, since_ms: int) -> bool:
        """Record what the user has missed since then; False when it has to be done again."""
        rows = await self._store.memberships_of(flag.user_id)
        for some in chunks(rows, _ASKED):
            places = await self._active(since_ms, some)
            while places:
                pages = await asyncio.gather(*(self._page(flag.user_id, since_ms, place) for place in places[:_PAGES_AT_ONCE]))
                records = [record for page in pages for record in page.records]
                if records:
                    read_at, away_since_ms = await self._away_since(flag)
                    if away_since_ms != since_ms:
                        return False  # the user has been back, and was shown what had come until then
                    if not await self._notifications.create(records, read_at):
                        return False  # this instance stood still
                places = places[_PAGES_AT_ONCE:] + [page.next for page in pages if page.next is not None]
        return True

    async def _active(self, since_ms: int, rows: Sequence[Membership]) -> list[_Place]:
        """The conversations with a message of the absence, each at its end. Later commits are decided after the flag."""
        known = {row.conversation_id: row.last_seq for row in rows}
        tails = await self._store.active_since(since_ms - IN_FLIGHT_MS, known)
        return [_Place(row, tails[row.conversation_id] + 1) for row in rows if row.conversation_id in tails]

    async def _page(self, user_id: UserId, since_ms: int, place: _Place) -> _Page:
        row = place.row
        found = await self._store.messages_since(row.conversation_id, since_ms - IN_FLIGHT_MS, place.limit, place.before_seq)
        theirs = [each.message for each in found if each.message.seq > row.joined_seq]
        records = records_of(theirs, user_id, row.member_count)
        is_told = bool(records) and row.member_count > MAX_RECORD_MEMBERS  # one record, of the last message
        if len(theirs) < place.limit or is_told:
            return _Page(records, None)
        return _Page(records, _Place(row, found[0].message.seq, min(4 * place.limit, MAX_RECORDS)))

    async def _away_since(self, flag: CatchUp) -> tuple[float, int | None]:
        """When the store was asked (monotonic seconds), and when an instance heard the user last (store's Unix milliseconds).

        None: the user is online. It is later than `flag` says where the user has connected and left again after the flag was
        read.
        """
        read_at, found = await self._notifications.presence_of(flag.user_id)
        presence = found[flag.user_id]
        return read_at, None if presence.online else max(flag.since_ms, presence.last_seen_at_ms or 0)
