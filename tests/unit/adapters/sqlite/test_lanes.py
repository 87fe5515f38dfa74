"""The threads in front of a SQLite file: groups, and what becomes of those whose work fails."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from holdfast.adapters.sqlite import lanes
from holdfast.adapters.sqlite.lanes import ThreadLane, translated
from holdfast.errors import StoreConflict, StoreDenied, StoreRejected, StoreTimeout, StoreUnavailable


@pytest.fixture
async def lane(tmp_path: Path) -> AsyncIterator[ThreadLane]:
    """A writer with one table."""
    lane = ThreadLane(str(tmp_path / "lane.db"), 10.0, "writer", is_writer=True)
    lane.start()
    await lane.run(lambda c: c.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)").rowcount)
    yield lane
    await lane.close()


def insert(connection: sqlite3.Connection, n: int, text: str = "") -> int:
    """One row."""
    return connection.execute("INSERT INTO t VALUES (?, ?)", (n, text)).rowcount


async def rows(lane: ThreadLane) -> list[int]:
    """The committed rows."""
    return [n for (n,) in await lane.run(lambda c: c.execute("SELECT n FROM t ORDER BY n").fetchall())]


async def grouped(lane: ThreadLane, *jobs: object) -> list[object]:
    """Queue jobs while another one runs, so that they share a transaction."""
    return await in_one_group(lane, lambda: [asyncio.ensure_future(lane.run(job)) for job in jobs])  # type: ignore[arg-type]  # of any result


async def in_one_group(lane: ThreadLane, begin: Callable[[], list[asyncio.Future[object]]]) -> list[object]:
    """As `grouped`; `begin` queues the jobs."""
    is_busy, may_end = threading.Event(), threading.Event()

    def occupy(_: sqlite3.Connection) -> None:
        is_busy.set()
        may_end.wait(10)

    first = asyncio.ensure_future(lane.run(occupy))
    await asyncio.to_thread(is_busy.wait, 10)
    others = begin()
    await asyncio.sleep(0)  # they are in the queue
    may_end.set()
    await first
    return await asyncio.gather(*others, return_exceptions=True)


async def test_what_waits_shares_a_transaction(lane: ThreadLane) -> None:
    """One flush to the disk for all: that is where the throughput comes from."""
    transactions: list[str] = []
    await lane.run(lambda c: c.set_trace_callback(lambda sql: transactions.append(sql) if sql == "COMMIT" else None))
    before = len(transactions)
    await grouped(lane, *(lambda c, n=n: insert(c, n) for n in range(50)))
    assert len(transactions) - before <= 3
    assert await rows(lane) == list(range(50))


async def test_whoever_fails_fails_alone(lane: ThreadLane) -> None:
    """Refusals, values that no column takes and faults of our own undo nothing of the others, and half of nothing stays."""

    def conflict(connection: sqlite3.Connection) -> None:
        insert(connection, 10)
        raise StoreConflict("seen later")

    def fault(connection: sqlite3.Connection) -> None:
        insert(connection, 11)
        raise KeyError("bug")

    outcomes = await grouped(
        lane,
        lambda c: insert(c, 1),
        conflict,
        fault,
        lambda c: insert(c, 12, "\ud800"),
        lambda c: insert(c, 2**70),
        lambda c: insert(c, 2),
    )
    assert [type(outcome) for outcome in outcomes] == [int, StoreConflict, KeyError, StoreRejected, StoreRejected, int]
    assert await rows(lane) == [1, 2]


async def test_group_without_a_refusal_costs_no_savepoints(lane: ThreadLane) -> None:
    """Two statements less for each write. A refusal that changed nothing has nothing to be undone."""

    def refused(_: sqlite3.Connection) -> None:
        raise StoreConflict("seen at once")

    statements: list[str] = []
    await lane.run(lambda c: c.set_trace_callback(statements.append))
    outcomes = await grouped(lane, lambda c: insert(c, 1), refused, lambda c: insert(c, 2))
    assert [type(outcome) for outcome in outcomes] == [int, StoreConflict, int]
    assert [each.split(" ")[0] for each in statements][-4:] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]
    assert await rows(lane) == [1, 2]


async def test_write_that_is_undone_with_its_group_is_done_once_more_and_stored_once(lane: ThreadLane) -> None:
    """Another one of the group was refused after it had changed something."""

    def refused(connection: sqlite3.Connection) -> None:
        insert(connection, 10)
        raise StoreConflict("seen later")

    calls: list[int] = []

    def counted(connection: sqlite3.Connection, n: int) -> int:
        calls.append(n)
        return insert(connection, n)

    outcomes = await grouped(lane, lambda c: counted(c, 1), refused, lambda c: counted(c, 2))
    assert [type(outcome) for outcome in outcomes] == [int, StoreConflict, int]
    assert calls == [1, 1, 2]
    assert await rows(lane) == [1, 2]


async def test_caller_that_leaves_before_its_undone_write_is_done_once_more_is_told_nothing(lane: ThreadLane) -> None:
    """The first result is of work that was undone: presence that it tells of is not in the store."""
    loop, late, tasks = asyncio.get_running_loop(), list[int](), list[asyncio.Future[object]]()
    is_left = threading.Event()

    def leave() -> None:
        tasks[0].cancel()
        loop.call_soon(is_left.set)

    def refused(connection: sqlite3.Connection) -> None:
        insert(connection, 10)
        if not is_left.is_set():
            loop.call_soon_threadsafe(leave)
            is_left.wait(10)
        raise StoreConflict("seen later")

    def begin() -> list[asyncio.Future[object]]:
        tasks.append(asyncio.ensure_future(lane.run(lambda c: insert(c, 1), late.append)))
        tasks.append(asyncio.ensure_future(lane.run(refused)))
        return tasks

    await in_one_group(lane, begin)
    assert await rows(lane) == []
    assert late == []


async def test_result_of_undone_work_is_told_to_no_late_caller(lane: ThreadLane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process took the lock after the group was undone, and kept it until all callers had left."""
    loop, late, tasks = asyncio.get_running_loop(), list[int](), list[asyncio.Future[object]]()
    begun: list[bool] = []
    begin = lanes._begin

    def leave(are_left: threading.Event) -> None:
        for task in tasks:
            task.cancel()
        loop.call_soon(are_left.set)

    def begin_or_wait(connection: sqlite3.Connection) -> bool:
        is_undone = len(begun) == 2  # those before it: of `occupy`, and the group's first
        begun.append(True)
        if is_undone:
            are_left = threading.Event()
            loop.call_soon_threadsafe(leave, are_left)
            are_left.wait(10)
            return False
        return begin(connection)

    def refused(connection: sqlite3.Connection) -> None:
        insert(connection, 10)
        raise StoreConflict("seen later")

    def queue() -> list[asyncio.Future[object]]:
        tasks.append(asyncio.ensure_future(lane.run(lambda c: insert(c, 1), late.append)))
        tasks.append(asyncio.ensure_future(lane.run(refused)))
        return tasks

    monkeypatch.setattr(lanes, "_begin", begin_or_wait)
    await in_one_group(lane, queue)
    assert await rows(lane) == []
    assert late == []


