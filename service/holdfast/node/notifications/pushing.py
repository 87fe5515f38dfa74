"""Recorded notifications on their way out: claimed for a while, pushed, marked. An instance that dies in between leaves a claim
that ends."""

import asyncio
import logging
import random
from functools import partial
from typing import Final

from holdfast.domain.notifications import Notification, PushOutcome
from holdfast.errors import PushFailed
from holdfast.loops import STORE, Loop
from holdfast.node.tasks import Tasks
from holdfast.ports import Clock, NotificationStore, Notifier
from holdfast.telemetry import Telemetry
from holdfast.waiting import Joined, is_set_within

MAX_ATTEMPTS: Final = 12  # about an hour, with the pauses below
_AT_ONCE: Final = 8
_HOLD_SECONDS: Final = 60.0  # longer than any push may take, and all tries to mark it
_MARK_TRIES: Final = 8  # of 2.5 s at most
_LOOK_SECONDS: Final = 2.0
_LEAST_SECONDS: Final = 0.5  # between two looks, while records come one by one: each look is a query
_MAX_LOOK_SECONDS: Final = 15.0  # when nothing came for a while: a look is a read
_FIRST_PAUSE_SECONDS: Final = 1.0
_MAX_PAUSE_SECONDS: Final = 600.0

_log = logging.getLogger(__name__)


class Pushing:
    """Lives in the event loop; `loop` pushes. Every instance runs one; a record is claimed by one of them at a time."""

    def __init__(self, store: NotificationStore, notifier: Notifier, clock: Clock, tasks: Tasks, telemetry: Telemetry) -> None:
        """`clock`: of the store's time, as messages are stamped with."""
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._tasks = tasks
        self._oldest_due = telemetry.notifications_oldest_due
        self._results = {each: telemetry.notifications.labels(each) for each in ("sent", "retried", "dead")}
        self._marks = Joined(self._mark, _AT_ONCE)
        self._wake = asyncio.Event()
        self._pause = _LOOK_SECONDS

    def look_soon(self) -> None:
        """A record was made here."""
        self._wake.set()

    @property
    def loop(self) -> Loop:
        """Looks at once when a record was made here, and every few seconds for what others left."""
        return Loop("pushing", self._round, _MAX_LOOK_SECONDS, needs=(STORE,))

    async def _round(self) -> None:
        await is_set_within(self._wake, self._pause)
        self._wake.clear()
        claimed = await self._store.claim_notifications(_AT_ONCE, _HOLD_SECONDS)
        made_at_ms = [record.created_at_ms for record in claimed if record.attempts <= 1]
        self._oldest_due.set(max(0, self._clock.now_ms() - min(made_at_ms)) / 1000 if made_at_ms else 0)
        results = await asyncio.gather(*(self._push(record) for record in claimed), return_exceptions=True)
        for mistake in (each for each in results if each is not None):
            raise mistake
        if len(claimed) == _AT_ONCE:
            self._wake.set()  # there are more
        else:
            await asyncio.sleep(_LEAST_SECONDS)
        self._pause = _LOOK_SECONDS if claimed else min(_MAX_LOOK_SECONDS, self._pause * 1.5)

    async def _push(self, record: Notification) -> None:
        try:
            await self._notifier.push(record)
        except PushFailed as error:
            await self._failed(record, error)
        except Exception as error:
            await self._failed(record, PushFailed(repr(error)[:200], is_final=False))
            raise
        else:
            self._results["sent"].inc()
            await self._marks.of(PushOutcome(record.notification_id, "sent"))

    async def _mark(self, outcomes: list[PushOutcome]) -> None:
        """Asked again while the store is away, well within the hold: a record without its mark would be pushed once more."""
        mark = partial(self._store.mark_notifications, outcomes)
        await self._tasks.until_store_answers(mark, _MARK_TRIES, name="pushing")

    async def _failed(self, record: Notification, error: PushFailed) -> None:
        if error.is_final or record.attempts >= MAX_ATTEMPTS:
            self._results["dead"].inc()
            fields = {"notification_id": record.notification_id, "attempts": record.attempts, "error": str(error)}
            _log.warning("a notification is given up", extra={"fields": fields})
            await self._marks.of(PushOutcome(record.notification_id, "dead"))
            return
        self._results["retried"].inc()
        await self._marks.of(PushOutcome(record.notification_id, "pending", back_off(record.attempts)))


def back_off(attempts: int) -> float:
    """Seconds until the next one, after that many: 1 s, doubling, 10 minutes at most, give or take a quarter."""
    return min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (attempts - 1)) * random.uniform(0.75, 1.25)
