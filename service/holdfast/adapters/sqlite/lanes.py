"""Two threads in front of one SQLite file: one that writes, one that reads. Neither ever blocks the loop.

Writes are grouped: work that is queued while a transaction runs goes into the next one. Where one of a group is refused after it
has changed something, the transaction is undone and begun again, each write with a savepoint of its own. So one refusal undoes
nothing of the others, and a group without one costs no savepoints. All are answered after the one COMMIT, with one wake-up of the
loop. Work whose caller has stopped waiting is not begun: after another process held the lock for long, the
queue is not worked off for callers that have left.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from holdfast.adapters.sqlite import schema
from holdfast.errors import StoreBusy, StoreDenied, StoreRejected, StoreTimeout, StoreUnavailable
from holdfast.ports import within

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

_MAX_GROUP: Final = 256
_MAX_QUEUED: Final = 20_000
# SQLite waits for a lock with growing pauses (up to 100 ms), so that the longest waiter comes last. Short turns begin again
# with the shortest pause: with three busy processes the worst wait falls from 640 to 100 ms.
_TURN_MS: Final = 5


@dataclass(slots=True)
class _Job:
    work: Work
    future: "asyncio.Future[Any]"
    on_late: Callable[[Any], None] | None
    result: Any = None
    error: Exception | None = None


class ThreadLane:
    """Implements `database.Lane`: one thread with its own connection. Jobs still queued at its end fail."""

    def __init__(self, path: str, timeout_seconds: float, name: str, *, is_writer: bool) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._is_writer = is_writer
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._connection: sqlite3.Connection | None = None

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None) -> T:
        """Run `work` in the thread; after a timeout it may still happen, once it has begun.

        Args:
            work: for a writer, inside its group's transaction: it must not begin or end one. It may be called twice, the second
                time when what it did is undone.
            on_late: called in the loop with the result of work that succeeded after its caller had left.

        Raises:
            StoreTimeout: it took longer than the deadline.
            StoreError: what `work` raised, translated.
        """
        if self._jobs.qsize() > _MAX_QUEUED:
            raise StoreBusy("too much is queued for the store")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, future, on_late))
        try:
            async with within(self._timeout_seconds):
                return await future
        except TimeoutError:
            raise StoreTimeout("the store did not answer in time") from None

    async def close(self) -> None:
        """End the thread after what it has begun."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, self._timeout_seconds + 1)

    def _run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                group = [job, *self._more()] if self._is_writer else [job]
                self._work_off(group)
                _answer(group)
        finally:
            self._reset()
            while not self._jobs.empty():
                if (left := self._jobs.get()) is not None:
                    left.error = StoreUnavailable("the store is closed")
                    _answer([left])

    def _more(self) -> list[_Job]:
        """What else is queued already, up to a group."""
        jobs: list[_Job] = []
        while len(jobs) < _MAX_GROUP and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs

    def _work_off(self, group: list[_Job]) -> None:
        try:
            if self._connection is None:
                self._connection = schema.connect(self._path, self._timeout_seconds)
                if self._is_writer:
                    self._connection.execute(f"PRAGMA busy_timeout = {_TURN_MS}")
            if self._is_writer:
                self._transact(self._connection, group)
            elif not group[0].future.done():
                group[0].result = group[0].work(self._connection)
        except Exception as error:  # noqa: BLE001 - the thread must not die: a caller waits for an answer
            for job in group:
                job.error = job.error or translated(error)
            self._reset()

    def _transact(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        if not _is_begun(connection, group):
            return
        if len(group) == 1:
            connection.execute("COMMIT" if _has_left(group[0]) or _is_done(connection, group[0]) else "ROLLBACK")
        elif _are_done_together(connection, group):
            connection.execute("COMMIT")
        else:
            connection.execute("ROLLBACK")
            for job in group:
                job.result = job.error = None  # of what is undone: no caller, late or not, may hear of it
            if _is_begun(connection, group):
                _do_apart(connection, group)
                connection.execute("COMMIT")

    def _reset(self) -> None:
        """Leave no transaction open: a half-done one would hold the write lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is given up either way, and the thread has others to see to
                connection.close()


def _is_begun(connection: sqlite3.Connection, group: list[_Job]) -> bool:
    """Take the write lock; False where every caller has left before that."""
    while not _begin(connection):
        if all(map(_has_left, group)):
            return False
    return True


def _are_done_together(connection: sqlite3.Connection, group: list[_Job]) -> bool:
    """Do all work. False, and no more is done, where one write failed that had changed something by then."""
    for job in group:
        before = connection.total_changes
        if not (_has_left(job) or _is_done(connection, job)) and connection.total_changes != before:
            return False
    return True


def _do_apart(connection: sqlite3.Connection, group: list[_Job]) -> None:
    """Do all work once more, and undo what a write that fails had changed."""
    for job in group:
        if not _has_left(job):
            connection.execute("SAVEPOINT job")
            if not _is_done(connection, job):
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")


def _has_left(job: _Job) -> bool:
    """Its caller does not wait any more."""
    return job.future.done()


def _is_done(connection: sqlite3.Connection, job: _Job) -> bool:
    """Do the work; False where it failed."""
    try:
        job.result = job.work(connection)
    except Exception as error:  # whatever one job meets, the others of its group must not pay for it
        job.error = translated(error)
        if not connection.in_transaction:
            raise  # SQLite has undone everything (disk full, I/O error): no work was stored
        return False
    return True


def _begin(connection: sqlite3.Connection) -> bool:
    """Take the write lock; False when another process kept it for a whole turn."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith("SQLITE_BUSY"):
            return False
        raise
    return True


def translated(error: Exception) -> Exception:
    """SQLite's errors as ours; faults of our own stay what they are."""
    if isinstance(error, OverflowError | UnicodeEncodeError | sqlite3.DataError | sqlite3.IntegrityError):
        return StoreRejected(f"SQLite: {error}")  # a value that no column takes; conflicts are told apart where they arise
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_NOTADB", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CORRUPT")):
        return StoreDenied(f"SQLite: {error}")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreTimeout(f"SQLite: {error}")
    return StoreUnavailable(f"SQLite: {error}")


def _answer(group: list[_Job]) -> None:
    """All jobs of a lane are of one loop."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
        group[0].future.get_loop().call_soon_threadsafe(_settle_all, group)


def _settle_all(group: list[_Job]) -> None:
    for job in group:
        try:
            _settle(job)
        except Exception as error:  # noqa: BLE001 - the others are stored, and their callers wait
            job.future.get_loop().call_exception_handler({"message": "a write was not answered", "exception": error})


def _settle(job: _Job) -> None:
    if job.future.done():
        if job.on_late is not None and job.error is None and job.result is not None:
            job.on_late(job.result)
        return
    if job.error is not None:
        job.future.set_exception(job.error)
    else:
        job.future.set_result(job.result)