async def test_a_group_that_cannot_be_committed_fails_whole_and_the_lane_goes_on(lane: ThreadLane) -> None:
    """No caller is told that it was stored when it was not."""

    def undone(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself on a full disk or an I/O error
        raise sqlite3.OperationalError("disk I/O error")

    outcomes = await grouped(lane, lambda c: insert(c, 1), undone, lambda c: insert(c, 2))
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert await rows(lane) == []
    await lane.run(lambda c: insert(c, 3))
    assert await rows(lane) == [3]


async def test_an_answer_too_late_is_handed_over(lane: ThreadLane) -> None:
    """For callers that must know the outcome of their abandoned work."""
    is_in, may_end, late = threading.Event(), threading.Event(), list[int]()

    def slow(connection: sqlite3.Connection) -> int:
        count = insert(connection, 1)
        is_in.set()
        may_end.wait(10)
        return count

    task = asyncio.ensure_future(lane.run(slow, late.append))
    await asyncio.to_thread(is_in.wait, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    may_end.set()
    assert await rows(lane) == [1]
    assert late == [1]


async def test_what_is_queued_at_the_end_is_not_left_waiting(tmp_path: Path) -> None:
    """Closing answers everybody."""
    lane = ThreadLane(str(tmp_path / "lane.db"), 10.0, "reader", is_writer=False)
    lane.start()
    waiting = [asyncio.ensure_future(lane.run(lambda c: c.execute("SELECT 1").fetchone())) for _ in range(5)]
    await asyncio.sleep(0)  # they are in the queue
    await lane.close()
    assert await asyncio.gather(*waiting) == [(1,)] * 5


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("SQLITE_BUSY", StoreTimeout),
        ("SQLITE_BUSY_SNAPSHOT", StoreTimeout),
        ("SQLITE_CANTOPEN", StoreDenied),
        ("SQLITE_NOTADB", StoreDenied),
        ("SQLITE_READONLY_DIRECTORY", StoreDenied),
        ("SQLITE_FULL", StoreUnavailable),
        ("SQLITE_IOERR_WRITE", StoreUnavailable),
    ],
)
def test_sqlite_s_errors_have_a_meaning(name: str, meaning: type[Exception]) -> None:
    """Which of them waiting helps against."""
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    assert type(translated(error)) is meaning


