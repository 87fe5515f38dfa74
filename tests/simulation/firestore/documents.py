"""The stored documents: by name, and the order of names in each collection.

A document is protobuf's `google.firestore.v1.Document`, with both of its times. One that is stored is never changed, only
replaced: so a backup is a copy of the tables, and an answer may hold the document itself.
"""

import re
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Any, Final

from google.cloud.firestore_v1.types import document

from simulation.firestore.refusals import invalid

Document: Final = document.Document.pb()
_RESERVED: Final = re.compile(r"\.\.?|__.*__", re.DOTALL)
_MAX_ID_BYTES: Final = 1_500


@dataclass(frozen=True, slots=True)
class Backup:
    """All documents of one moment."""

    documents: dict[str, Any]


class Documents:
    """Of all projects and databases: names are whole."""

    def __init__(self) -> None:
        self._documents: dict[str, Any] = {}
        self._collections: dict[str, list[str]] = {}  # whole path of a collection: the ids in it, in order

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, name: str) -> Any | None:
        """The document, None where there is none."""
        return self._documents.get(name)

    def put(self, stored: Any) -> None:
        """Store it, instead of what has its name."""
        if stored.name not in self._documents:
            collection, _, document_id = stored.name.rpartition("/")
            insort(self._collections.setdefault(collection, []), document_id)
        self._documents[stored.name] = stored

    def drop(self, name: str) -> None:
        """Remove it, where it is; documents below it stay."""
        if self._documents.pop(name, None) is None:
            return
        collection, _, document_id = name.rpartition("/")
        ids = self._collections[collection]
        del ids[bisect_left(ids, document_id)]
        if not ids:
            del self._collections[collection]

    def ids(self, collection: str) -> list[str]:
        """The ids in a collection, in order; not to be changed."""
        return self._collections.get(collection, [])

    def backup(self) -> Backup:
        """All documents of this moment."""
        return Backup(dict(self._documents))

    def restore(self, backup: Backup) -> None:
        """Only what the backup holds is stored, as it was then."""
        self._documents.clear()
        self._collections.clear()
        for stored in backup.documents.values():
            self.put(stored)

    def empty(self, below: str = "") -> None:
        """Nothing whose name begins with that is stored any more."""
        for name in [name for name in self._documents if name.startswith(below)]:
            self.drop(name)


def check_document_name(name: str, database: str) -> None:
    """Refuse a name that is no document's of that database (`projects/p/databases/d`).

    Raises:
        Refused: it has another root, an odd number of segments, or a segment that is empty or reserved.
    """
    root = f"{database}/documents/"
    if not name.startswith(root):
        raise invalid(f'Document name "{name}" is not in the database "{database}".')
    segments = name.removeprefix(root).split("/")
    if len(segments) % 2:
        raise invalid(f'Document name "{name}" has an odd number of segments.')
    for segment in segments:
        if not segment or _RESERVED.fullmatch(segment) or len(segment.encode()) > _MAX_ID_BYTES:
            raise invalid(f'Document name "{name}" has a segment that is empty, too long or reserved.')
