"""The client's rule: each message of each conversation is shown once, in order, whatever arrives how often and by which way.

Pure: frames in, messages to show and ranges to fetch out. Two connections may feed it at once (while one is about to end),
and a page from REST is offered like everything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.protocol.frames import ConversationNotice, MessageFrame, Synced


@dataclass(slots=True)
class Streams:
    """Where every conversation is.

    Attributes:
        cursors: conversation -> seq of the last message shown. None until the first `synced` of a client that starts
            with what is new: it has no position yet.
        wanted: conversation -> seq up to which it has to be fetched, because what lies between did not come.
    """

    cursors: dict[str, int] | None
    wanted: dict[str, int] = field(default_factory=dict)

    def offer(self, frame: MessageFrame, *, has_room: bool) -> bool:
        """Whether to show it now. `has_room`: False when its reader is behind; then it is fetched again later."""
        if self.cursors is None:
            return False
        conversation_id, seq = frame.conversation_id, frame.seq
        cursor = self.cursors.get(conversation_id, 0)
        if seq <= cursor:
            return False
        if seq > cursor + 1 or not has_room:
            self.want(conversation_id, seq)
            return False
        self.cursors[conversation_id] = seq
        if self.wanted.get(conversation_id, 0) <= seq:
            self.wanted.pop(conversation_id, None)
        return True

    def want(self, conversation_id: str, upto: int) -> None:
        """What lies between the cursor and `upto` has to be fetched."""
        if self.cursors is not None and self.cursors.setdefault(conversation_id, 0) < upto:
            self.wanted[conversation_id] = max(upto, self.wanted.get(conversation_id, 0))

    def give_up(self, conversation_id: str) -> None:
        """Nothing more of this conversation can be fetched: it is not ours any more."""
        self.wanted.pop(conversation_id, None)
        if self.cursors is not None:
            self.cursors.pop(conversation_id, None)

    def exhausted(self, conversation_id: str) -> None:
        """The store ends where the cursor is: nothing is to be fetched there."""
        self.wanted.pop(conversation_id, None)

    def reset(self, conversation_id: str, last_seq: int) -> None:
        """The server's store ends earlier than our cursor: go on from its end."""
        self.wanted.pop(conversation_id, None)
        if self.cursors is not None:
            self.cursors[conversation_id] = last_seq

    def synced(self, frame: Synced) -> None:
        """Replay is over: what has no cursor yet starts at its head; what is not listed is not ours any more."""
        if self.cursors is None:
            self.cursors = {}
        for conversation_id, head in frame.heads.items():
            self.cursors.setdefault(conversation_id, head)
        self._keep(frame.heads)

    def changed(self, frame: ConversationNotice, user_id: str) -> None:
        """A conversation begins, or ends, for this user. Live starts after the `last_seq` that the notice names."""
        if self.cursors is None:
            return
        if frame.event == "member_removed" and frame.user_id == user_id:
            self.give_up(frame.conversation_id)
        elif frame.conversation:
            self.cursors.setdefault(frame.conversation_id, frame.conversation.last_seq)

    def _keep(self, heads: Mapping[str, int]) -> None:
        assert self.cursors is not None  # noqa: S101 - set by the caller
        for conversation_id in [known for known in self.cursors if known not in heads]:
            self.give_up(conversation_id)
