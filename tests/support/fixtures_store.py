"""Fixtures around stores: `new_store` makes stores of one kind over the same data. Firestore: see `fixtures_firestore`."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.sqlite.database import DatabaseFile
from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.errors import StoreUnavailable
from holdfast.ports import MachineClock, Store
from support.eventually import eventually

TIMEOUT_SECONDS = 10.0  # a busy machine is no failure; tests of deadlines pass their own


@dataclass
class RecordingWatch:
    """A `DependencyWatch` that remembers."""

    successes: int = 0
    failures: list[tuple[str, bool]] = field(default_factory=list)
    postponements: int = 0
    unread: list[str] = field(default_factory=list)
    documents_read: int = 0
    documents_written: int = 0

    def succeeded(self, latency_seconds: float) -> None:
        """See the port."""
        assert latency_seconds >= 0
        self.successes += 1

    def failed(self, reason: str, *, is_timeout: bool) -> None:
        """See the port."""
        self.failures.append((reason, is_timeout))

    def postponed(self) -> None:
        """See the port."""
        self.postponements += 1

    def undecodable(self, source: str, count: int = 1) -> None:
        """See the port."""
        self.unread.extend([source] * count)

    def documents(self, *, read: int = 0, written: int = 0) -> None:
        """See the port."""
        self.documents_read += read
        self.documents_written += written


NewStore = Callable[..., Awaitable[Store]]


async def opened(store: Store) -> None:
    """As a start does it: again and again. A fresh emulator needs a second or two for its first answer."""

    async def opens() -> bool:
        with contextlib.suppress(StoreUnavailable):
            await store.open()
            return True
        return False

    await eventually(opens)


@pytest.fixture
async def new_sqlite(tmp_path: Path) -> AsyncIterator[NewStore]:
    """Makes open stores, as many instances on one machine have them; closes them."""
    stores: list[Store] = []

    async def make(
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        watch: RecordingWatch | None = None,
        clock: MachineClock | None = None,
        may_open: bool = True,
    ) -> Store:
        database = DatabaseFile(tmp_path / "holdfast.db", timeout_seconds)
        stores.append(store := SqliteStore(database, clock or SystemClock(), watch or RecordingWatch()))
        if may_open:
            await opened(store)
        return store

    yield make
    for store in stores:
        await store.close()


@pytest.fixture(params=["sqlite", "emulated", "simulated"])
def new_store(request: pytest.FixtureRequest) -> NewStore:
    """Makes open stores over the same data: SQLite, or Firestore, emulated or simulated."""
    make: NewStore = request.getfixturevalue(f"new_{request.param}")
    return make


@pytest.fixture
async def store(new_store: NewStore) -> Store:
    """One store, of each kind."""
    return await new_store()
