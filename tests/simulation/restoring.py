"""The store is put back to an earlier state while instances run, as the restore of a backup does, and renewed or not.

Members, presence and revocations stay as they are, and bulletins where it is renewed. With the messages go their keys, `readBy`
and notifications. Read cursors and the positions at which memberships begin go back to the last message that is left.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from holdfast.drills.history import History
from simulation.cluster import Cluster
from simulation.failures import Failures, Missed
from simulation.faults import Fault
from simulation.reading import store_of
from simulation.sqlite import SimulatedStore

_TABLES: Final = ("messages", "sends", "read_by", "notifications")
_ANEW_SECONDS: Final = 5.0
_NOTICED_SECONDS: Final = 20.0


async def restore(failures: Failures, fault: Fault) -> None:
    """Once in a run: the checks judge one restore. `lasts`: how old the backup is."""
    with _restored(failures):
        past = await _backup(failures)
        await asyncio.sleep(fault.lasts)  # virtual: the age of the backup
        past.put_back(failures.context.history)
        renewing = store_of(failures.cluster)
        await renewing.open(may_create=False)
        failures.context.history.record("renewed", generation=await renewing.renew())
        await renewing.close()
        await asyncio.sleep(_ANEW_SECONDS)  # virtual: all instances begin anew within the fault


async def restore_unrenewed(failures: Failures, fault: Fault) -> None:
    """The same by an operator who forgets the last step. Bulletins are put back, too: a beat is older than the backup is."""
    with _restored(failures):
        past = await _backup(failures)
        await asyncio.sleep(fault.lasts)  # virtual: the age of the backup
        past.put_back(failures.context.history, with_bulletins=True)
        await renewed(failures.cluster, failures.context.history)
        await asyncio.sleep(_ANEW_SECONDS)  # virtual: all instances begin anew within the fault


async def renewed(cluster: Cluster, history: History) -> float:
    """Wait until instances have given the store another generation, for 20 s at most; how long that took."""
    loop, store = cluster.loop, store_of(cluster)
    await store.open(may_create=False)
    began, before = loop.time(), await store.generation()
    after = before
    while after == before and loop.time() - began < _NOTICED_SECONDS:
        await asyncio.sleep(0.1)  # virtual: the exactness of the answer
        after = await store.generation()
    await store.close()
    if after != before:
        history.record("renewed", generation=after)
    return loop.time() - began


@contextlib.contextmanager
def _restored(failures: Failures) -> Iterator[None]:
    if failures.is_restored:
        raise Missed
    failures.is_restored = True
    with failures.context.history.fault("store-restore"):
        yield


async def _backup(failures: Failures) -> "Backup":
    await asyncio.sleep(1.0)  # earlier sends are stored by now: they are in the backup
    return Backup(failures.cluster, failures.people.rooms.past)


class Backup:
    """What these conversations hold now, and the bulletins."""

    def __init__(self, cluster: Cluster, conversations: Iterable[str]) -> None:
        self._behind = _behind(cluster)
        self._behind.remember_bulletins()
        self._tails = {conversation: self._behind.tail(conversation) for conversation in conversations}

    def put_back(self, history: History, *, with_bulletins: bool = False) -> None:
        """And tell which messages are gone."""
        for conversation, tail in self._tails.items():
            history.record("restored", conversation=conversation, seq=tail)
        for conversation, tail in self._tails.items():
            for seq, sender, key in self._behind.put_back(conversation, tail):
                history.record("lost", conversation=conversation, seq=seq, sender=sender, key=key)
        if with_bulletins:
            self._behind.put_bulletins_back()


Lost = tuple[int, str, str]
"""A message that is gone: its seq, its sender, its key."""


class Behind(Protocol):
    """The messages behind a conversation's earlier tail, in one kind of store."""

    def tail(self, conversation: str) -> int:
        """The last seq."""

    def put_back(self, conversation: str, tail: int) -> list[Lost]:
        """Take away what lies behind that tail."""

    def remember_bulletins(self) -> None:
        """As they are now."""

    def put_bulletins_back(self) -> None:
        """As they were remembered; later ones are gone."""


def _behind(cluster: Cluster) -> Behind:
    store = cluster.store
    if isinstance(store, SimulatedStore):
        return _BehindInSqlite(store)
    from simulation.firestore.behind import BehindInFirestore  # here: its libraries cost a second and 65 MB

    return BehindInFirestore(store)


class _BehindInSqlite:
    """Implements `Behind`."""

    def __init__(self, store: SimulatedStore) -> None:
        self._connection = store.connection
        self._bulletins: list[tuple[str, str, str]] = []

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

    def remember_bulletins(self) -> None:
        """See `Behind`."""
        self._bulletins = self._connection.execute("SELECT id, epoch, bulletin FROM instances").fetchall()

    def put_bulletins_back(self) -> None:
        """See `Behind`."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("DELETE FROM instances")
        self._connection.executemany("INSERT INTO instances VALUES (?, ?, ?)", self._bulletins)
        self._connection.execute("COMMIT")
