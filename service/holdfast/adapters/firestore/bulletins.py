"""Bulletins and revocations in Firestore: small documents that every instance reads."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from google.api_core.exceptions import FailedPrecondition, NotFound
from google.cloud.firestore_v1 import SERVER_TIMESTAMP, Maximum, Query
from google.cloud.firestore_v1.async_document import AsyncDocumentReference
from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.part import StorePart
from holdfast.domain.bulletins import Bulletin, BulletinVersion, StandingBulletin
from holdfast.domain.ids import RunId, UserId
from holdfast.domain.stored import Stored

REVOCATIONS_PAGE: Final = 1_000


async def write_bulletin(calls: Calls, bulletin: Bulletin) -> BulletinVersion:
    """See `ports.RunStore.write_bulletin`."""
    reference, fields = _ref(calls, bulletin.key), documents.bulletin_fields(bulletin)
    if bulletin.version:
        option = documents.at_version(calls.client, bulletin.version)
        result = await reference.update(fields, option=option, **calls.unretried)
    else:
        result = await reference.create(fields, **calls.unretried)
    return BulletinVersion(documents.version_of(result.update_time), documents.whole_ms(result.update_time))


async def find_bulletin(calls: Calls, run: RunId) -> StandingBulletin | None:
    """See `ports.RunStore.find_bulletin`."""
    snapshot = await _ref(calls, run).get(**calls.unretried)
    if not snapshot.exists:
        return None
    stored = Stored(snapshot.to_dict())
    beat, is_dead, is_ended = stored.number("beat"), stored.flag("isDead"), stored.flag("isEnded")
    return StandingBulletin(documents.version_of(snapshot.update_time), None if stored.is_damaged else beat, is_dead, is_ended)


async def read_bulletins(calls: Calls, *, only_unwell: bool) -> list[Bulletin]:
    """See `ports.RunStore.read_bulletins`."""
    collection = calls.client.collection("instances")
    query = collection.where(filter=FieldFilter("mode", "!=", "ok")) if only_unwell else collection
    snapshots = await query.get(**calls.unretried)
    written = {each.id: each.update_time for each in snapshots}
    return calls.read("bulletin", snapshots, lambda name, stored: documents.bulletin(name, stored, written[name]))


async def declare_dead(calls: Calls, bulletin: Bulletin) -> bool:
    """See `ports.RunStore.declare_dead`."""
    option = documents.at_version(calls.client, bulletin.version)
    try:
        await _ref(calls, bulletin.key).update(documents.death_fields(bulletin), option=option, **calls.unretried)
    except (FailedPrecondition, NotFound):
        return False
    return True


async def remove_bulletin(calls: Calls, bulletin: Bulletin) -> None:
    """See `ports.RunStore.remove_bulletin`."""
    with contextlib.suppress(FailedPrecondition, NotFound):
        option = documents.at_version(calls.client, bulletin.version)
        await _ref(calls, bulletin.key).delete(option=option, **calls.unretried)


def _ref(calls: Calls, key: str) -> AsyncDocumentReference:
    return calls.client.document("instances", key)


async def revoke(calls: Calls, user_id: UserId) -> int:
    """See `ports.RevocationStore.revoke`. The second write is for instances of an older version."""
    reference = calls.client.document("revocations", user_id)
    result = await reference.set({"revokedAt": SERVER_TIMESTAMP}, merge=True, **calls.unretried)
    revoked_at_ms = documents.whole_ms(result.update_time)
    await reference.set({"notBefore": Maximum(revoked_at_ms // 1000 + 1)}, merge=True, **calls.unretried)
    return revoked_at_ms


def since_filters(since_ms: int) -> tuple[FieldFilter, FieldFilter]:
    """Of the two queries for the revocations since then. Instances of an older version write no `revokedAt`."""
    return FieldFilter("revokedAt", ">=", documents.at(since_ms)), FieldFilter("notBefore", ">=", since_ms // 1000)


async def page_of_revocations(
    calls: Calls, since: FieldFilter | None, after: DocumentSnapshot[Any] | None, limit: int
) -> tuple[dict[UserId, int], DocumentSnapshot[Any] | None]:
    """Some of the revocations that the filter finds, by its field, or (None) of all; the last one, if there may be more."""
    collection = calls.client.collection("revocations")
    query = collection.where(filter=since).order_by(since.field_path) if since is not None else collection.order_by("__name__")
    found = await _page(calls, query, after, limit)
    return dict(_revoked(calls, found)), _last(found, limit)


async def revoke_token(calls: Calls, name: str, ends_at_ms: int) -> None:
    """See `ports.RevocationStore.revoke_token`. The TTL policy removes it some time after its end."""
    fields = {"revokedAt": SERVER_TIMESTAMP, "expireAt": documents.at(ends_at_ms)}
    await calls.client.document("revokedTokens", name).set(fields, **calls.unretried)


async def page_of_revoked_tokens(
    calls: Calls, since_ms: int, after: DocumentSnapshot[Any] | None, limit: int
) -> tuple[dict[str, int], DocumentSnapshot[Any] | None]:
    """Some of the tokens revoked since then, or (0) of all, those that end last first; the last one, if there may be more."""
    collection = calls.client.collection("revokedTokens")
    if since_ms:
        query = collection.where(filter=FieldFilter("revokedAt", ">=", documents.at(since_ms))).order_by("revokedAt")
    else:
        query = collection.order_by("expireAt", direction=Query.DESCENDING)
    found = await _page(calls, query, after, limit)
    revoked = calls.read("revocation", found, lambda name, stored: (name, documents.revoked_until_ms(stored)))
    return dict(revoked), _last(found, limit)


async def _page(
    calls: Calls, query: AsyncQuery, after: DocumentSnapshot[Any] | None, limit: int
) -> Sequence[DocumentSnapshot[Any]]:
    query = query.limit(limit)
    return await (query if after is None else query.start_after(after)).get(**calls.unretried)


def _last(page: Sequence[DocumentSnapshot[Any]], limit: int) -> DocumentSnapshot[Any] | None:
    """None where no other page follows."""
    return page[-1] if len(page) == limit else None


def _revoked(calls: Calls, snapshots: Iterable[DocumentSnapshot[Any]]) -> list[tuple[UserId, int]]:
    return calls.read("revocation", snapshots, lambda name, stored: (UserId(name), documents.revoked_at_ms(stored)))


def _is_of_that_second(revoked_at_ms: int, since_ms: int) -> bool:
    """Instances of an older version say whole seconds, rounded down."""
    return revoked_at_ms % 1000 == 0 and revoked_at_ms > since_ms - 1000


class FirestoreRuns(StorePart):
    """Implements `ports.RunStore`."""

    async def write_bulletin(self, bulletin: Bulletin) -> BulletinVersion:
        """See the port."""
        return await self._calls.run_now(write_bulletin(self._calls, bulletin))

    async def find_bulletin(self, run: RunId) -> StandingBulletin | None:
        """See the port."""
        return await self._calls.run_now(find_bulletin(self._calls, run))

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """See the port."""
        return await self._calls.run_now(read_bulletins(self._calls, only_unwell=only_unwell))

    async def declare_dead(self, bulletin: Bulletin) -> bool:
        """See the port."""
        return await self._calls.run_now(declare_dead(self._calls, bulletin))

    async def remove_bulletin(self, bulletin: Bulletin) -> None:
        """See the port."""
        await self._calls.run_now(remove_bulletin(self._calls, bulletin))


class FirestoreRevocations(StorePart):
    """Implements `ports.RevocationStore`."""

    async def revoke(self, user_id: UserId) -> int:
        """See the port."""
        return await self._calls.run(revoke(self._calls, user_id))

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        """See the port."""
        if not since_ms:
            return await self._revocations(None)
        found = await asyncio.gather(*map(self._revocations, since_filters(since_ms)))
        revoked = sorted((each for answer in found for each in answer.items()), key=itemgetter(1))  # the latest of a user counts
        return {user_id: at_ms for user_id, at_ms in revoked if at_ms >= since_ms or _is_of_that_second(at_ms, since_ms)}

    async def _revocations(self, since: FieldFilter | None) -> dict[UserId, int]:
        """All pages. Each has a deadline of its own: starts and polls succeed however many there are."""
        revoked, after, is_more = dict[UserId, int](), None, True
        while is_more:
            page, after = await self._calls.run(page_of_revocations(self._calls, since, after, REVOCATIONS_PAGE))
            revoked |= page
            is_more = after is not None
        return revoked

    async def revoke_token(self, name: str, ends_at_ms: int) -> None:
        """See the port."""
        await self._calls.run(revoke_token(self._calls, name, ends_at_ms))

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        """See the port."""
        revoked, after, left = dict[str, int](), None, limit
        while left > 0:
            size = min(left, REVOCATIONS_PAGE)
            page, after = await self._calls.run(page_of_revoked_tokens(self._calls, since_ms, after, size))
            revoked |= page
            left = left - size if after is not None else 0
        return revoked
