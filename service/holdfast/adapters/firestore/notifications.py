"""Offline notifications in Firestore: `notifications/{id}`, and the flag in `users/{u}` of users whose offline backfill is due.

A record has `dueAt` as long as it is to be pushed, so that one small index finds the due records. Firestore's own time decides
which records are due. A claim is a write on condition that no other write came between. An answer must show the claim's time: an
answer after the hold, or for a record that was made anew, changes nothing.
"""

import asyncio
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.firestore_v1 import DELETE_FIELD
from google.cloud.firestore_v1.async_document import AsyncDocumentReference
from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls, is_definite, translated
from holdfast.adapters.firestore.part import StorePart
from holdfast.adapters.firestore.reads import get_many
from holdfast.adapters.firestore.tails import Tails
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import UserId
from holdfast.domain.notifications import CatchUp, Claims, Notification, PushOutcome
from holdfast.domain.stored import Stored
from holdfast.errors import StoreConflict, StoreUnavailable

FLAGS_PAGE: Final = 1_000
_TRIES: Final = 8
_AT_ONCE: Final = 16  # records claimed one by one


@dataclass(frozen=True, slots=True)
class Claim:
    """The proof of a claim, and its time: Firestore's, and on the monotonic clock (seconds)."""

    update_time: datetime
    read_time: datetime
    noted_at: float

    def at(self, now: float) -> datetime:
        """Firestore's time at `now` (seconds on the monotonic clock), as far as this claim tells."""
        return self.read_time + timedelta(seconds=now - self.noted_at)


async def page_of_catch_ups(calls: Calls, after: UserId | None, limit: int) -> list[CatchUp]:
    """Some of the flags, by document name, after that user."""
    users = calls.client.collection("users")
    query = users.where(filter=FieldFilter("catchup", "==", True)).order_by("__name__")
    if after is not None:
        query = query.start_after({"__name__": users.document(after)})
    snapshots = await query.select(["catchupSince"]).limit(limit).get(**calls.unretried)
    return [CatchUp(UserId(each.id), documents.flag_ms(each.to_dict() or {})) for each in snapshots]


async def finish_catch_up(calls: Calls, done: CatchUp) -> None:
    """See `ports.NotificationStore.finish_catch_up`. Presence writes the same document: after such a write this tries again."""
    reference = calls.client.document("users", done.user_id)
    for attempt in range(_TRIES):
        await _pause(attempt)
        snapshot = await reference.get(**calls.unretried)
        fields = snapshot.to_dict() or {}
        if not fields.get("catchup") or documents.flag_ms(fields) != done.since_ms:
            return
        option = calls.client.write_option(last_update_time=snapshot.update_time)
        try:
            await reference.update({"catchup": DELETE_FIELD, "catchupSince": DELETE_FIELD}, option=option, **calls.unretried)
        except GoogleAPICallError as error:
            if not _is_conflict(error):
                raise
        else:
            return
    raise StoreUnavailable("the flag could not be cleared: others were first")


async def create(calls: Calls, records: Sequence[Notification]) -> list[Notification]:
    """See `ports.NotificationStore.create_notifications`: all at once.

    Where some exist, or the outcome is unknown, the rest is created after a read.
    """
    token = secrets.token_hex(8)
    left = {record.notification_id: record for record in records}
    created: set[str] = set()
    for attempt in range(_TRIES):
        await _pause(attempt)
        try:
            if attempt:
                found = await _tokens(calls, list(left))
                created.update(each for each, stored in found.items() if stored == token)
                left = {each: record for each, record in left.items() if each not in found}
            if left:
                await _commit(calls, list(left.values()), token)
        except GoogleAPICallError as error:
            if is_definite(error):
                raise
        else:
            created.update(left)
            return [record for record in records if record.notification_id in created]
    raise StoreUnavailable("notifications could not be created: others were first, or Firestore did not answer")


