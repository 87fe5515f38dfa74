"""The window: the changes that this instance made in the last minute, as its bulletin carries them. Pure: time is an argument.

Of each conversation the highest head and the latest version of its members are kept, and the furthest position of each read
cursor: 5,000 of each kind. When more heads or members changed, `overflow` tells the readers to compare with the store instead.
Receipts that do not fit are left out: a client that missed one is told with the next, or when it asks how far others have read.

The document has a size, too: of entries with long ids fewer fit, and users within their grace take room from the window.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final, Generic, TypedDict, TypeVar

from holdfast.domain.ids import ConversationId, Seq, UserId

WINDOW_SECONDS: Final = 60.0
MAX_ENTRIES: Final = 5_000
ROOM_BYTES: Final = 950_000
"""For the window and the users within their grace. Firestore refuses a bulletin of more than 1 MiB with everything."""
_ENTRY_BYTES: Final = 9  # of an entry, beside its key: 8 for the number, 1 for the key's end

K = TypeVar("K", bound=str)


class Contents(TypedDict):
    """The fields of the bulletin that the window fills."""

    heads: dict[ConversationId, Seq]
    members: dict[ConversationId, int]
    users: tuple[UserId, ...]
    receipts: dict[str, Seq]
    overflow: bool


class Window:
    """`changes` counts what was noted: a higher count than at the last write says that there is more to tell."""

    def __init__(self) -> None:
        self.changes = 0
        self._heads: _Latest[ConversationId] = _Latest()
        self._members: _Latest[ConversationId] = _Latest()
        self._users: _Latest[UserId] = _Latest()
        self._receipts: _Latest[str] = _Latest()

    def note_head(self, conversation_id: ConversationId, seq: Seq, now: float) -> None:
        """A conversation has reached `seq`."""
        self._heads.note(conversation_id, seq, now)
        self.changes += 1

    def note_members(self, conversation_id: ConversationId, version: int, user_ids: Iterable[UserId], now: float) -> None:
        """A conversation's members changed, and these users' lists with it."""
        self._members.note(conversation_id, version, now)
        for user_id in user_ids:
            self._users.note(user_id, 0, now)
        self.changes += 1

    def note_receipt(self, conversation_id: ConversationId, user_id: UserId, seq: Seq, now: float) -> None:
        """A read cursor moved to `seq`."""
        self._receipts.note(f"{conversation_id}|{user_id}", seq, now)
        self.changes += 1

    def contents(self, now: float, room_bytes: int = ROOM_BYTES) -> Contents:
        """The changes that were noted in the 60 s before `now`, and of those the latest that fit into that room.

        Members come first, because a comparison with the store looks for messages. Receipts have what is left.
        """
        room = _Room(room_bytes)
        members = room.latest_of(self._members.current(now))
        users = room.latest_of(self._users.current(now))
        heads = room.latest_of(self._heads.current(now))
        compared = (self._heads, self._members, self._users)
        has_overflowed = room.is_short or any(now - kind.has_overflowed_at < WINDOW_SECONDS for kind in compared)
        receipts = room.latest_of(self._receipts.current(now))
        return Contents(heads=heads, members=members, users=tuple(users), receipts=receipts, overflow=has_overflowed)


def bytes_of(keys: Collection[str]) -> int:
    """How much of the document entries with these keys take. Ids are ASCII."""
    return sum(map(len, keys)) + _ENTRY_BYTES * len(keys)


class _Room:
    """The room of the document that no entry has taken yet. `is_short`: an entry did not fit."""

    def __init__(self, room_bytes: int) -> None:
        self._bytes = room_bytes
        self.is_short = False

    def latest_of(self, entries: dict[K, int]) -> dict[K, int]:
        """The entries, given the oldest first, without the oldest ones that do not fit."""
        size = bytes_of(entries)
        if size > self._bytes:
            self.is_short = True
            for key in tuple(entries):
                del entries[key]
                size -= bytes_of((key,))
                if size <= self._bytes:
                    break
        self._bytes -= size
        return entries


class _Latest(Generic[K]):
    """The highest version per key; a change may be noted late, and then lowers nothing."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, tuple[float, int]] = OrderedDict()
        self.has_overflowed_at = -WINDOW_SECONDS

    def note(self, key: K, version: int, now: float) -> None:
        known = self._entries.pop(key, None)
        self._entries[key] = (now, version if known is None else max(version, known[1]))
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
            self.has_overflowed_at = now

    def current(self, now: float) -> dict[K, int]:
        while self._entries and next(iter(self._entries.values()))[0] < now - WINDOW_SECONDS:
            self._entries.popitem(last=False)
        return {key: version for key, (_, version) in self._entries.items()}
