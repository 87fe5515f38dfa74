"""The store's own time in SQLite: shared by the processes of a machine, and never earlier than it was."""

import sqlite3

import pytest

from holdfast.adapters.sqlite import messages, notifications, schema, store_time
from holdfast.domain.ids import ConversationId
from support.appending import draft

BOOTED, NOW = 1_700_000_000_000, 1_700_000_100_000


class FakeMachineClock:
    """The time that one process of the machine gets."""

    def __init__(self, *, wall_ms: int = NOW, booted_ms: int = BOOTED, up_ms: int = 100_000) -> None:
        self.wall_ms, self.booted_ms, self.up_ms = wall_ms, booted_ms, up_ms

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return self.up_ms / 1000

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return self.wall_ms

    def since_boot_ms(self) -> int:
        """See `ports.MachineClock`."""
        return self.up_ms

    def booted_at_ms(self) -> int:
        """See `ports.MachineClock`."""
        return self.booted_ms


@pytest.fixture
def connection() -> sqlite3.Connection:
    """A new file."""
    made = schema.connect(":memory:", 1)
    schema.create(made, "generation")
    return made


def test_a_new_file_begins_with_the_wall_clock(connection: sqlite3.Connection) -> None:
    """To the millisecond, although the kernel tells its start in whole seconds."""
    assert store_time.follow(connection, FakeMachineClock(wall_ms=NOW + 437)) == NOW + 437


@pytest.mark.parametrize("off_ms", [-3_600_000, -60_000, 60_000, 3_600_000])
def test_a_process_with_a_wrong_wall_clock_has_the_same_time(connection: sqlite3.Connection, off_ms: int) -> None:
    """Also when it is the first one on the file."""
    assert store_time.follow(connection, FakeMachineClock(wall_ms=NOW + off_ms)) == NOW
    assert store_time.follow(connection, FakeMachineClock()) == store_time.now_ms(connection, FakeMachineClock()) == NOW


def test_a_clock_that_is_set_forward_is_followed_and_one_set_back_is_not(connection: sqlite3.Connection) -> None:
    """A later commit never has an earlier time."""
    store_time.follow(connection, FakeMachineClock())
    back = FakeMachineClock(wall_ms=NOW - 59_000, booted_ms=BOOTED - 60_000, up_ms=101_000)
    assert store_time.follow(connection, back) == NOW + 1_000
    forward = FakeMachineClock(wall_ms=NOW + 62_000, booted_ms=BOOTED + 60_000, up_ms=102_000)
    assert store_time.follow(connection, forward) == NOW + 62_000


@pytest.mark.parametrize("behind_ms", [-3_600_000, 0, 86_400_000])
def test_a_restart_of_the_machine_does_not_set_the_time_back(connection: sqlite3.Connection, behind_ms: int) -> None:
    """The time since the start begins again at 0, and the wall clock may be wrong then."""
    before = store_time.follow(connection, FakeMachineClock())
    booted = FakeMachineClock(wall_ms=NOW + 30_000 - behind_ms, booted_ms=NOW + 25_000 - behind_ms, up_ms=5_000)
    after = store_time.follow(connection, booted)
    assert after >= before
    assert store_time.now_ms(connection, booted) == after
    if behind_ms <= 0:
        assert after == NOW + 30_000 - behind_ms


def test_a_file_of_layout_3_is_brought_up_and_its_messages_have_the_time_of_their_instance() -> None:
    """There is no other; later ones have the store's."""
    old = schema.connect(":memory:", 1)
    old.execute(
        "CREATE TABLE messages (conversation_id TEXT NOT NULL, seq INTEGER NOT NULL, sender TEXT NOT NULL, client_message_id "
        "TEXT NOT NULL, body TEXT NOT NULL, metadata_json TEXT, sent_at_ms INTEGER NOT NULL, PRIMARY KEY (conversation_id, seq)) "
        "WITHOUT ROWID"
    )
    old.execute("INSERT INTO messages VALUES ('c', 1, 'ann', 'm1', 'old', NULL, 5000)")
    old.execute("PRAGMA user_version = 3")
    schema.create(old, "generation")
    messages.append(old, ConversationId("c"), 2, [draft("m2")], 1_000, 9_000)
    found = notifications.messages_since(old, ConversationId("c"), 0, 10, None)
    assert [(each.message.seq, each.at_ms) for each in found] == [(1, 5_000), (2, 9_000)]
    assert [each.message.seq for each in notifications.messages_since(old, ConversationId("c"), 5_001, 10, None)] == [2]