async def recorded(calls: Calls, notification_ids: Sequence[str]) -> set[str]:
    """See `ports.NotificationStore.recorded`.

    Ranges of ids are read, one for each conversation: a document that is asked for and missing is billed, and the emulator keeps
    its name for ever: each later query, of any collection, takes longer for it.
    """
    wanted = frozenset(notification_ids)
    ranges: dict[str, list[str]] = {}
    for each in sorted(wanted):
        ranges.setdefault(each.partition(":")[0], []).append(each)
    found = await asyncio.gather(*(_between(calls, ids[0], ids[-1]) for ids in ranges.values()))
    return {snapshot.id for snapshots in found for snapshot in snapshots} & wanted


async def claim(calls: Calls, claims: Claims[Claim], limit: int, hold_seconds: float) -> list[Notification]:
    """See `ports.NotificationStore.claim_notifications`. A look at one tells whether anything is due: idle polling is cheap."""
    due = await _due(calls, 1)
    if due and limit > 1:
        due = await _due(calls, limit)
    if not due:
        return []
    hold = timedelta(seconds=hold_seconds)
    try:
        return await _claim(calls, claims, due, hold)
    except GoogleAPICallError as error:
        if not _is_conflict(error):
            raise
    claimed: list[Notification] = []
    for some in chunks(due, _AT_ONCE):
        several = await asyncio.gather(*(_claim_one(calls, claims, each, hold) for each in some))
        claimed += [record for one in several for record in one]
    return claimed


async def mark(calls: Calls, claims: Claims[Claim], outcomes: Sequence[PushOutcome]) -> None:
    """See `ports.NotificationStore.mark_notifications`: all at once, and one by one where a claim is over."""
    held = [(each, proof) for each in outcomes if (proof := claims.of(each.notification_id)) is not None]
    if held and not await _are_marked(calls, held) and len(held) > 1:
        for some in chunks(held, _AT_ONCE):
            await asyncio.gather(*(_are_marked(calls, [one]) for one in some))
    for each, proof in held:
        claims.end(each.notification_id, proof)


async def clear(calls: Calls, notification_id: str) -> None:
    """See `ports.NotificationStore.clear_notification`."""
    await _ref(calls, notification_id).delete(**calls.unretried)


async def _between(calls: Calls, first_id: str, last_id: str) -> list[DocumentSnapshot[Any]]:
    """The records from one id to another, both included."""
    name = FieldPath.document_id()
    query: AsyncQuery = calls.client.collection("notifications").order_by(name).select([name])
    query = query.where(filter=FieldFilter(name, ">=", _ref(calls, first_id)))
    query = query.where(filter=FieldFilter(name, "<=", _ref(calls, last_id)))
    return list(await query.get(**calls.unretried))


async def _tokens(calls: Calls, notification_ids: Sequence[str]) -> dict[str, str]:
    """Of the records that exist: by which call each was created."""
    found = await get_many(calls, [_ref(calls, each) for each in notification_ids], ["token"])
    return {snapshot.id: (snapshot.to_dict() or {}).get("token", "") for snapshot in found.values()}


async def _commit(calls: Calls, records: Sequence[Notification], token: str) -> None:
    batch = calls.client.batch()
    for record in records:
        batch.create(_ref(calls, record.notification_id), documents.notification_fields(record, token))
    await batch.commit(**calls.unretried)


async def _due(calls: Calls, limit: int) -> list[DocumentSnapshot[Any]]:
    snapshots = await calls.client.collection("notifications").order_by("dueAt").limit(limit).get(**calls.unretried)
    due, buried = [], 0
    for each in snapshots:
        due_at = (each.to_dict() or {}).get("dueAt")
        if not calls.read("notification", [each], documents.notification) or not isinstance(due_at, datetime):
            await _bury(calls, each)
            buried += 1
        elif due_at <= each.read_time:
            due.append(each)
    return await _due(calls, limit) if buried and not due else due  # each look buries some: the next one sees further


