"""The store is put back to an earlier state while instances run, as the restore of a backup does, and renewed.

Members, presence and revocations stay as they are. With the messages go their keys, `readBy` and notifications; read cursors and
the positions at which memberships begin go back to the last message that is left.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Final

from simulation.failures import Failures
from simulation.faults import Fault
from simulation.reading import store_of
from simulation.sqlite import SimulatedStore

_TABLES: Final = ("messages", "sends", "read_by", "notifications")
_ANEW_SECONDS: Final = 5.0


async def restore(failures: Failures, fault: Fault) -> None:
    """Once in a run: the checks judge one restore. `lasts`: how old the backup is."""
    if failures.is_restored:
        return
    failures.is_restored = True
    history = failures.context.history
    async with failures.told("store-restore"):
        await asyncio.sleep(1.0)  # what was sent before is stored by now: it is in the backup
        tails = {conversation: _tail(failures, conversation) for conversation in failures.people.rooms.past}
        await asyncio.sleep(fault.lasts)
        for conversation, tail in tails.items():
            history.record("restored", conversation=conversation, seq=tail)
        _put_back(failures, tails)
        renewing = store_of(failures.cluster)
        await renewing.open(may_create=False)
        history.record("renewed", generation=await renewing.renew())
        await renewing.close()
        await asyncio.sleep(_ANEW_SECONDS)


def _tail(failures: Failures, conversation: str) -> int:
    query = "SELECT coalesce(max(seq), 0) FROM messages WHERE conversation_id = ?"
    (tail,) = _connection(failures).execute(query, (conversation,)).fetchone()
    return int(tail)


def _put_back(failures: Failures, tails: Mapping[str, int]) -> None:
    connection, history = _connection(failures), failures.context.history
    connection.execute("BEGIN IMMEDIATE")
    for conversation, tail in tails.items():
        behind = "WHERE conversation_id = ? AND seq > ?"
        columns = "SELECT seq, sender, client_message_id FROM messages"
        for seq, sender, key in connection.execute(f"{columns} {behind}", (conversation, tail)).fetchall():
            history.record("lost", conversation=conversation, seq=seq, sender=sender, key=key)
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table} {behind}", (conversation, tail))
        cursors = "UPDATE cursors SET last_read_seq = min(last_read_seq, ?) WHERE conversation_id = ?"
        connection.execute(cursors, (tail, conversation))
        joined = "UPDATE members SET joined_seq = min(joined_seq, ?) WHERE conversation_id = ?"
        connection.execute(joined, (tail, conversation))
    connection.execute("COMMIT")


def _connection(failures: Failures) -> sqlite3.Connection:
    store = failures.cluster.store
    assert isinstance(store, SimulatedStore), "only SQLite is put back message by message"
    return store.connection
