"""A store that is put back to an earlier moment under running instances."""

import contextlib
import sqlite3
from pathlib import Path

from support.chatting import Chatter, new_conversation
from support.instances import Instances


async def test_messages_after_a_restore_get_the_next_seq_and_are_shown(sqlite_instances: Instances, tmp_path: Path) -> None:
    """50 messages, of which 30 are left: the next is 31, not 51 behind a gap, and every device hears of both."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        for number in range(1, 51):
            await (alice if number % 2 else bob).say(c, f"body {number}", f"m{number}")
        for device in (alice, bob):
            await device.receive("message", seq=50)
        with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db", isolation_level=None)) as connection:
            connection.executescript("DELETE FROM sends WHERE seq > 30; DELETE FROM messages WHERE seq > 30")
        for sender, body, seq in ((alice, "after", 31), (bob, "the", 32), (alice, "restore", 33)):
            assert (await sender.say(c, body))["seq"] == seq
            for device in (alice, bob):
                await device.receive("message", seq=seq, body=body)
        for device in (alice, bob):
            assert [frame["last_seq"] for frame in device.frames if frame["type"] == "reset"] == [30]
            assert device.seqs(c) == [*range(1, 51), 31, 32, 33]
