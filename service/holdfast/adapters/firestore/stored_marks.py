"""Marks of unfinished commits in Firestore."""

from collections.abc import Sequence

from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.part import StorePart
from holdfast.domain.marks import MarkPage, decoded


async def page(calls: Calls, owner: str, after: str, limit: int) -> MarkPage:
    """See `ports.MarkStore.read_marks`. A page without a mark costs one read."""
    collection, name = calls.client.collection("marks"), FieldPath.document_id()
    query: AsyncQuery = collection.order_by(name)
    lower = max(after, f"{owner}~") if owner else after
    if lower:
        query = query.where(filter=FieldFilter(name, ">", collection.document(lower)))
    if owner:
        query = query.where(filter=FieldFilter(name, "<", collection.document(f"{owner}~~")))
    found = await query.limit(limit).get(**calls.unretried)
    marks = calls.read("mark", found, decoded)
    sound = {mark.mark_id for mark in marks}
    damaged = [each.id for each in found if each.id not in sound]
    return MarkPage(marks, damaged, found[-1].id if len(found) == limit else "")


async def remove(calls: Calls, mark_ids: Sequence[str]) -> None:
    """See `ports.MarkStore.remove_marks`."""
    batch = calls.client.batch()
    for mark_id in mark_ids:
        batch.delete(calls.client.document("marks", mark_id))
    await batch.commit(**calls.unretried)


class FirestoreMarks(StorePart):
    """Implements `ports.MarkStore`."""

    async def read_marks(self, owner: str, after: str, limit: int) -> MarkPage:
        """See the port."""
        return await self._calls.run(page(self._calls, owner, after, limit))

    async def remove_marks(self, mark_ids: Sequence[str]) -> None:
        """See the port."""
        await self._calls.run(remove(self._calls, mark_ids))
