"""The store's contract, definite answers: what waiting does not change is said at once, and to its culprit alone."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.adapters.firestore.store import FirestoreStore
from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.sqlite.database import DatabaseFile
from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.domain.ids import ConversationId
from holdfast.errors import StoreDenied, StoreRejected
from support.appending import NOW_MS, begin, draft, drafts
from support.fixtures_store import NewStore, RecordingWatch

C = ConversationId("c1")
SHORT_SECONDS = 1.0


async def test_content_that_no_store_takes_is_refused_alone(new_store: NewStore) -> None:
    """Others in the same moment must not pay for it: neither conflict nor outage, and the culprit can be named."""
    store = await new_store()
    await begin(store, *(f"c{n}" for n in range(1, 22)))
    poison = store.append(C, 1, [replace(draft("m1"), body="half a pair: \ud800")], NOW_MS)
    healthy = [store.append(ConversationId(f"c{n}"), 1, drafts(1), NOW_MS) for n in range(2, 22)]
    outcomes = await asyncio.gather(poison, *healthy, return_exceptions=True)
    assert isinstance(outcomes[0], StoreRejected), outcomes[0]
    assert outcomes[1:] == [None] * 20
    assert (await store.settle(C, [])).tail == 0


async def test_a_file_that_is_no_database_is_denied(tmp_path: Path) -> None:
    """Waiting does not help: the start ends with it."""
    path = tmp_path / "holdfast.db"
    path.write_bytes(b"this is something else" * 1_000)
    watch = RecordingWatch()
    with pytest.raises(StoreDenied, match="not a database"):
        await SqliteStore(DatabaseFile(path, SHORT_SECONDS), SystemClock(), watch).open()
    assert len(watch.failures) == 1


async def test_a_file_of_a_newer_layout_is_denied(tmp_path: Path) -> None:
    """An older service must not write into what it does not understand."""
    with sqlite3.connect(tmp_path / "holdfast.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreDenied, match="layout 99"):
        await SqliteStore(DatabaseFile(tmp_path / "holdfast.db", SHORT_SECONDS), SystemClock(), RecordingWatch()).open()


async def test_a_directory_that_cannot_be_is_denied(tmp_path: Path) -> None:
    """A wrong path is named at the start."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreDenied):
        await SqliteStore(DatabaseFile(tmp_path / "file" / "holdfast.db", SHORT_SECONDS), SystemClock(), RecordingWatch()).open()


async def test_an_emulator_s_address_with_a_scheme_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would wait for a host named `http`."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(StoreDenied, match="without http://"):
        await FirestoreStore("project", "(default)", SHORT_SECONDS, SystemClock(), RecordingWatch()).open()
