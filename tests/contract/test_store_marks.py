"""The store's contract, marks of unfinished commits: each is there exactly if the messages of its append are."""

import sqlite3
from pathlib import Path

import pytest

from holdfast.domain.ids import ConversationId
from holdfast.domain.marks import StoredMark
from holdfast.errors import StoreConflict
from holdfast.ports import Store
from support.appending import NOW_MS, begin, draft, drafts
from support.fixtures_firestore import NewFirestore
from support.fixtures_store import NewStore, RecordingWatch

C = ConversationId("c1")


def _mark(number: int, owner: str = "one:e1", first: int = 1, last: int = 2) -> StoredMark:
    return StoredMark(f"{owner}~{number:08x}", C, first, last)


async def _all(store: Store, owner: str = "") -> list[StoredMark]:
    return (await store.read_marks(owner, "", 100)).marks


async def test_mark_comes_with_the_messages_of_its_append_and_with_nothing_else(store: Store) -> None:
    """A full batch still fits into one commit."""
    await begin(store, C)
    await store.append(C, 1, drafts(200), NOW_MS, _mark(1, last=200))
    assert await _all(store) == [_mark(1, last=200)]
    with pytest.raises(StoreConflict):
        await store.append(C, 1, [draft("late")], NOW_MS, _mark(2))
    await store.append(C, 201, [draft("unmarked")], NOW_MS)
    assert await _all(store) == [_mark(1, last=200)]


async def test_marks_are_read_by_owner_and_in_pages(store: Store) -> None:
    """An owner's name may be the beginning of another one's."""
    await begin(store, C)
    of_a_version_to_come = StoredMark("one:e1~zZ", C, 1, 2)
    marks = [_mark(1), _mark(0xFFFFFFFF), of_a_version_to_come, _mark(2, "one:e11"), _mark(3, "one.e1:e1"), _mark(4, "two:e1")]
    for seq, mark in enumerate(marks, 1):
        await store.append(C, seq, [draft(f"m{seq}")], NOW_MS, mark)
    assert await _all(store, "one:e1") == marks[:3]
    assert await _all(store, "three:e1") == []
    found, after = list[StoredMark](), ""
    while True:
        page = await store.read_marks("", after, 2)
        found += page.marks
        if not page.last:
            break
        after = page.last
    assert found == sorted(marks, key=lambda mark: mark.mark_id)
    first = await store.read_marks("one:e1", "", 1)
    assert (await store.read_marks("one:e1", first.last, 5)).marks == marks[1:3]


async def test_marks_are_removed_once_and_again(store: Store) -> None:
    """An owner and an instance that finished for it may both do it."""
    await begin(store, C)
    await store.append(C, 1, [draft("m1")], NOW_MS, _mark(1))
    await store.append(C, 2, [draft("m2")], NOW_MS, _mark(2))
    for _ in range(2):
        await store.remove_marks([_mark(1).mark_id, _mark(9).mark_id])
        assert await _all(store) == [_mark(2)]


async def test_sqlite_tells_of_what_is_no_mark(new_sqlite: NewStore, tmp_path: Path) -> None:
    """It is named, so that it can be removed, and counted."""
    watch = RecordingWatch()
    store = await new_sqlite(watch=watch)
    (path,) = tmp_path.glob("*.db")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO marks VALUES ('one:e1~z z', 'c1', 1, 1), ('one:e1~00000001', x'ff', 'x', 0)")
    assert (await store.read_marks("", "", 9)).damaged == ["one:e1~00000001", "one:e1~z z"]
    assert watch.unread == ["mark", "mark"]
    await store.remove_marks(["one:e1~00000001", "one:e1~z z"])
    assert (await store.read_marks("", "", 9)).damaged == []


async def test_firestore_tells_of_what_is_no_mark(new_firestore: NewFirestore) -> None:
    """As above."""
    watch = RecordingWatch()
    store = await new_firestore(watch=watch)
    await store._calls.client.document("marks", "nothing").set({"c": 1})
    assert (await store.read_marks("", "", 9)).damaged == ["nothing"]
    assert watch.unread == ["mark"]
    await store.remove_marks(["nothing"])
    assert (await store.read_marks("", "", 9)).damaged == []
