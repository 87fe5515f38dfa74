"""Reading many documents in one call, in chunks that Firestore takes."""

from collections.abc import Sequence
from typing import Any, Final

from google.cloud.firestore_v1.async_document import AsyncDocumentReference
from google.cloud.firestore_v1.base_document import DocumentSnapshot

from holdfast.adapters.firestore.client import Calls

_CHUNK: Final = 300  # keeps one request and its answer far below 10 MiB


async def get_many(
    calls: Calls, references: Sequence[AsyncDocumentReference], fields: Sequence[str] | None = None
) -> dict[str, DocumentSnapshot[Any]]:
    """The documents that exist, by path."""
    found = {}
    for start in range(0, len(references), _CHUNK):
        chunk = list(references[start : start + _CHUNK])
        async for snapshot in calls.client.get_all(chunk, field_paths=fields, **calls.unretried):
            if snapshot.exists:
                found[snapshot.reference.path] = snapshot
    return found
