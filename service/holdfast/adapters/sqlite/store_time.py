"""The store's own time in SQLite: one clock for all processes on the file, which never goes back.

It is the time since the machine's start, which is the same for all of them, and an offset in the file. So two processes agree on
the order of events, also when the wall clock of one of them is wrong. The offset follows the kernel's wall clock
forward: after a restart of the machine, or when its clock was set. When the wall clock is set back, the store's time stays ahead
of it until it has caught up.
"""

import sqlite3
from typing import Final

from holdfast.ports import MachineClock

_OFFSET, _LATEST = "time_offset_ms", "time_latest_ms"
_WHOLE_SECONDS_MS: Final = 1_500  # the kernel tells its start in whole seconds
_SET_FORWARD_MS: Final = 2_000  # more than that rounding: the clock was set
_UNSTAMPED_MS: Final = 10_000  # what may have been stamped since the latest time was written, every 3 s


def now_ms(connection: sqlite3.Connection, clock: MachineClock) -> int:
    """The time of this moment, in Unix milliseconds. Inside a write transaction it orders commits: none that follows has less."""
    stored = _read(connection, _OFFSET)
    return (stored if stored is not None else _offset_ms(clock)) + clock.since_boot_ms()


def follow(connection: sqlite3.Connection, clock: MachineClock) -> int:
    """Let the offset follow the machine's clock; the time of this moment. Inside a write transaction, every few seconds."""
    stored, latest = _read(connection, _OFFSET), _read(connection, _LATEST)
    elapsed_ms = clock.since_boot_ms()
    offset = _offset_ms(clock) if stored is None or clock.booted_at_ms() - stored >= _SET_FORWARD_MS else stored
    if latest is not None and offset + elapsed_ms < latest:  # started again, with a clock that is behind
        offset = latest + _UNSTAMPED_MS - elapsed_ms
    values = [(_OFFSET, str(offset)), (_LATEST, str(offset + elapsed_ms))]
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)
    return offset + elapsed_ms


def _offset_ms(clock: MachineClock) -> int:
    """The start of the machine: from the process's wall clock, to the millisecond, where the kernel does not contradict it."""
    exact, kernels = clock.now_ms() - clock.since_boot_ms(), clock.booted_at_ms()
    return exact if abs(exact - kernels) <= _WHOLE_SECONDS_MS else kernels


def _read(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    try:
        return None if row is None else int(row[0])
    except (TypeError, ValueError):
        return None  # a value of another hand
