"""Presence in Firestore.

A user's `on` is read and written on condition that no other write came between: many in one commit first, fewer where that
failed, then one by one (while users move from one instance to another, both instances write them). `version` is the store's own
time of the write, in microseconds: it rises with every change by any instance.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.firestore_v1.async_document import AsyncDocumentReference
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls, is_definite, translated
from holdfast.adapters.firestore.part import StorePart
from holdfast.adapters.firestore.reads import get_many
from holdfast.adapters.firestore.tails import Tails
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import UserId
from holdfast.domain.notifications import flagged_since
from holdfast.domain.presence import Presence, PresenceChange
from holdfast.domain.stored import Stored
from holdfast.errors import StoreUnavailable

_TRIES: Final = 8
_GROUPS: Final = (50, 10, 1)  # users in one commit, by attempt
_AT_ONCE: Final = 16  # commits
_MAX_UNFINISHED: Final = 10_000  # far more than one deadline's worth of presence writes
_NOBODY: Final[dict[str, Any]] = {"online": False, "on": [], "lastSeen": None}


class _Turn:
    """One user's way from what was first read to what is wanted; `earlier` is one that a failed call left behind."""

    def __init__(self, user_id: UserId, entry: str, seen_at_ms: int, *, is_present: bool, earlier: "_Turn | None") -> None:
        self.user_id = user_id
        self.entry = entry
        self.is_present = is_present
        self.seen_at_ms = seen_at_ms
        self.is_done = False
        self.is_uncertain = earlier is not None and not earlier.is_done
        self.change: PresenceChange | None = earlier.change if earlier is not None else None
        self._turned_from: bool | None = earlier._turned_from if earlier is not None else None  # noqa: SLF001 - of its own kind

    def wanted(self, stored: dict[str, Any]) -> dict[str, Any] | None:
        """The fields to write, None when there is nothing to do."""
        on = [entry for entry in stored["on"] if entry != self.entry]
        if (self.entry in stored["on"]) == self.is_present:
            return None
        on = [*on, self.entry] if self.is_present else on
        seen = stored.get("lastSeen")
        is_no_proof = self.is_present and (stored["online"] or stored.get("catchup"))
        seen_at_ms = max(0 if is_no_proof else self.seen_at_ms, documents.ms(seen) if seen is not None else 0)
        self._turned_from = stored["online"]
        fields: dict[str, Any] = {"on": on, "online": bool(on), "lastSeen": documents.at(seen_at_ms)}
        if stored["online"] and not on:  # with the same write: no instance can die between the two
            flagged = documents.flag_ms(stored) if stored.get("catchup") else None
            fields |= {"catchup": True, "catchupSince": documents.at(flagged_since(flagged, seen_at_ms))}
        return fields

    def wrote(self, fields: dict[str, Any], version: int) -> None:
        """Our write is in."""
        self.is_done = True
        if self._turned_from is not None and self._turned_from != fields["online"]:
            last_seen_at_ms = documents.ms(fields["lastSeen"])
            self.change = PresenceChange(self.user_id, fields["online"], version, last_seen_at_ms)

    def found(self, stored: dict[str, Any], version: int) -> None:
        """Nothing is left to do: it was so, or an uncertain write of ours made it so."""
        self.is_done = True
        if self.is_uncertain and self._turned_from is not None and self._turned_from != stored["online"]:
            last_seen = documents.ms(stored["lastSeen"]) if stored["lastSeen"] is not None else None
            self.change = PresenceChange(self.user_id, stored["online"], version, last_seen)


class Unfinished:
    """Turns of calls that failed after something was sent: the next call for that user takes them up, so that no change of
    `online` stays untold because a reply was lost.
    """

    def __init__(self) -> None:
        self._turns: OrderedDict[tuple[str, UserId], _Turn] = OrderedDict()

    def take(self, entry: str, user_id: UserId, *, is_present: bool) -> _Turn | None:
        """Changes that were left over from an attempt in the same direction; those in the other direction are obsolete."""
        turn = self._turns.pop((entry, user_id), None)
        return turn if turn is not None and turn.is_present == is_present else None

    def leave(self, turns: Sequence[_Turn]) -> None:
        """Keep the changes that have to be announced, or may have to be."""
        for turn in turns:
            if turn.change is not None or (turn.is_uncertain and not turn.is_done):
                self._turns[turn.entry, turn.user_id] = turn
        while len(self._turns) > _MAX_UNFINISHED:
            self._turns.popitem(last=False)


async def change(
    calls: Calls, unfinished: Unfinished, entry: str, seen_at_ms: Mapping[UserId, int], *, is_present: bool
) -> list[PresenceChange]:
    """See `ports.PresenceStore.add_presence` and `remove_presence`."""
    turns = []
    for user_id, seen_ms in seen_at_ms.items():
        earlier = unfinished.take(entry, user_id, is_present=is_present)
        turns.append(_Turn(user_id, entry, seen_ms, is_present=is_present, earlier=earlier))
    try:
        await _finish(calls, turns)
    except BaseException:  # the deadline's cancellation too
        unfinished.leave(turns)
        raise
    return [turn.change for turn in turns if turn.change is not None]


