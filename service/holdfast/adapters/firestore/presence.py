"""Presence, bulletins and revocations in Firestore.

A user's `on` is read and written on condition that nobody wrote meanwhile: the whole group in one commit first, one by one
where that failed. `version` is the store's own time of the write, in microseconds: it rises with every change, whoever makes it.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, GoogleAPICallError, NotFound
from google.cloud.firestore_v1 import Maximum
from google.cloud.firestore_v1.async_document import AsyncDocumentReference
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.reads import get_many
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, UserId
from holdfast.domain.presence import Presence, PresenceChange
from holdfast.errors import StoreUnavailable

_TRIES: Final = 8
_NOBODY: Final[dict[str, Any]] = {"online": False, "on": [], "lastSeen": None}


class _Turn:
    """One user's way from what was first read to what is wanted."""

    def __init__(self, user_id: UserId, entry: str, seen_at_ms: int, *, is_present: bool) -> None:
        self.user_id = user_id
        self.entry = entry
        self.is_present = is_present
        self.seen_at_ms = seen_at_ms
        self.was_sent = False
        self.is_done = False
        self.change: PresenceChange | None = None
        self._turned_from: bool | None = None

    def wanted(self, stored: dict[str, Any]) -> dict[str, Any] | None:
        """The fields to write, None when there is nothing to do."""
        on = [entry for entry in stored["on"] if entry != self.entry]
        if (self.entry in stored["on"]) == self.is_present:
            return None
        on = [*on, self.entry] if self.is_present else on
        seen = stored.get("lastSeen")
        seen_at_ms = max(self.seen_at_ms, documents.ms(seen) if seen is not None else 0)
        self._turned_from = stored["online"]
        return {"on": on, "online": bool(on), "lastSeen": documents.at(seen_at_ms)}

    def wrote(self, fields: dict[str, Any], version: int) -> None:
        """Our write is in."""
        self.is_done = True
        if self._turned_from is not None and self._turned_from != fields["online"]:
            last_seen_at_ms = documents.ms(fields["lastSeen"])
            self.change = PresenceChange(self.user_id, fields["online"], version, last_seen_at_ms)

    def found(self, stored: dict[str, Any], version: int) -> None:
        """Nothing is left to do: it was so, or an uncertain write of ours made it so."""
        self.is_done = True
        if self.was_sent and self._turned_from is not None and self._turned_from != stored["online"]:
            self.change = PresenceChange(self.user_id, stored["online"], version, documents.ms(stored["lastSeen"]))


async def change(
    calls: Calls, entry: str, user_ids: Sequence[UserId], seen_at_ms: int, *, is_present: bool
) -> list[PresenceChange]:
    """See `ports.MessageStore.add_presence` and `remove_presence`."""
    turns = [_Turn(user_id, entry, seen_at_ms, is_present=is_present) for user_id in user_ids]
    for attempt in range(_TRIES):
        left = [turn for turn in turns if not turn.is_done]
        if not left:
            break
        if attempt:
            await asyncio.sleep(0.01 * 2**attempt * random.uniform(0.5, 1.5))
        await _attempt(calls, left, one_by_one=attempt > 0)
    if any(not turn.is_done for turn in turns):
        raise StoreUnavailable("too many others write the same users")
    return [turn.change for turn in turns if turn.change is not None]


