"""Calls to the file: each on the lane of the writer or of the readers, reported to the watch."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from holdfast.adapters.sqlite import store_time
from holdfast.adapters.sqlite.database import Database, Lane
from holdfast.adapters.sqlite.lanes import translated
from holdfast.adapters.sqlite.schema import Connection
from holdfast.errors import StoreConflict, StoreDenied, StoreError, StoreRejected, StoreTimeout, StoreUnavailable
from holdfast.ports import DependencyWatch, MachineClock

T = TypeVar("T")


class Calls:
    """The two lanes of one file. Used from one event loop; `close` ends them."""

    def __init__(self, database: Database, clock: MachineClock, watch: DependencyWatch) -> None:
        """Opens nothing yet."""
        self._database = database
        self._clock = clock
        self._watch = watch
        self._may_write = True
        self._writer: Lane | None = None
        self._reader: Lane | None = None

    async def open(self, *, may_create: bool) -> None:
        """Open both lanes, and the file before, where it may be created. May be repeated.

        Raises:
            StoreError: see `lanes.translated`.
        """
        if self._writer is not None:
            return
        try:
            if may_create:
                await self._database.create()
        except (sqlite3.Error, OSError, StoreDenied) as error:
            refusal = StoreDenied(str(error)) if isinstance(error, OSError) else translated(error)
            self._watch.failed(str(refusal), is_timeout=isinstance(refusal, StoreTimeout))
            raise refusal from error
        self._writer = self._database.lane("sqlite-writer", is_writer=True)
        self._reader = self._database.lane("sqlite-reader", is_writer=False)

    async def close(self) -> None:
        """End both lanes."""
        lanes = [lane for lane in (self._writer, self._reader) if lane is not None]
        self._writer = self._reader = None
        for lane in lanes:
            await lane.close()

    async def write(self, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None) -> T:
        """Do `work` in a transaction of the writer. `on_late` gets a result that came after the deadline.

        Raises:
            StoreError: see `lanes.translated`.
        """
        return await self._run(self._writer, work, on_late)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` on the lane of the readers.

        Raises:
            StoreError: see `lanes.translated`.
        """
        return await self._run(self._reader, work)

    def now_ms(self, connection: sqlite3.Connection) -> int:
        """The store's time, inside the lane's thread."""
        return store_time.now_ms(connection, self._clock)

    def follow(self, connection: sqlite3.Connection) -> int:
        """The store's time, which follows this machine's clock from now on; inside the writer's thread."""
        return store_time.follow(connection, self._clock)

    def _counted(self, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
        """Do `work`, and report what it found damaged; in the lane's thread."""
        try:
            return work(connection)
        finally:
            if isinstance(connection, Connection):
                for source, count in connection.damaged.items():
                    self._watch.undecodable(source, count)
                connection.damaged.clear()

    async def _run(
        self, lane: Lane | None, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None
    ) -> T:
        if lane is None:
            raise StoreUnavailable("the store is not open")
        began = self._clock.monotonic()
        try:
            result = await lane.run(partial(self._counted, work), on_late)
        except (StoreConflict, StoreRejected):
            self._watch.succeeded(self._clock.monotonic() - began)
            raise
        except StoreError as error:
            self._may_write = self._may_write and lane is self._reader
            self._watch.failed(str(error), is_timeout=isinstance(error, StoreTimeout))
            raise
        self._may_write = self._may_write or lane is self._writer
        if self._may_write:  # reads that succeed beside failing writes are no sign of health
            self._watch.succeeded(self._clock.monotonic() - began)
        return result


class StorePart:
    """One concept of the store. `SqliteStore` is all of them, over the same calls."""

    def __init__(self, calls: Calls) -> None:
        """`calls`: shared with the other parts."""
        self._calls = calls
