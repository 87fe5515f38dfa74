"""How far a user has read, and what the user's own messages say about it.

Pure. A sent message counts as reading what the user had been shown when writing it (`Seen`), and no more: a message that a client
kept while it was offline was written before the messages that arrived meanwhile. A user's own messages need no reading: where
they directly follow what is read, the cursor moves over them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.local import LocalConversation

_MAX_KNOWN: Final = 20_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What a user had been shown of a conversation when writing a message: everything in (after, upto].

    Attributes:
        after: earlier messages are not known to have been shown: nothing counts for a user who has not read that far.
    """

    after: Seq = 0
    upto: Seq = 0


NOTHING: Final = Seen()


def shown_live(connection: Connection, local: LocalConversation | None) -> Seen:
    """The messages delivered on a connection since its replay was over.

    The replay itself does not count: messages that a client sends right after it may have been written before.
    """
    start = None if local is None else connection.live_since(local.conversation_id)
    return NOTHING if local is None or start is None else Seen(start, local.shown)


@dataclass(frozen=True, slots=True)
class Sent:
    """A user's own message, stored at `seq`."""

    seq: Seq
    seen: Seen


@dataclass(slots=True, eq=False)
class Position:
    """One user in one conversation, as one instance knows it.

    Attributes:
        cursor: how far the user has read. Its advance was told, except where it moved over the user's own messages.
        told: the highest cursor that was told.
        owed: the highest that has to be told; above `told` while a write of it is under way, or its answer was lost.
        own_first: own messages from here to `own_last` lie beyond the cursor, the latest run of them; 0: none.
    """

    cursor: Seq = 0
    told: Seq = 0
    owed: Seq = 0
    own_first: Seq = 0
    own_last: Seq = 0

    def note(self, cursor: Seq) -> None:
        """The store has, or had, this cursor."""
        self.cursor = max(self.cursor, cursor)
        if self.own_last <= self.cursor:
            self.own_first = self.own_last = 0

    def note_own(self, seq: Seq) -> None:
        """An own message lies beyond the cursor; it may be one that was noted before, and sent again."""
        if self.own_first <= seq <= self.own_last:
            return
        if seq != self.own_last + 1:
            self.own_first = seq
        self.own_last = seq


class Positions:
    """Those that one instance knows; a position that is forgotten is taken for 0."""

    def __init__(self) -> None:
        self._known = BoundedDict[tuple[ConversationId, UserId], Position](_MAX_KNOWN)

    def of(self, conversation_id: ConversationId, user_id: UserId) -> Position:
        """That of one user, which counts as the latest now."""
        key = conversation_id, user_id
        self._known[key] = position = self._known.get(key) or Position()
        return position

    def told(self, conversation_id: ConversationId, user_id: UserId) -> Seq:
        """The highest cursor of one user that was told. A question alone keeps no position, and lets none go."""
        known = self._known.get((conversation_id, user_id))
        return known.told if known is not None else 0

    def forget(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """The store lacks what is known."""
        self._known.pop((conversation_id, user_id), None)


@dataclass(slots=True, eq=False)
class Advance:
    """What a user's reads and own messages, taken together, make of their cursor.

    Attributes:
        cursor: where it is to be.
        to_tell: others have to be told at least this, 0 for nothing: an explicit read, or messages of others read by sending.
        read: the messages that were named as read, or were the last ones shown.
        unread: own messages that lie behind messages that are not read.
    """

    cursor: Seq
    to_tell: Seq
    read: list[Seq]
    unread: list[Seq]


def advance(position: Position, start: Seq, reads: Iterable[Seq], sent: Iterable[Sent]) -> Advance:
    """`start`: the cursor is there at least (the membership begins there, or the store says so)."""
    read = sorted(set(reads))
    made = Advance(max(position.cursor, start, *read[-1:]), read[-1] if read else 0, read, [])
    if position.own_first and made.cursor >= position.own_first - 1:
        made.cursor = max(made.cursor, position.own_last)
    for each in sorted(sent, key=lambda one: one.seq):
        shown = min(each.seen.upto, each.seq - 1)
        has_read_more = made.cursor >= each.seen.after and shown > made.cursor
        if has_read_more:
            made.cursor = shown
            made.read.append(shown)
        if made.cursor == each.seq - 1:
            made.cursor = each.seq
        if made.cursor < each.seq:
            made.unread.append(each.seq)
        if has_read_more:
            made.to_tell = made.cursor
    return made