async def test_answer_that_came_while_the_loop_was_busy_is_no_timeout(tmp_path: Path) -> None:
    """A store that answered in a millisecond did not fail because thousands of clients connected in that half second."""
    lane = ThreadLane(str(tmp_path / "lane.db"), 0.2, "reader", is_writer=False)
    lane.start()
    asyncio.get_running_loop().call_soon(time.sleep, 0.4)
    assert await lane.run(lambda c: c.execute("SELECT 1").fetchone()) == (1,)
    await lane.close()


async def test_a_connection_that_cannot_be_closed_does_not_end_the_thread(lane: ThreadLane) -> None:
    """The store would be away until the next start of the process, and nothing would say why."""

    def fail() -> None:
        raise sqlite3.OperationalError("unable to close")

    def work(connection: sqlite3.Connection) -> None:
        connection.close = fail  # type: ignore[method-assign]  # as SQLite may refuse
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StoreUnavailable):
        await lane.run(work)
    await lane.run(lambda c: insert(c, 1))
    assert await rows(lane) == [1]


async def test_group_is_answered_with_one_wake_up_of_the_loop(lane: ThreadLane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wake-up is a write to a pipe and a turn of the loop, on the one core that all connections share."""
    loop, answers = asyncio.get_running_loop(), 0
    call_soon_threadsafe = loop.call_soon_threadsafe

    def counted(callback: object, *arguments: object, **more: object) -> asyncio.Handle:
        nonlocal answers
        answers += "lanes" in getattr(callback, "__module__", "")
        return call_soon_threadsafe(callback, *arguments, **more)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    await grouped(lane, *(lambda c, n=n: insert(c, n) for n in range(50)))
    assert answers == 2  # of the job that kept the lane busy, and of the group


async def test_mistake_in_one_answer_keeps_no_other_from_its_own(lane: ThreadLane) -> None:
    """All are stored: callers that were not answered would have to find that out by reading."""
    mistakes: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mistakes.append(context["message"]))
    is_busy, may_end = threading.Event(), threading.Event()

    def occupy(_: sqlite3.Connection) -> None:
        is_busy.set()
        may_end.wait(10)

    def mistaken(_: sqlite3.Connection) -> None:
        raise StopIteration  # no future takes that

    first = asyncio.ensure_future(lane.run(occupy))
    await asyncio.to_thread(is_busy.wait, 10)
    jobs = [asyncio.ensure_future(lane.run(job)) for job in (lambda c: insert(c, 1), mistaken, lambda c: insert(c, 2))]
    await asyncio.sleep(0)  # they are in the queue
    may_end.set()
    async with asyncio.timeout(10):
        await asyncio.gather(first, jobs[0], jobs[2])
    assert mistakes == ["a write was not answered"]
    jobs[1].cancel()
    await asyncio.gather(jobs[1], return_exceptions=True)


async def test_refused_write_that_is_alone_in_its_transaction_leaves_nothing(lane: ThreadLane) -> None:
    """It has no savepoint: the whole transaction is undone, and the next one begins."""

    def half_done(connection: sqlite3.Connection) -> None:
        insert(connection, 1)
        raise StoreConflict("taken")

    with pytest.raises(StoreConflict):
        await lane.run(half_done)
    await lane.run(lambda c: insert(c, 2))
    assert await rows(lane) == [2]