async def read(calls: Calls, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
    """See `ports.PresenceStore.read_presence`."""
    found = await get_many(calls, [_ref(calls, user_id) for user_id in user_ids])
    users = {UserId(snapshot.id): _user(calls, snapshot) for snapshot in found.values()}
    return {user_id: _presence(user_id, users.get(user_id, _NOBODY)) for user_id in user_ids}


async def users_on(calls: Calls, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
    """See `ports.PresenceStore.users_on`. By document name, which every index of one field ends with."""
    users = calls.client.collection("users")
    query = users.where(filter=FieldFilter("on", "array_contains", entry)).order_by("__name__")
    if after:
        query = query.start_after({"__name__": users.document(after)})
    return [UserId(snapshot.id) for snapshot in await query.select(["online"]).limit(limit).get(**calls.unretried)]


async def _finish(calls: Calls, turns: list[_Turn]) -> None:
    for attempt in range(_TRIES):
        left = [turn for turn in turns if not turn.is_done]
        if not left:
            return
        if attempt:
            await asyncio.sleep(0.01 * 2**attempt * random.uniform(0.5, 1.5))
        try:
            await _attempt(calls, left, _GROUPS[min(attempt, len(_GROUPS) - 1)])
        except GoogleAPICallError as error:
            if is_definite(error) or not any(turn.is_uncertain for turn in left):
                raise
    if any(not turn.is_done for turn in turns):
        raise StoreUnavailable("presence could not be written: others were first, or Firestore did not answer")


async def _attempt(calls: Calls, turns: list[_Turn], size: int) -> None:
    """Read everybody, write whom it concerns, `size` at once; those whose write failed or is uncertain are left for the next."""
    found = await get_many(calls, [_ref(calls, turn.user_id) for turn in turns])
    pending: list[tuple[_Turn, dict[str, Any], DocumentSnapshot[Any] | None]] = []
    for turn in turns:
        snapshot = found.get(_ref(calls, turn.user_id).path)
        stored = _user(calls, snapshot) if snapshot is not None else _NOBODY
        fields = turn.wanted(stored)
        if fields is None:
            turn.found(stored, _micros(snapshot.update_time) if snapshot is not None else 0)
        else:
            pending.append((turn, fields, snapshot))
    for groups in chunks(list(chunks(pending, size)), _AT_ONCE):
        await asyncio.gather(*(_commit(calls, group) for group in groups))


async def _commit(calls: Calls, group: Sequence[tuple[_Turn, dict[str, Any], DocumentSnapshot[Any] | None]]) -> None:
    """One commit. Until the answer is there it is uncertain; a definite refusal leaves things as they were before it."""
    client = calls.client
    batch = client.batch()
    for turn, fields, snapshot in group:
        if snapshot is None:
            batch.create(_ref(calls, turn.user_id), fields)
        else:
            batch.update(_ref(calls, turn.user_id), fields, option=client.write_option(last_update_time=snapshot.update_time))
    before = [turn.is_uncertain for turn, _, _ in group]
    for turn, _, _ in group:
        turn.is_uncertain = True
    try:
        results = await batch.commit(**calls.unretried)
    except GoogleAPICallError as error:
        if isinstance(translated(error), StoreUnavailable):
            return
        for (turn, _, _), was_uncertain in zip(group, before, strict=True):
            turn.is_uncertain = was_uncertain
        if is_definite(error):
            raise
        return
    for (turn, fields, _), result in zip(group, results, strict=True):
        turn.wrote(fields, _micros(result.update_time))


def _user(calls: Calls, snapshot: DocumentSnapshot[Any]) -> dict[str, Any]:
    """The fields of a user, those of presence in their types."""

    def decode(_user_id: str, stored: Stored) -> dict[str, Any]:
        seen = stored.of("lastSeen")
        on = list(stored.texts("on")) if stored.of("on") is not None else []
        known = {"on": on, "online": stored.flag("online"), "lastSeen": seen if isinstance(seen, datetime) else None}
        stored.is_damaged |= seen is not None and known["lastSeen"] is None
        return (snapshot.to_dict() or {}) | known

    return calls.read("user", [snapshot], decode)[0]


def _ref(calls: Calls, user_id: UserId) -> AsyncDocumentReference:
    return calls.client.document("users", user_id)


def _presence(user_id: UserId, fields: dict[str, Any]) -> Presence:
    seen = fields.get("lastSeen")
    return Presence(user_id, fields["online"], tuple(fields["on"]), None if seen is None else documents.ms(seen))


def _micros(timestamp: Any) -> int:
    """A protobuf or Python timestamp in microseconds."""
    micros: int = round(timestamp.timestamp() * 1_000_000)
    return micros


class FirestorePresence(StorePart):
    """Implements `ports.PresenceStore`."""

    def __init__(self, calls: Calls, tails: Tails) -> None:
        """`calls` and `tails`: shared with the other parts."""
        super().__init__(calls, tails)
        self._unfinished = Unfinished()

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=True)

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=False)

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """See the port."""
        return await self._calls.run(read(self._calls, user_ids))

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        """See the port."""
        return await self._calls.run(users_on(self._calls, entry, limit, after))

    async def _change_presence(self, entry: str, seen_at_ms: Mapping[UserId, int], *, is_present: bool) -> list[PresenceChange]:
        work = change(self._calls, self._unfinished, entry, seen_at_ms, is_present=is_present)
        return await self._calls.run(work)
