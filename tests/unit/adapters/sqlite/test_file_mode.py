"""The store's file: messages, members and revocations are for the user that runs the instance, and for no other."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.sqlite.database import DatabaseFile


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    """Files that are made without a mode are for everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_a_new_file_and_what_sqlite_puts_beside_it_is_private(tmp_path: Path) -> None:
    """The write-ahead log holds messages, too."""
    database = DatabaseFile(tmp_path / "holdfast.db", 2.0)
    await database.create()
    lane = database.lane("writer", is_writer=True)
    await lane.run(lambda connection: connection.execute("INSERT INTO meta VALUES ('x', 'y')").rowcount)
    modes = _modes(tmp_path)
    await lane.close()
    assert {"holdfast.db", "holdfast.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


async def test_a_file_of_an_older_version_becomes_private(tmp_path: Path) -> None:
    """It was made with whatever the umask left; an upgrade must not keep that."""
    for name in ("holdfast.db", "holdfast.db-wal", "holdfast.db-shm"):
        (tmp_path / name).touch(0o666)
    await DatabaseFile(tmp_path / "holdfast.db", 2.0).create()
    assert set(_modes(tmp_path).values()) == {0o600}
