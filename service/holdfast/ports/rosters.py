"""The conversation list of each user, as Redis keeps it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.domain.conversations import RosterLook, RosterRow
from holdfast.domain.ids import ConversationId, Seq, UserId


class RosterCache(Protocol):
    """The conversation list of each user, kept in Redis for ten minutes: reconnecting users are served without a read of the
    store.

    A list is valid only while every change that concerns it reaches the same Redis. Each change deletes the list, also while it
    is being written. Another Redis, a restarted one, another generation of the store or a new era ends all lists. Methods raise
    `RedisUnavailable` within the deadline, unless they say otherwise.
    """

    @property
    def losses(self) -> int:
        """How many of this instance's writes have been lost since its start: each may have been one that others rely on."""
        ...

    async def new_era(self) -> None:
        """Make all rosters invalid that were written before now."""
        ...

    async def look(self, user_id: UserId, generation: str, now_ms: int) -> RosterLook:
        """The user's roster; or, where there is none, a permit to write one within a minute (`fill`).

        With a bus secret a list counts only where an instance signed it for this user, at most ten minutes before `now_ms` (Unix
        milliseconds, by the store's clock). Another one is removed, and there is neither a roster nor a permit.
        """
        ...

    async def fill(self, user_id: UserId, generation: str, fill_permit: str, rows: Sequence[RosterRow], now_ms: int) -> bool:
        """Write the roster, unless something changed since that permit was given; whether it was written.

        What `rows` say must have been read after that. Their `tail`: at least what had been published by then.
        """
        ...

    async def tails(
        self, conversation_ids: Sequence[ConversationId], generation: str, proof: str
    ) -> dict[ConversationId, Seq] | None:
        """The last publication of each; None when `proof` is no longer valid, or Redis has lost one of them.

        The larger of this and of a roster's `tail` is the tail, but for commits whose publication is still to come.
        """
        ...

    async def begin_reads(self, conversation_id: ConversationId, user_ids: Sequence[UserId]) -> str:
        """Read cursors are about to be written: until `end_reads` of the returned name no roster says where they are.

        Raises nothing: what did not reach Redis counts in `losses`.
        """
        ...

    def end_reads(self, name: str, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], generation: str) -> None:
        """They were written to this store, and are at least these now. Queued, like `Bus.publish`."""
        ...
