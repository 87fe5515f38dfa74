"""Where the tables are: a file on the machine's disk, reached by threads. `SqliteStore` knows no more of it than `Database`."""

import asyncio
import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from holdfast.adapters.sqlite import schema
from holdfast.adapters.sqlite.lanes import ThreadLane

T = TypeVar("T")
_PRIVATE = 0o600


class Lane(Protocol):
    """One connection to a database: work on it is done one after the other. Used from one event loop."""

    async def run(self, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None) -> T:
        """Do `work`, a writer's inside a transaction that `work` neither begins nor ends.

        Args:
            work: called with the connection, not necessarily in the loop's thread; perhaps twice, the second time when what the
                first call did is undone.
            on_late: called in the loop with the result of work that succeeded after its caller had left.

        Raises:
            StoreTimeout: it took longer than the deadline; it may still happen, once it has begun.
            StoreError: what `work` raised, translated.
        """
        ...

    async def close(self) -> None:
        """End after the work that has begun; queued work fails with `StoreUnavailable`."""
        ...


class Database(Protocol):
    """One database, shared by several instances."""

    async def create(self) -> None:
        """Make what is missing of the tables.

        Raises:
            sqlite3.Error, OSError, StoreDenied: it cannot be had.
        """
        ...

    def lane(self, name: str, *, is_writer: bool) -> Lane:
        """Begin a lane of its own; the caller closes it."""
        ...


class DatabaseFile:
    """Implements `Database` with a file: one thread for each lane. No call waits longer than `timeout_seconds`."""

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        """Opens nothing yet."""
        self._path = path
        self._timeout_seconds = timeout_seconds

    async def create(self) -> None:
        """See `Database.create`."""
        await asyncio.to_thread(self._create)

    def lane(self, name: str, *, is_writer: bool) -> Lane:
        """See `Database.lane`."""
        lane = ThreadLane(str(self._path), self._timeout_seconds, name, is_writer=is_writer)
        lane.start()
        return lane

    def _create(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _make_private(self._path)
        connection = schema.connect(str(self._path), self._timeout_seconds)
        try:
            schema.create(connection, secrets.token_hex(8))
        finally:
            connection.close()


def _make_private(path: Path) -> None:
    """For its owner alone; SQLite gives what it puts beside the file the same mode. A file of another owner stays as it is."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _PRIVATE))  # an open one would lose SQLite's locks by closing
    for each in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if each.stat().st_mode & 0o077:
                each.chmod(_PRIVATE)