async def _are_marked(calls: Calls, held: Sequence[tuple[PushOutcome, Claim]]) -> bool:
    """All of them or none."""
    batch, now = calls.client.batch(), calls.clock.monotonic()
    for each, proof in held:
        due_at = proof.at(now) + timedelta(seconds=each.retry_in_seconds) if each.state == "pending" else DELETE_FIELD
        option = calls.client.write_option(last_update_time=proof.update_time)
        batch.update(_ref(calls, each.notification_id), {"state": each.state, "dueAt": due_at}, option=option)
    try:
        await batch.commit(**calls.unretried)
    except GoogleAPICallError as error:
        if not _is_conflict(error):
            raise
        return False
    return True


async def _bury(calls: Calls, snapshot: DocumentSnapshot[Any]) -> None:
    """A record without content cannot be pushed, and must not stand before all others for ever."""
    option = calls.client.write_option(last_update_time=snapshot.update_time)
    try:
        await snapshot.reference.update({"state": "dead", "dueAt": DELETE_FIELD}, option=option, **calls.unretried)
    except GoogleAPICallError as error:
        if not _is_conflict(error):
            raise


async def _claim_one(calls: Calls, claims: Claims[Claim], snapshot: DocumentSnapshot[Any], hold: timedelta) -> list[Notification]:
    try:
        return await _claim(calls, claims, [snapshot], hold)
    except GoogleAPICallError as error:
        if _is_conflict(error):
            return []  # another instance has it, or it is gone
        raise


async def _claim(
    calls: Calls, claims: Claims[Claim], due: Sequence[DocumentSnapshot[Any]], hold: timedelta
) -> list[Notification]:
    """All of them or none; a claim whose answer is lost comes back after its hold."""
    noted_at = calls.clock.monotonic()
    batch = calls.client.batch()
    records = []
    for snapshot in due:
        fields = snapshot.to_dict() or {}
        fields |= {"attempts": Stored(fields).number("attempts") + 1, "dueAt": snapshot.read_time + hold}
        option = calls.client.write_option(last_update_time=snapshot.update_time)
        batch.update(snapshot.reference, {name: fields[name] for name in ("attempts", "dueAt")}, option=option)
        records.append(documents.notification(snapshot.id, Stored(fields)))
    results = await batch.commit(**calls.unretried)
    for snapshot, result in zip(due, results, strict=True):
        claims.hold([snapshot.id], Claim(result.update_time, snapshot.read_time, noted_at))
    return records


def _ref(calls: Calls, notification_id: str) -> AsyncDocumentReference:
    return calls.client.document("notifications", notification_id)


def _is_conflict(error: GoogleAPICallError) -> bool:
    """Another instance wrote it meanwhile, or removed it: our write did nothing."""
    return isinstance(translated(error), StoreConflict)


async def _pause(attempt: int) -> None:
    if attempt:
        await asyncio.sleep(0.01 * 2**attempt * random.uniform(0.5, 1.5))


class FirestoreNotifications(StorePart):
    """Implements `ports.NotificationStore`."""

    def __init__(self, calls: Calls, tails: Tails) -> None:
        """`calls` and `tails`: shared with the other parts."""
        super().__init__(calls, tails)
        self._claims: Claims[Claim] = Claims()

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """See the port. Each page has a deadline of its own: a mass departure leaves thousands of flags."""
        flags, left = list[CatchUp](), limit
        while left > 0:
            size, after = min(left, FLAGS_PAGE), flags[-1].user_id if flags else None
            page = await self._calls.run(page_of_catch_ups(self._calls, after, size))
            flags += page
            left = left - size if len(page) == size else 0
        return flags

    async def finish_catch_up(self, done: CatchUp) -> None:
        """See the port."""
        await self._calls.run(finish_catch_up(self._calls, done))

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """See the port."""
        return await self._calls.run(create(self._calls, records))

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """See the port."""
        return await self._calls.run(recorded(self._calls, notification_ids))

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """See the port."""
        return await self._calls.run(claim(self._calls, self._claims, limit, hold_seconds))

    async def mark_notifications(self, outcomes: Sequence[PushOutcome]) -> None:
        """See the port."""
        await self._calls.run(mark(self._calls, self._claims, outcomes))

    async def clear_notification(self, notification_id: str) -> None:
        """See the port."""
        await self._calls.run(clear(self._calls, notification_id))