async def read(calls: Calls, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
    """See `ports.MessageStore.read_presence`."""
    found = await get_many(calls, [_ref(calls, user_id) for user_id in user_ids])
    users = {UserId(snapshot.id): snapshot.to_dict() or {} for snapshot in found.values()}
    return {user_id: _presence(user_id, users.get(user_id, _NOBODY)) for user_id in user_ids}


async def users_on(calls: Calls, entry: str, limit: int) -> list[UserId]:
    """See `ports.MessageStore.users_on`."""
    query = calls.client.collection("users").where(filter=FieldFilter("on", "array_contains", entry))
    return [UserId(snapshot.id) for snapshot in await query.select(["online"]).limit(limit).get(**calls.unretried)]


async def write_bulletin(calls: Calls, bulletin: Bulletin) -> None:
    """See `ports.MessageStore.write_bulletin`."""
    reference = calls.client.document("instances", bulletin.instance_id)
    await reference.set(documents.bulletin_fields(bulletin), **calls.unretried)


async def read_bulletins(calls: Calls) -> list[Bulletin]:
    """See `ports.MessageStore.read_bulletins`."""
    snapshots = await calls.client.collection("instances").get(**calls.unretried)
    return [documents.bulletin(snapshot.id, snapshot.to_dict() or {}) for snapshot in snapshots]


async def remove_bulletin(calls: Calls, instance_id: InstanceId, epoch: Epoch) -> None:
    """See `ports.MessageStore.remove_bulletin`."""
    client = calls.client
    reference = client.document("instances", instance_id)
    snapshot = await reference.get(**calls.unretried)
    if snapshot.exists and (snapshot.to_dict() or {})["epoch"] == epoch:
        try:
            await reference.delete(option=client.write_option(last_update_time=snapshot.update_time), **calls.unretried)
        except (FailedPrecondition, NotFound):
            return  # somebody lives under that name again, or removed it already


async def revoke(calls: Calls, user_id: UserId, not_before: int) -> None:
    """See `ports.MessageStore.revoke`."""
    reference = calls.client.document("revocations", user_id)
    await reference.set({"notBefore": Maximum(not_before)}, merge=True, **calls.unretried)


async def read_revocations(calls: Calls, since: int) -> dict[UserId, int]:
    """See `ports.MessageStore.read_revocations`."""
    query = calls.client.collection("revocations").where(filter=FieldFilter("notBefore", ">=", since))
    return {UserId(each.id): (each.to_dict() or {})["notBefore"] for each in await query.get(**calls.unretried)}


async def _attempt(calls: Calls, turns: list[_Turn], *, one_by_one: bool) -> None:
    """Read everybody, write whom it concerns; those whose write failed or is uncertain are left for the next attempt."""
    found = await get_many(calls, [_ref(calls, turn.user_id) for turn in turns])
    pending: list[tuple[_Turn, dict[str, Any], DocumentSnapshot[Any] | None]] = []
    for turn in turns:
        snapshot = found.get(_ref(calls, turn.user_id).path)
        stored = {**_NOBODY, **(snapshot.to_dict() or {})} if snapshot is not None else _NOBODY
        fields = turn.wanted(stored)
        if fields is None:
            turn.found(stored, _micros(snapshot.update_time) if snapshot is not None else 0)
        else:
            pending.append((turn, fields, snapshot))
    for group in [[each] for each in pending] if one_by_one else [pending] if pending else []:
        await _commit(calls, group)


async def _commit(calls: Calls, group: list[tuple[_Turn, dict[str, Any], DocumentSnapshot[Any] | None]]) -> None:
    client = calls.client
    batch = client.batch()
    for turn, fields, snapshot in group:
        if snapshot is None:
            batch.create(_ref(calls, turn.user_id), fields)
        else:
            batch.update(_ref(calls, turn.user_id), fields, option=client.write_option(last_update_time=snapshot.update_time))
    try:
        results = await batch.commit(**calls.unretried)
    except (AlreadyExists, FailedPrecondition, NotFound):
        return
    except GoogleAPICallError:
        for turn, _, _ in group:
            turn.was_sent = True
        return
    for (turn, fields, _), result in zip(group, results, strict=True):
        turn.wrote(fields, _micros(result.update_time))


def _ref(calls: Calls, user_id: UserId) -> AsyncDocumentReference:
    return calls.client.document("users", user_id)


def _presence(user_id: UserId, fields: dict[str, Any]) -> Presence:
    seen = fields.get("lastSeen")
    return Presence(user_id, fields["online"], tuple(fields["on"]), None if seen is None else documents.ms(seen))


def _micros(timestamp: Any) -> int:
    """A protobuf or Python timestamp in microseconds."""
    micros: int = round(timestamp.timestamp() * 1_000_000)
    return micros
