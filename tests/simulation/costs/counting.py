"""Counts what a simulated cluster asks of its store and of Redis, at their doors: nothing that an instance counts itself.

The store is billed as Google's price list says. A read is a document of an answer, one that does not exist included; a query
costs one at least. A count costs one for each 1,000 entries, at least one. A write is a document that a commit creates or
changes, one that it leaves as it was included. A delete is a document that a commit deletes. A `verify` costs nothing. A
document that is created with `expireAt` is deleted by the TTL policy later, and that is billed as well.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Final

from google.cloud.firestore_v1.types import firestore

from holdfast.adapters.redis import scripts
from holdfast.adapters.redis.scripts import Script
from holdfast.node.health.store_calls import OPERATION
from holdfast.telemetry import OTHER
from simulation.firestore import SimulatedFirestore
from simulation.firestore.exchange import Exchange
from simulation.firestore.server import Moment
from simulation.firestore.service import Service
from simulation.redis import RedisServer
from simulation.redis.state import Client

READS, WRITES, DELETES, EXPIRING = "reads", "writes", "deletes", "expiring"
COMMANDS, SCRIPTED, INSIDE = "commands", "scripted", "inside"
COLUMNS: Final = (READS, WRITES, DELETES, EXPIRING, COMMANDS, SCRIPTED, INSIDE)
"""Reads, writes and deletes of the store; documents that the TTL policy deletes later; commands of Redis, those among them that
run a script, and the commands that scripts call."""

Count = Counter[tuple[str, str]]
"""(column, operation of the store or command of Redis) -> how often."""

_ENTRIES_A_READ: Final = 1_000
SCRIPTS: Final = {name.lower(): script for name, script in vars(scripts).items() if isinstance(script, Script)}
_NAMES: Final = {script.sha.encode(): name for name, script in SCRIPTS.items()}
_BatchGet: Final = firestore.BatchGetDocumentsResponse.pb()
_Query: Final = firestore.RunQueryResponse.pb()
_Aggregation: Final = firestore.RunAggregationQueryResponse.pb()
_Commit: Final = firestore.CommitRequest.pb()


IDLE: Final = frozenset({
    "generation", "read_bulletins", "read_revocations", "read_revoked_tokens", "write_bulletin",
    "claim_dirty", "instances", "publish control", "renew",
})  # fmt: skip
"""Every instance does these again and again, whatever happens; the figures of an idle instance have them."""
_CONNECTING: Final = frozenset({"client", "forget_foreign_world", "info"})
"""Opens another connection to Redis, which stays open."""
_EVALS: Final = frozenset({b"eval", b"evalsha"})
_LOOKS: Final = frozenset({"catch_ups", "claim_notifications", "read_marks"})
"""Idle where they find nothing."""


class Tally:
    """Counted operations, each with its time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counted: list[tuple[float, str, str, int, bool]] = []

    def add(self, column: str, name: str, number: int, *, is_empty: bool = False) -> None:
        """So much now. `is_empty`: nothing was found."""
        if number:
            is_idle = name in IDLE or name in _CONNECTING or (is_empty and name in _LOOKS)
            self._counted.append((self._clock(), column, name, number, is_idle))

    def between(self, since: float, until: float, *, is_idle: bool = True) -> Count:
        """The operations of that time. `is_idle`: with what is done by an idle instance, too."""
        count: Count = Counter()
        for at, column, name, number, was_idle in self._counted:
            if since <= at < until and (is_idle or not was_idle):
                count[column, name] += number
        return count


class StoreMeter(Service):
    """Firestore's calls, counted when they are carried out; `operation` is the call of the port that the next one is part of."""

    def __init__(self, store: SimulatedFirestore, tally: Tally) -> None:
        self._service = store.service
        self._tally = tally
        self._operation = OTHER
        self.stored = store.service.stored
        store.service = self
        store.watchers.append(self._watch)

    def call(self, method: str, request: bytes) -> list[bytes]:
        """See `Service.call`."""
        created = self._expiring(request) if method == "Commit" else 0
        answers = self._service.call(method, request)
        if method == "Commit":
            self._tally.add(EXPIRING, self._operation, created)
            self._committed(request)
        else:
            is_empty = method == "RunQuery" and not _Query.FromString(answers[0]).HasField("document")
            self._tally.add(READS, self._operation, _READS[method](answers), is_empty=is_empty)
        return answers

    def _committed(self, request: bytes) -> None:
        kinds = [write.WhichOneof("operation") for write in _Commit.FromString(request).writes]
        deleted = kinds.count("delete")
        self._tally.add(DELETES, self._operation, deleted)
        written = sum(kind not in (None, "verify", "delete") for kind in kinds)
        self._tally.add(WRITES, self._operation, written)

    def _expiring(self, request: bytes) -> int:
        """Of the documents that the commit would create, those with an end."""
        updates = (write.update for write in _Commit.FromString(request).writes if write.HasField("update"))
        return sum("expireAt" in each.fields and self.stored.get(each.name) is None for each in updates)

    def _watch(self, call: Exchange, moment: Moment) -> None:
        if moment == "before":
            self._operation = call.context.get(OPERATION, OTHER)


class RedisMeter:
    """The commands of all connections to one server, also those that it refuses; implements `simulation.redis.server.Watch`."""

    def __init__(self, server: RedisServer, tally: Tally) -> None:
        self._calls = server.state.calls
        self._tally = tally
        self._before = 0
        server.watch = self

    def before(self, client: Client, words: list[bytes]) -> bool:
        """See `Watch.before`."""
        self._before = self._calls.total()
        return True

    def after(self, client: Client, words: list[bytes]) -> None:
        """See `Watch.after`."""
        name = _name(words)
        self._tally.add(COMMANDS, name, 1)
        self._tally.add(SCRIPTED, name, int(words[0].lower() in _EVALS))
        self._tally.add(INSIDE, name, max(0, self._calls.total() - self._before - 1))


def _name(words: list[bytes]) -> str:
    command = words[0].lower().decode()
    if command == "evalsha":
        return _NAMES.get(words[1], command)
    if command == "eval":
        return _NAMES.get(hashlib.sha1(words[1], usedforsecurity=False).hexdigest().encode(), command)
    return f"publish {words[1].decode().partition(':')[0]}" if command == "publish" else command


def _gotten(answers: list[bytes]) -> int:
    return sum(bool(_BatchGet.FromString(each).WhichOneof("result")) for each in answers)


def _found(answers: list[bytes]) -> int:
    return max(1, sum(bool(_Query.FromString(each).HasField("document")) for each in answers))


def _counted(answers: list[bytes]) -> int:
    (answer,) = answers
    values = _Aggregation.FromString(answer).result.aggregate_fields.values()
    return max(1, *(math.ceil(int(each.integer_value) / _ENTRIES_A_READ) for each in values))


_READS: Final[dict[str, Callable[[list[bytes]], int]]] = {
    "BatchGetDocuments": _gotten,
    "RunQuery": _found,
    "RunAggregationQuery": _counted,
    "GetDocument": len,
}
