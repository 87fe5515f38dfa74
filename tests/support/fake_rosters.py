"""`RosterCache` in memory: as little as units need, with the same ends of what is remembered.

A call gives the others a turn, as a round trip would: that is what `asyncio.sleep(0)` stands for.
"""

import asyncio
from collections.abc import Mapping, Sequence

from holdfast.domain.conversations import RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import RedisUnavailable


class FakeRosters:
    """`rows`, `permits`, `published` are the test's to look at, `losses` and `is_away` to set."""

    def __init__(self) -> None:
        self.losses = 0
        self.is_away = False
        self.eras = 0
        self.rows: dict[UserId, dict[ConversationId, RosterRow]] = {}
        self.permits: dict[UserId, str] = {}
        self.published: dict[ConversationId, Seq] = {}
        self.writing: dict[str, tuple[ConversationId, tuple[UserId, ...]]] = {}

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.is_away:
            raise RedisUnavailable("away")

    def forget(self, user_id: str) -> None:
        """A change of the user's conversations was published."""
        self.rows.pop(UserId(user_id), None)
        self.permits.pop(UserId(user_id), None)

    async def new_era(self) -> None:
        await self._reach()
        self.eras += 1
        self.rows.clear()
        self.permits.clear()

    async def look(self, user_id: UserId, generation: str, now_ms: int) -> RosterLook:
        await self._reach()
        if user_id in self.rows:
            moving = {c for c, users in self.writing.values() if user_id in users}
            rows = [
                RosterRow(row.membership, None if c in moving else row.last_read_seq) for c, row in self.rows[user_id].items()
            ]
            return RosterLook(rows, proof=f"era-{self.eras}")
        return RosterLook(None, fill_permit=self.permits.setdefault(user_id, f"permit-{self.eras}"))

    async def fill(self, user_id: UserId, generation: str, fill_permit: str, rows: Sequence[RosterRow], now_ms: int) -> bool:
        await self._reach()
        if self.permits.pop(user_id, None) != fill_permit:
            return False
        self.rows[user_id] = {row.membership.conversation_id: row for row in rows}
        return True

    async def tails(
        self, conversation_ids: Sequence[ConversationId], generation: str, proof: str
    ) -> dict[ConversationId, Seq] | None:
        await self._reach()
        return {c: self.published.get(c, 0) for c in conversation_ids} if proof == f"era-{self.eras}" else None

    async def begin_reads(self, conversation_id: ConversationId, user_ids: Sequence[UserId]) -> str:
        await asyncio.sleep(0)
        name = str(len(self.writing))
        self.writing[name] = (conversation_id, tuple(user_ids))
        for user_id in user_ids:
            self.permits.pop(user_id, None)
        return name

    def end_reads(self, name: str, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], generation: str) -> None:
        self.writing.pop(name, None)
        for user_id, seq in cursors.items():
            if (row := self.rows.get(user_id, {}).get(conversation_id)) is not None:
                raised = RosterRow(row.membership, max(row.last_read_seq or 0, seq))
                self.rows[user_id][conversation_id] = raised
