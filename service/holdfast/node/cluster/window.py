"""The window: the changes that this instance made in the last minute, as its bulletin carries them. Pure: time is an argument.

Of each conversation the highest head and the latest version of its members are kept, and the furthest position of each read
cursor: 5,000 of each kind. When more heads or members changed, `overflow` tells the readers to compare with the store instead.
Receipts that do not fit are left out: a client that missed one is told with the next, or when it asks how far others have read.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Generic, TypedDict, TypeVar

from holdfast.domain.ids import ConversationId, Seq, UserId

WINDOW_SECONDS: Final = 60.0
MAX_ENTRIES: Final = 5_000

K = TypeVar("K")


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

    def contents(self, now: float) -> Contents:
        """The changes that were noted in the 60 s before `now`."""
        compared = (self._heads, self._members, self._users)
        return Contents(
            heads=self._heads.current(now),
            members=self._members.current(now),
            users=tuple(self._users.current(now)),
            receipts=self._receipts.current(now),
            overflow=any(now - kind.has_overflowed_at < WINDOW_SECONDS for kind in compared),
        )


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
