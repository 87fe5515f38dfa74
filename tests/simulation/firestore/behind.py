"""The messages behind a conversation's earlier tail, taken away as the restore of a backup does; see `simulation.restoring`."""

from collections.abc import Iterator
from typing import Any

from simulation.firestore.documents import Document
from simulation.firestore.place import ROOT, SimulatedFirestore


class BehindInFirestore:
    """Implements `restoring.Behind`. Documents are changed without a commit: their times stay."""

    def __init__(self, store: SimulatedFirestore) -> None:
        self._stored = store.service.stored
        self._bulletins: list[Any] = []

    def tail(self, conversation: str) -> int:
        """See `Behind`."""
        ids = self._stored.ids(f"{ROOT}/conversations/{conversation}/messages")
        return int(ids[-1]) if ids else 0

    def put_back(self, conversation: str, tail: int) -> list[tuple[int, str, str]]:
        """See `Behind`."""
        place = f"{ROOT}/conversations/{conversation}"
        gone = [each for each in self._all(f"{place}/messages") if _number(each, "seq") > tail]
        lost = [(_number(each, "seq"), _text(each, "sender"), _text(each, "clientMessageId")) for each in gone]
        gone += [each for each in self._all(f"{place}/sends") if _number(each, "seq") > tail]
        records = self._all(f"{ROOT}/notifications")
        gone += [each for each in records if _text(each, "conversationId") == conversation and _number(each, "seq") > tail]
        for each in gone:
            self._stored.drop(each.name)
        for each in self._all(f"{place}/cursors"):
            self._bound(each, tail, "lastReadSeq")
        if (stored := self._stored.get(place)) is not None:
            self._bound(stored, tail, "lastSeq")
        return lost

    def remember_bulletins(self) -> None:
        """See `Behind`."""
        self._bulletins = list(self._all(f"{ROOT}/instances"))

    def put_bulletins_back(self) -> None:
        """See `Behind`."""
        for each in self._all(f"{ROOT}/instances"):
            self._stored.drop(each.name)
        for each in self._bulletins:
            self._stored.put(each)

    def _all(self, collection: str) -> Iterator[Any]:
        for each in tuple(self._stored.ids(collection)):
            if (stored := self._stored.get(f"{collection}/{each}")) is not None:
                yield stored

    def _bound(self, stored: Any, tail: int, field: str) -> None:
        """Of a conversation the positions at which memberships begin, too."""
        changed = Document()
        changed.CopyFrom(stored)
        joined = changed.fields["joined"].map_value.fields.values() if "joined" in stored.fields else []
        for number in (changed.fields[field], *joined):
            number.integer_value = min(number.integer_value, tail)
        self._stored.put(changed)


def _number(stored: Any, field: str) -> int:
    return int(stored.fields[field].integer_value) if field in stored.fields else 0


def _text(stored: Any, field: str) -> str:
    return str(stored.fields[field].string_value) if field in stored.fields else ""
