"""Messages on their way to the application: those that are not taken yet, and the position of the application.

Pure. `streams` decides which messages are shown. Here they wait until the application takes them, at most `MAX_UNREAD` of them.
Messages that do not fit leave a gap like any other, and are fetched again.
"""

from collections import deque
from collections.abc import Collection, Mapping
from typing import Final

from holdfast.client.messages import Message
from holdfast.client.streams import Streams
from holdfast.protocol.frames import ConversationNotice, MessageFrame, Synced

MAX_UNREAD: Final = 1_000


class Inbox:
    """Of one client. `streams` is its own; ask it for what is wanted, and tell changes here."""

    def __init__(self, cursors: Mapping[str, int] | None, generation: str = "") -> None:
        """`cursors`, `generation`: see `Client`."""
        self.streams = Streams(None if cursors is None else dict(cursors), generation)
        self._unread: deque[Message] = deque()
        self._taken: dict[str, int] = dict(cursors or {})
        self._read: dict[str, int] = dict(cursors or {})  # only messages that were taken: a stream may begin behind a history

    def __len__(self) -> int:
        """How many may be taken."""
        return len(self._unread)

    @property
    def cursors(self) -> dict[str, int]:
        """Conversation -> seq of the last message that was taken."""
        return dict(self._taken)

    def read_seq(self, conversation_id: str) -> int:
        """The last message of the conversation that was taken, here or by the client that kept the cursors; 0: none."""
        return self._read.get(conversation_id, 0)

    def has_room(self, messages: int = 1) -> bool:
        """Whether so many more fit."""
        return len(self._unread) + messages <= MAX_UNREAD

    def offer(self, frame: MessageFrame) -> bool:
        """Whether it can be taken now; if not it is known, or will be fetched."""
        if not self.streams.offer(frame, has_room=self.has_room()):
            return False
        self._taken.setdefault(frame.conversation_id, frame.seq - 1)
        self._unread.append(Message.of(frame))
        return True

    def take(self) -> Message:
        """The next one; the application has it from now on.

        Raises:
            IndexError: there is none.
        """
        message = self._unread.popleft()
        if message.conversation_id in self._taken:
            self._taken[message.conversation_id] = self._read[message.conversation_id] = message.seq
        return message

    def truncated(self, conversation_id: str, from_seq: int, to_seq: int) -> None:
        """So much was not replayed."""
        self.streams.truncated(conversation_id, from_seq, to_seq)
        self._follow()

    def synced(self, frame: Synced, hello: int, left_out: Collection[str] = ()) -> None:
        """Replay is over; see `Streams.synced`."""
        self.streams.synced(frame, hello, left_out)
        self._follow()

    def changed(self, frame: ConversationNotice, user_id: str) -> None:
        """A conversation begins, or ends, for this user."""
        self.streams.changed(frame, user_id)
        self._follow()

    def give_up(self, conversation_id: str) -> None:
        """It is not ours any more."""
        self.streams.give_up(conversation_id)
        self._follow()

    def reset(self, conversation_id: str, last_seq: int) -> None:
        """The store was restored and ends at `last_seq`: what lay behind it will be something else.

        Where the store has grown past the cursor since, nothing tells which of the earlier messages are still the same.
        """
        is_beyond = (self.streams.cursors or {}).get(conversation_id, 0) > last_seq
        valid_to = last_seq if is_beyond else 0
        self.streams.reset(conversation_id, last_seq)
        self._unread = deque(each for each in self._unread if each.conversation_id != conversation_id or each.seq <= valid_to)
        self._taken[conversation_id] = self._before_unread(conversation_id, last_seq)
        self._read[conversation_id] = min(self.read_seq(conversation_id), last_seq)

    def _before_unread(self, conversation_id: str, cursor: int) -> int:
        """The cursor, or what lies before the first message that is still to be taken."""
        return min([cursor, *(each.seq - 1 for each in self._unread if each.conversation_id == conversation_id)])

    def _follow(self) -> None:
        """Conversations begin where their streams begin, and end with them."""
        known = self.streams.cursors
        if known is None:
            return
        for conversation_id in [taken for taken in self._taken if taken not in known]:
            del self._taken[conversation_id]
            self._read.pop(conversation_id, None)
        for conversation_id in [new for new in known if new not in self._taken]:
            self._taken[conversation_id] = self._before_unread(conversation_id, known[conversation_id])
