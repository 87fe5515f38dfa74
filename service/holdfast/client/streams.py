"""The client's rule: each message of each conversation is shown once, in order, however often and by whatever way it arrives.

Pure: frames in, messages to show and ranges to fetch out. Two connections may feed it at once (while one is about to end), and a
page from REST is offered like everything else. A late frame of the second connection that repeats one of the first is recognized
by its revision. A conversation that began after the second connection's `hello` is kept, although that connection does not list
it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from holdfast.protocol.frames import ConversationNotice, MessageFrame, Synced

MAX_LEFT: Final = 1_000  # conversations that were left since the last `hello`


@dataclass(slots=True)
class Streams:
    """Where every conversation is.

    Attributes:
        cursors: conversation -> seq of the last message shown. None until the first `synced` of a client that starts
            with what is new: it has no position yet.
        wanted: conversation -> seq up to which it has to be fetched, because what lies between did not come.
        generation: of the store that the cursors are of, as the last `synced` connection named it; "" while it is not known.
    """

    cursors: dict[str, int] | None
    generation: str = ""
    wanted: dict[str, int] = field(default_factory=dict)
    _hellos: int = 0
    _begun: dict[str, int] = field(default_factory=dict)  # conversation -> how many hellos were said before it began
    _revisions: dict[str, int] = field(default_factory=dict)  # conversation -> the newest at which the user is known as a member
    _left: dict[str, int] = field(default_factory=dict)  # conversation -> the revision at which the user was removed

    def greet(self) -> int:
        """A `hello` is about to be said with the cursors as they are; returns its number, from 1."""
        self._hellos += 1
        self._left.clear()  # the answer knows of these removals
        return self._hellos

    def offer(self, frame: MessageFrame, *, has_room: bool) -> bool:
        """Whether to show it now. `has_room`: False when its reader is behind; then it is fetched again later."""
        conversation_id, seq = frame.conversation_id, frame.seq
        if self.cursors is None or not self._begin(conversation_id, seq - 1):
            return False
        cursor = self.cursors[conversation_id]
        if seq <= cursor:
            return False
        if seq > cursor + 1 or not has_room:
            self._want(conversation_id, seq)
            return False
        self.cursors[conversation_id] = seq
        if self.wanted.get(conversation_id, 0) <= seq:
            self.wanted.pop(conversation_id, None)
        return True

    def truncated(self, conversation_id: str, from_seq: int, to_seq: int) -> None:
        """The messages between the cursor and `to_seq` have to be fetched; without a cursor, from `from_seq` on."""
        if self.cursors is not None and self._begin(conversation_id, from_seq - 1):
            self._want(conversation_id, to_seq)

    def give_up(self, conversation_id: str) -> None:
        """Nothing more of this conversation can be fetched: it is not ours any more."""
        self.wanted.pop(conversation_id, None)
        self._begun.pop(conversation_id, None)
        self._revisions.pop(conversation_id, None)
        if self.cursors is not None:
            self.cursors.pop(conversation_id, None)

    def membership(self, conversation_id: str) -> tuple[int, int]:
        """Another one as soon as the user is known to have been added again: an answer about the earlier one does not count."""
        return self._begun.get(conversation_id, 0), self._revisions.get(conversation_id, 0)

    def exhausted(self, conversation_id: str) -> None:
        """The store ends where the cursor is: nothing is to be fetched there."""
        self.wanted.pop(conversation_id, None)

    def reset(self, conversation_id: str, last_seq: int) -> None:
        """The server's store ends earlier than our cursor: go on from its end."""
        self.wanted.pop(conversation_id, None)
        self._revisions.pop(conversation_id, None)
        if self.cursors is not None:
            self.cursors[conversation_id] = last_seq

    def synced(self, frame: Synced, hello: int, left_out: Collection[str] = ()) -> None:
        """Replay is over: a conversation without a cursor starts at its head; a conversation that is not listed is not ours any
        more.

        Args:
            frame: as it came.
            hello: the number of the `hello` that it answers: conversations that began later cannot be listed.
            left_out: conversations whose cursors were not in that `hello`: one beyond the head has to be compared with the store.
        """
        if self.cursors is None:
            self.cursors = {}
        for conversation_id, head in frame.heads.items():
            if self._begin(conversation_id, head):
                known = self._revisions.get(conversation_id, 0)
                self._revisions[conversation_id] = max(known, frame.revisions.get(conversation_id, 0))
        for conversation_id in [known for known in self.cursors if known not in frame.heads]:
            if self._begun.get(conversation_id, 0) < hello:
                self.give_up(conversation_id)
        for conversation_id in left_out:
            if frame.heads.get(conversation_id, cursor := self.cursors.get(conversation_id, 0)) < cursor:
                self._want(conversation_id, cursor + 1)

    def changed(self, frame: ConversationNotice, user_id: str) -> None:
        """A conversation begins, or ends, for this user. Live starts after the `last_seq` that the notice names."""
        if self.cursors is None:
            return
        conversation_id, revision = frame.conversation_id, frame.revision
        is_about_us = frame.event == "created" or frame.user_id == user_id
        if frame.event == "member_removed" and is_about_us:
            if revision > self._revisions.get(conversation_id, 0):
                self.give_up(conversation_id)
                self._leave(conversation_id, revision)
        elif frame.conversation and revision > self._left.get(conversation_id, -1):
            self._left.pop(conversation_id, None)
            self._begin(conversation_id, frame.conversation.last_seq)
            if is_about_us:
                self._revisions[conversation_id] = max(revision, self._revisions.get(conversation_id, 0))

    def _begin(self, conversation_id: str, cursor: int) -> bool:
        """Start there unless it has begun; False where the user was removed and not added again."""
        assert self.cursors is not None  # noqa: S101 - the callers have looked
        if conversation_id in self._left:
            return False
        if conversation_id not in self.cursors:
            self.cursors[conversation_id] = cursor
            self._begun[conversation_id] = self._hellos
        return True

    def _leave(self, conversation_id: str, revision: int) -> None:
        self._left[conversation_id] = revision
        if len(self._left) > MAX_LEFT:
            del self._left[next(iter(self._left))]

    def _want(self, conversation_id: str, upto: int) -> None:
        assert self.cursors is not None  # noqa: S101 - the callers have looked
        if self.cursors[conversation_id] < upto:
            self.wanted[conversation_id] = max(upto, self.wanted.get(conversation_id, 0))
