"""Bulletins of other versions, which may know more or less than this one: in a rolling upgrade both read each other's."""

import json
import sqlite3

from holdfast.adapters.sqlite.presence import read_bulletins, write_bulletin
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId


def test_what_another_version_says_besides_is_passed_over_and_what_it_does_not_say_is_nothing() -> None:
    """Else every look would fail for as long as the upgrade takes."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE instances (id TEXT PRIMARY KEY, epoch TEXT NOT NULL, bulletin TEXT NOT NULL)")
    write_bulletin(connection, Bulletin(InstanceId("one"), Epoch("e1"), 3, "ok", server="8c2f01"), 1_700_000_000_000)
    stored = json.loads(connection.execute("SELECT bulletin FROM instances").fetchone()[0])
    del stored["server"]
    stored["mood"] = "fine"
    connection.execute("UPDATE instances SET bulletin = ?", (json.dumps(stored),))
    (found,) = read_bulletins(connection)
    assert (found.beat, found.server) == (3, "")
