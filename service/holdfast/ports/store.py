"""Durable truth, as the node asks for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import (
    Conversation,
    LastMessage,
    MemberChange,
    MembersChanged,
    Membership,
    NewConversation,
    PageKey,
    Room,
)
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, Seq, UserId
from holdfast.domain.messages import Committed, Draft, Message, Settlement
from holdfast.domain.notifications import CatchUp, Notification
from holdfast.domain.presence import Presence, PresenceChange


class MessageStore(Protocol):
    """Durable truth. Firestore in production, SQLite embedded; the same contract suite runs over both.

    Every method raises `StoreUnavailable` (or `StoreTimeout`) when it cannot tell, within the adapter's deadline (2 s), and
    `StoreDenied` for wrong credentials or addresses. Reads are strongly consistent: they see every write acknowledged before
    they began, by any process. Writes that promise idempotence may be repeated after an ambiguous error.
    """

    @property
    def name(self) -> str:
        """`firestore` or `sqlite`; the key of `services` in `/api/health`."""
        ...

    async def open(self, *, may_create: bool = True) -> None:
        """First contact: connects and, unless told not to, creates what is missing (schema, `meta/generation`).

        May be repeated until it succeeds.
        """
        ...

    async def close(self) -> None:
        """Release everything. Calls under way end with `StoreUnavailable`."""
        ...

    async def generation(self) -> str:
        """The id in `meta/generation`; "" where there is none. One cheap strongly consistent read, which fails when writes would.

        `open` creates the id, of several processes one. It is missing afterwards when the store was emptied or replaced, and
        another one when the store was restored and renewed: what was read of the store before is not valid any more.
        """
        ...

    async def renew(self) -> str:
        """Replace the id in `meta/generation` by a new one, in one write, and return it. To be called after a restore."""
        ...

    # --- messages -------------------------------------------------------------------------------------------------

    async def append(self, conversation_id: ConversationId, first_seq: Seq, drafts: Sequence[Draft], sent_at_ms: int) -> None:
        """Atomically create the messages `first_seq … first_seq + len(drafts) - 1` and their `sends` records.

        The same commit requires that message `first_seq - 1` exists (for `first_seq` 1: the conversation), so a conversation
        never has a gap. One attempt, no retry inside. The caller passes distinct keys and at most 200 drafts.

        Raises:
            PredecessorMissing: what the first message has to follow does not exist; nothing was written.
            StoreConflict: one of those seqs or keys exists; nothing was written.
            StoreRejected: the content was refused; nothing was written.
            StoreUnavailable: it may have been written, now or a little later.
        """
        ...

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """The tail, and what is stored under each of `keys`, with the tail read no earlier than the keys."""
        ...

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """The true tail of each conversation; `known` is a seq that its tail is believed not to be below (0 if nothing is known).

        Cheap where `known` is right (one read per conversation, many in one call); correct where it is not: a tail
        below `known` (the store was restored) is found as well.
        """
        ...

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """Up to `limit` (≤ 500) messages between exclusive bounds, ascending.

        With `after_seq` the first ones after it; otherwise the last ones (before `before_seq`, where given).
        """
        ...

    # --- conversations --------------------------------------------------------------------------------------------

    async def create_conversation(self, new: NewConversation, room: Room | None = None) -> tuple[Conversation, bool]:
        """Create it unless its id exists; (what is stored, whether this call created it). Idempotent.

        Raises:
            CommandError: `limit_reached` when a member's list has no `room` for one more; see `change_members`.
        """
        ...

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """The conversation, or None."""
        ...

    async def update_conversation(
        self, conversation_id: ConversationId, *, title: str | None, metadata_json: str | None
    ) -> Conversation | None:
        """Replace title and metadata and raise `revision`, atomically; None when there is no such conversation."""
        ...

    async def change_members(
        self,
        conversation_id: ConversationId,
        changes: Sequence[MemberChange],
        *,
        max_members: int,
        room: Room | None = None,
    ) -> MembersChanged | None:
        """Add and remove members, one after the other (≤ 100, of distinct users), in one write. Idempotent.

        `membersVersion` and `revision` rise by one for each change that is not so already. None: there is no such conversation.

        Args:
            room: what the list of an added user may hold. A store that counts in the transaction of the write never exceeds it.
                One that cannot exceeds it at most by the number of calls under way at other instances.

        Raises:
            CommandError: `limit_reached` when it would grow beyond `max_members`, or there is no `room` for one of the users;
                nothing was written.
            StoreConflict: others changed it each time before this could; nothing was written.
        """
        ...

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """Every conversation of a user (at most a few thousand), most recently active first."""
        ...

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """A user's conversations, newest activity first (then id, descending), strictly after `after`."""
        ...

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """Hint `lastSeq`, `lastMessage` and `lastMessageAt`; older hints never replace newer ones. Creates no conversation."""
        ...

    # --- read cursors ---------------------------------------------------------------------------------------------

    async def advance_cursors(
        self,
        conversation_id: ConversationId,
        cursors: Mapping[UserId, Seq],
        read_by: Mapping[Seq, Sequence[UserId]],
    ) -> dict[UserId, Seq]:
        """Move read cursors forward and add users to `readBy` of the messages named; one batch, idempotent, commutative.

        Returns the cursors as committed: never below what was asked, possibly above.
        """
        ...

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """The read cursor of everyone who has one in this conversation."""
        ...

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """One user's read cursors; conversations without one are absent."""
        ...

    # --- blocks ---------------------------------------------------------------------------------------------------

    async def block(self, user_id: UserId, blocked: UserId, max_blocks: int) -> None:
        """`user_id` blocks `blocked`. Idempotent.

        Raises:
            CommandError: `limit_reached` when the user blocks `max_blocks` others already.
        """
        ...

    async def unblock(self, user_id: UserId, blocked: UserId) -> None:
        """`user_id` blocks `blocked` no more. Idempotent."""
        ...

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        """The users that `user_id` blocks, by id."""
        ...

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        """Up to `limit` users that block `user_id`, in any order."""
        ...

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        """Which of `among` (≤ 1,000) block `user_id`."""
        ...

    # --- presence -------------------------------------------------------------------------------------------------

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """Put `entry` into `on` of each user (≤ 200) and set `online`; return the users who came online by it.

        `seen_at_ms`: when each was last heard, by the store's clock as far as it is known here (Unix milliseconds); 0 if that is
        not known. `lastSeen` becomes the larger of that and what is stored.

        Under a precondition on what was read, retried inside: a concurrent removal by another instance is never lost.
        Idempotent; a change whose reply was lost is still returned by the call that made it.
        """
        ...

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """Take `entry` out of `on` of each user (≤ 200); return those whose `on` became empty: they are offline now.

        `lastSeen` becomes the larger of what is stored and `seen_at_ms`. The same write sets `catchup`, from that `lastSeen` on,
        for users who went offline: no instance can die between the two. Same conditions as `add_presence`.
        """
        ...

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Presence of each user asked for; a user who was never seen is offline."""
        ...

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        """Up to `limit` users whose `on` holds `entry`, by id, strictly after `after`."""
        ...

    # --- offline notifications ------------------------------------------------------------------------------------

    async def active_since(self, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """The tails of the conversations whose last message was committed at or after `since_ms` by the store's own clock.

        In the order of `known`.

        `known` is as for `heads`: it saves reads, it decides nothing.
        """
        ...

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        """The last `limit` (≤ 500) messages (before `before_seq`), as far as they were committed at or after `since_ms`.

        By the store's own clock; ascending. As many as `limit` means that there may be earlier ones.
        """
        ...

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """Up to `limit` users whose `catchup` flag is still set."""
        ...

    async def finish_catch_up(self, done: CatchUp) -> None:
        """Clear the flag, unless the user went offline again since (`since_ms` differs). Idempotent."""
        ...

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """Create each record unless its id exists (≤ 200, distinct ids); those that this call created. Idempotent."""
        ...

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """Which of these records exist, whatever became of them: for drills and tests.

        The ids of one conversation should be those of neighbouring messages: what lies between the first and the last is read.
        """
        ...

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """Up to `limit` records that are due to be pushed, oldest first; no other instance gets them for `hold_seconds`.

        `attempts` is counted by the claim, so that a process which dies while pushing has used one up.
        """
        ...

    async def mark_notification(self, notification_id: str, state: str, retry_in_seconds: float = 0.0) -> None:
        """What became of a claimed record: `sent`, `pending` (again after `retry_in_seconds`) or `dead`. Idempotent."""
        ...

    async def clear_notification(self, notification_id: str) -> None:
        """Forget a record, so that a later message makes a new one (large conversations, once the user has read). Idempotent."""
        ...

    # --- bulletins and revocations --------------------------------------------------------------------------------

    async def write_bulletin(self, bulletin: Bulletin) -> int:
        """Replace this instance's bulletin; when that was, by the store's own clock (Unix milliseconds)."""
        ...

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """Everybody's bulletins, or only those whose `mode` is not `ok`: a small query, asked every 2 s by everyone."""
        ...

    async def remove_bulletin(self, instance_id: InstanceId, epoch: Epoch) -> None:
        """Remove an instance's bulletin if it is of that epoch. Idempotent."""
        ...

    async def revoke(self, user_id: UserId) -> int:
        """Revoke the user's tokens; when that was, by the store's own clock (Unix milliseconds). Never moves back."""
        ...

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        """When each user was revoked last, of those revoked at or after `since_ms`, by the store's own clock; 0: all of them."""
        ...

    async def revoke_token(self, name: str, ends_at_ms: int) -> None:
        """Revoke one token until `ends_at_ms` (Unix milliseconds by the store's own clock); later the store may forget it."""
        ...

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        """Until when each token is revoked, of those revoked at or after `since_ms`, by the store's own clock; 0: of all.

        At most `limit`, of all of them those that end last. Some may have ended already.
        """
        ...
