"""Reading many documents in one call, in chunks that Firestore takes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from google.cloud.firestore_v1.async_document import AsyncDocumentReference
from google.cloud.firestore_v1.base_document import DocumentSnapshot

from holdfast.adapters.firestore.client import Calls
from holdfast.domain.chunks import chunks

_CHUNK: Final = 300  # keeps one request and its answer far below 10 MiB
_AT_ONCE: Final = 4  # hides round trips; more would only queue for the CPU that decodes the answers


async def get_many(
    calls: Calls, references: Sequence[AsyncDocumentReference], fields: Sequence[str] | None = None
) -> dict[str, DocumentSnapshot[Any]]:
    """The documents that exist, by path."""
    found: dict[str, DocumentSnapshot[Any]] = {}

    async def read(chunk: Sequence[AsyncDocumentReference]) -> None:
        async for snapshot in calls.client.get_all(list(chunk), field_paths=fields, **calls.unretried):
            if snapshot.exists:
                found[snapshot.reference.path] = snapshot

    for several in chunks(list(chunks(references, _CHUNK)), _AT_ONCE):
        await asyncio.gather(*map(read, several))
    return found
