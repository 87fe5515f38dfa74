"""The parts of this room, put together."""

from collections.abc import Iterable
from typing import Protocol

from holdfast.domain.ids import ConversationId, UserId
from holdfast.node.foundation import Foundation
from holdfast.node.sending.append import Appender, Commit
from holdfast.node.sending.committer import Committer
from holdfast.node.sending.own_marks import OwnMarks, Visibility
from holdfast.ports import Clock


class Above(Protocol):
    """The questions of this room to the rooms above it, and its news for them."""

    def on_commit(self, commit: Commit) -> None:
        """Messages are in the store."""

    async def non_members(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> set[UserId] | None:
        """Which of these are not its members; None when there is no such conversation."""


class SendingParts:
    """Of one instance; `committer.close` waits for the appends that are under way."""

    def __init__(self, on: Foundation, store_clock: Clock, visibility: Visibility, above: Above) -> None:
        self.own_marks = OwnMarks(on.marks, on.identity, visibility, on.telemetry)
        self.appender = Appender(on.identity, on.store, store_clock, on.telemetry, above.on_commit)
        self.committer = Committer(self.appender, self.own_marks, on.clock, on.telemetry, above.non_members)
