"""The store is put back to an earlier state while instances run, as the restore of a backup does, and renewed.

Members, presence and revocations stay as they are. With the messages go their keys, `readBy` and notifications; read cursors and
the positions at which memberships begin go back to the last message that is left.
"""

import asyncio
from typing import Final, Protocol

from simulation.failures import Failures, Missed
from simulation.faults import Fault
from simulation.reading import store_of
from simulation.sqlite import SimulatedStore

_TABLES: Final = ("messages", "sends", "read_by", "notifications")
_ANEW_SECONDS: Final = 5.0


async def restore(failures: Failures, fault: Fault) -> None:
    """Once in a run: the checks judge one restore. `lasts`: how old the backup is."""
    if failures.is_restored:
        raise Missed
    failures.is_restored = True
    history = failures.context.history
    with failures.context.history.fault("store-restore"):
        await asyncio.sleep(1.0)  # earlier sends are stored by now: they are in the backup
        behind = _behind(failures)
        tails = {conversation: behind.tail(conversation) for conversation in failures.people.rooms.past}
        await asyncio.sleep(fault.lasts)
        for conversation, tail in tails.items():
            history.record("restored", conversation=conversation, seq=tail)
        for conversation, tail in tails.items():
            for seq, sender, key in behind.put_back(conversation, tail):
                history.record("lost", conversation=conversation, seq=seq, sender=sender, key=key)
        renewing = store_of(failures.cluster)
        await renewing.open(may_create=False)
        history.record("renewed", generation=await renewing.renew())
        await renewing.close()
        await asyncio.sleep(_ANEW_SECONDS)


Lost = tuple[int, str, str]
"""A message that is gone: its seq, its sender, its key."""


class Behind(Protocol):
    """The messages behind a conversation's earlier tail, in one kind of store."""

    def tail(self, conversation: str) -> int:
        """The last seq."""

    def put_back(self, conversation: str, tail: int) -> list[Lost]:
        """Take away what lies behind that tail."""


def _behind(failures: Failures) -> Behind:
    store = failures.cluster.store
    if isinstance(store, SimulatedStore):
        return _BehindInSqlite(store)
    from simulation.firestore.behind import BehindInFirestore  # here: its libraries cost a second and 65 MB

    return BehindInFirestore(store)


class _BehindInSqlite:
    """Implements `Behind`."""

    def __init__(self, store: SimulatedStore) -> None:
        self._connection = store.connection

    def tail(self, conversation: str) -> int:
        """See `Behind`."""
        query = "SELECT coalesce(max(seq), 0) FROM messages WHERE conversation_id = ?"
        (tail,) = self._connection.execute(query, (conversation,)).fetchone()
        return int(tail)

    def put_back(self, conversation: str, tail: int) -> list[Lost]:
        """See `Behind`."""
        behind = "WHERE conversation_id = ? AND seq > ?"
        columns = "SELECT seq, sender, client_message_id FROM messages"
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        lost: list[Lost] = connection.execute(f"{columns} {behind}", (conversation, tail)).fetchall()
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table} {behind}", (conversation, tail))
        cursors = "UPDATE cursors SET last_read_seq = min(last_read_seq, ?) WHERE conversation_id = ?"
        connection.execute(cursors, (tail, conversation))
        joined = "UPDATE members SET joined_seq = min(joined_seq, ?) WHERE conversation_id = ?"
        connection.execute(joined, (tail, conversation))
        connection.execute("COMMIT")
        return lost
