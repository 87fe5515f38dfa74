"""The keys of one database: typed values, deadlines on the server's own clock, copies of both.

Invariants: no empty collection is kept; a key past its deadline does not exist, whether it was removed already or not. Sets and
large hashes are read in an order that differs from server to server, as with Redis, whose hash function has a random key: a
script that counts on their order would be found out.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar
from zlib import crc32

from simulation.redis.replies import WRONG_TYPE, Refused
from simulation.redis.sorted_set import SortedSet

_LISTPACK_ENTRIES: Final = 128  # hash-max-listpack-entries of Redis 7.0
_LISTPACK_BYTES: Final = 64
_INTSET_ENTRIES: Final = 512
_EXPIRY_SAMPLE: Final = 20  # keys a cycle looks at, as Redis's does
_EXPIRY_ENOUGH: Final = 0.1  # and goes on while more of them than this had expired
_KEY_BYTES: Final = 64  # what a key costs beside its bytes, about


class Hash(dict[bytes, bytes]):
    """Small ones keep the order of writing. Once large, never small again."""

    is_table = False

    def note(self, *parts: bytes) -> None:
        """These were written."""
        if len(self) > _LISTPACK_ENTRIES or any(len(part) > _LISTPACK_BYTES for part in parts):
            self.is_table = True


class Members(dict[bytes, None]):
    """A set. One of few integers is read in their order."""

    is_table = False

    def note(self, member: bytes) -> None:
        """It was added."""
        if len(self) > _INTSET_ENTRIES or not _is_integer(member):
            self.is_table = True


class List(list[bytes]):
    """A list."""


Value = bytes | Hash | Members | SortedSet | List
Kind = TypeVar("Kind", bytes, Hash, Members, SortedSet, List)

NAMES: Final[dict[type, bytes]] = {bytes: b"string", Hash: b"hash", Members: b"set", SortedSet: b"zset", List: b"list"}


def _is_integer(member: bytes) -> bool:
    digits = member[1:] if member[:1] == b"-" else member
    return digits.isdigit() and str(int(member)).encode() == member and -(2**63) <= int(member) < 2**63


@dataclass(frozen=True)
class Snapshot:
    """What an RDB file holds: values, their deadlines, and whose data it is."""

    values: dict[bytes, Value]
    deadlines: dict[bytes, int]
    replication_id: str


@dataclass
class Keyspace:
    """One database. `now_ms` is the time of the command under way, set before its execution."""

    salt: int
    now_ms: int = 0
    values: dict[bytes, Value] = field(default_factory=dict)
    deadlines: dict[bytes, int] = field(default_factory=dict)

    def find(self, key: bytes) -> Value | None:
        """The value of whatever kind, or None."""
        deadline = self.deadlines.get(key)
        if deadline is not None and deadline <= self.now_ms:
            self.remove(key)
            return None
        return self.values.get(key)

    def get(self, key: bytes, kind: type[Kind]) -> Kind | None:
        """The value of that kind, or None.

        Raises:
            Refused: WRONGTYPE.
        """
        value = self.find(key)
        if value is None:
            return None
        if type(value) is not kind:
            raise Refused(WRONG_TYPE)
        return value

    def make(self, key: bytes, kind: type[Kind]) -> Kind:
        """The same; an empty one is put there where nothing is. Raises like `get`."""
        value = self.get(key, kind)
        if value is None:
            value = kind()
            self.values[key] = value
        return value

    def put(self, key: bytes, value: Value) -> None:
        """Replace whatever is there, its deadline included."""
        self.values[key] = value
        self.deadlines.pop(key, None)

    def remove(self, key: bytes) -> None:
        """Forget the key."""
        self.values.pop(key, None)
        self.deadlines.pop(key, None)

    def tidy(self, key: bytes) -> None:
        """A collection was made smaller."""
        if not self.values.get(key):
            self.remove(key)

    def clear(self) -> None:
        """FLUSHALL."""
        self.values.clear()
        self.deadlines.clear()

    def living(self) -> list[bytes]:
        """The keys that exist now, in an order that tells nothing."""
        return self.shuffled([key for key in list(self.values) if self.find(key) is not None])

    def shuffled(self, entries: Iterable[bytes]) -> list[bytes]:
        """In the order of this server's hash table."""
        return sorted(entries, key=self._place)

    def fields(self, value: Hash) -> list[bytes]:
        """In the order in which Redis would show them."""
        return self.shuffled(value) if value.is_table else list(value)

    def members(self, value: Members) -> list[bytes]:
        """In the order in which Redis would show them."""
        return self.shuffled(value) if value.is_table else sorted(value, key=int)

    def after(self, entries: list[bytes], cursor: int, count: int) -> tuple[list[bytes], int]:
        """About `count` of the ordered entries from the cursor on, those of one place together; the next cursor, 0 at the end."""
        start = bisect_left(entries, cursor, key=lambda entry: self._place(entry)[0])
        end = start + count
        while end < len(entries) and self._place(entries[end])[0] == self._place(entries[end - 1])[0]:
            end += 1
        return entries[start:end], self._place(entries[end])[0] if end < len(entries) else 0

    def expire_some(self, sample: Iterator[float]) -> None:
        """One cycle of active expiry: looks at a few keys that have deadlines; `sample` are random numbers below 1."""
        while self.deadlines:
            names = list(self.deadlines)
            chosen = {names[int(next(sample) * len(names))]: None for _ in range(_EXPIRY_SAMPLE)}
            gone = sum(self.find(key) is None for key in chosen)
            if gone <= _EXPIRY_ENOUGH * len(chosen):
                return

    def used_bytes(self) -> int:
        """A plausible amount of memory, for `maxmemory`."""
        return sum(len(key) + _KEY_BYTES + _size(value) for key, value in self.values.items())

    def snapshot(self, replication_id: str) -> Snapshot:
        """A copy of what is here now."""
        return Snapshot({key: copied(value) for key, value in self.values.items()}, dict(self.deadlines), replication_id)

    def load(self, snapshot: Snapshot) -> None:
        """Hold what a snapshot holds, and nothing else. What expired meanwhile is dropped."""
        self.values = {key: copied(value) for key, value in snapshot.values.items()}
        self.deadlines = dict(snapshot.deadlines)
        for key in list(self.deadlines):
            self.find(key)

    def _place(self, entry: bytes) -> tuple[int, bytes]:
        return crc32(entry, self.salt), entry


def copied(value: Value) -> Value:
    """A value that shares nothing with this one."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, SortedSet):
        return value.copy()
    if isinstance(value, List):
        return List(value)
    other = Hash(value) if isinstance(value, Hash) else Members(value)
    other.is_table = value.is_table
    return other


def _size(value: Value) -> int:
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Hash):
        return sum(len(name) + len(content) + _KEY_BYTES for name, content in value.items())
    if isinstance(value, SortedSet):
        return sum(len(member) + _KEY_BYTES for _, member in value.by_rank(0, -1))
    return sum(len(member) + _KEY_BYTES for member in value)
