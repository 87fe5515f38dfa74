"""The store of production: Firestore. See `client` for how it is called, `documents` for how it is laid out."""

import contextlib
import secrets
from collections.abc import Mapping, Sequence

from google.api_core.exceptions import AlreadyExists, FailedPrecondition

from holdfast.adapters.firestore import blocks, bulletins, conversations, creates, messages, notifications, presence
from holdfast.adapters.firestore.client import Calls, Connect, connect
from holdfast.adapters.firestore.room import Rooms
from holdfast.adapters.firestore.tails import Tails
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
from holdfast.domain.notifications import CatchUp, Claims, Notification
from holdfast.domain.presence import Presence, PresenceChange
from holdfast.domain.stored import Stored
from holdfast.errors import CommandError
from holdfast.ports import Clock, DependencyWatch


class FirestoreStore:
    """Implements `ports.MessageStore`. Used from one event loop; `close` lets the channel go."""

    name = "firestore"

    def __init__(
        self,
        project: str,
        database: str,
        timeout_seconds: float,
        clock: Clock,
        watch: DependencyWatch,
        connect: Connect = connect,
    ) -> None:
        """Connects to nothing yet. `connect`: makes the library's client, in a thread, when the store is opened."""
        self._calls = Calls(project, database, timeout_seconds, clock, watch, connect)
        self._tails = Tails(self._calls)
        self._rooms = Rooms(self._calls, timeout_seconds)
        self._unfinished = presence.Unfinished()
        self._claims: Claims[notifications.Claim] = Claims()

    async def open(self, *, may_create: bool = True) -> None:
        """See the port."""
        await self._calls.open()
        if may_create:
            await self._calls.run(self._ensure_generation())
        self._calls.may_verify = await creates.can_verify(self._calls.client, "meta/generation", self._calls.unretried)

    async def close(self) -> None:
        """See the port."""
        await self._calls.close()

    async def generation(self) -> str:
        """See the port."""
        return await self._calls.run(self._generation())

    async def renew(self) -> str:
        """See the port."""
        new = secrets.token_hex(8)
        await self._calls.run(self._calls.client.document("meta", "generation").set({"id": new}, **self._calls.unretried))
        return new

    async def append(self, conversation_id: ConversationId, first_seq: Seq, drafts: Sequence[Draft], sent_at_ms: int) -> None:
        """See the port."""
        await self._calls.run(messages.append(self._calls, self._tails, conversation_id, first_seq, drafts, sent_at_ms))

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """See the port."""
        return await self._calls.run(messages.settle(self._calls, self._tails, conversation_id, keys))

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.run(self._tails.find(known))

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """See the port."""
        return await self._calls.run(messages.page(self._calls, self._tails, conversation_id, after_seq, before_seq, limit))

    async def create_conversation(self, new: NewConversation, room: Room | None = None) -> tuple[Conversation, bool]:
        """See the port."""
        try:
            async with self._rooms.taken(new.members, new.created_by, room):
                return await self._calls.run(conversations.create(self._calls, new))
        except CommandError:
            if (stored := await self.read_conversation(new.conversation_id)) is not None:
                return stored, False
            raise

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """See the port."""
        return await self._calls.run(conversations.read(self._calls, conversation_id))

    async def update_conversation(
        self, conversation_id: ConversationId, *, title: str | None, metadata_json: str | None
    ) -> Conversation | None:
        """See the port."""
        return await self._calls.run(conversations.update(self._calls, conversation_id, title, metadata_json))

    async def change_members(
        self,
        conversation_id: ConversationId,
        changes: Sequence[MemberChange],
        *,
        max_members: int,
        room: Room | None = None,
    ) -> MembersChanged | None:
        """See the port."""
        added, creator = [each.user_id for each in changes if each.is_member], UserId("")
        if added and room is not None:
            known = await self.read_conversation(conversation_id)
            if known is None:
                return None
            added, creator = [user_id for user_id in added if user_id not in known.members], known.created_by
        async with self._rooms.taken(added, creator, room if added else None):
            result = await self._calls.run(conversations.change_members(self._calls, conversation_id, changes, max_members))
        if isinstance(result, CommandError):
            raise result
        return result

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """See the port."""
        return await self._calls.run(conversations.memberships_of(self._calls, user_id))

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """See the port."""
        return await self._calls.run(conversations.page(self._calls, user_id, limit, after))

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """See the port."""
        await self._calls.run(conversations.note_activity(self._calls, conversation_id, last))

    async def advance_cursors(
        self, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], read_by: Mapping[Seq, Sequence[UserId]]
    ) -> dict[UserId, Seq]:
        """See the port."""
        return await self._calls.run(messages.advance_cursors(self._calls, conversation_id, cursors, read_by))

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """See the port."""
        return await self._calls.run(messages.read_cursors(self._calls, conversation_id))

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.run(messages.cursors_of(self._calls, user_id, conversation_ids))

    async def block(self, user_id: UserId, blocked: UserId, max_blocks: int) -> None:
        """See the port."""
        refusal = await self._calls.run(blocks.block(self._calls, user_id, blocked, max_blocks))
        if refusal is not None:
            raise refusal

    async def unblock(self, user_id: UserId, blocked: UserId) -> None:
        """See the port."""
        await self._calls.run(blocks.unblock(self._calls, user_id, blocked))

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        """See the port."""
        return await self._calls.run(blocks.blocks_of(self._calls, user_id))

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        """See the port."""
        return await self._calls.run(blocks.blockers_of(self._calls, user_id, limit))

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        """See the port."""
        return await self._calls.run(blocks.blockers_among(self._calls, user_id, among))

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=True)

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=False)

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """See the port."""
        return await self._calls.run(presence.read(self._calls, user_ids))

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        """See the port."""
        return await self._calls.run(presence.users_on(self._calls, entry, limit, after))

    async def active_since(self, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._calls.run(messages.active_since(self._tails, since_ms, known))

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        """See the port."""
        return await self._calls.run(messages.since(self._calls, self._tails, conversation_id, since_ms, limit, before_seq))

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """See the port."""
        return await self._calls.run(notifications.catch_ups(self._calls, limit))

    async def finish_catch_up(self, done: CatchUp) -> None:
        """See the port."""
        await self._calls.run(notifications.finish_catch_up(self._calls, done))

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """See the port."""
        return await self._calls.run(notifications.create(self._calls, records))

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """See the port."""
        return await self._calls.run(notifications.recorded(self._calls, notification_ids))

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """See the port."""
        return await self._calls.run(notifications.claim(self._calls, self._claims, limit, hold_seconds))

    async def mark_notification(self, notification_id: str, state: str, retry_in_seconds: float = 0.0) -> None:
        """See the port."""
        await self._calls.run(notifications.mark(self._calls, self._claims, notification_id, state, retry_in_seconds))

    async def clear_notification(self, notification_id: str) -> None:
        """See the port."""
        await self._calls.run(notifications.clear(self._calls, notification_id))

    async def write_bulletin(self, bulletin: Bulletin) -> int:
        """See the port."""
        return await self._calls.run_now(bulletins.write_bulletin(self._calls, bulletin))

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """See the port."""
        return await self._calls.run_now(bulletins.read_bulletins(self._calls, only_unwell=only_unwell))

    async def remove_bulletin(self, instance_id: InstanceId, epoch: Epoch) -> None:
        """See the port."""
        await self._calls.run_now(bulletins.remove_bulletin(self._calls, instance_id, epoch))

    async def revoke(self, user_id: UserId) -> int:
        """See the port."""
        return await self._calls.run(bulletins.revoke(self._calls, user_id))

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        """See the port."""
        if since_ms:
            return await self._calls.run(bulletins.read_revocations(self._calls, since_ms))
        revoked, after, is_more = dict[UserId, int](), "", True
        while is_more:  # each page has a deadline of its own: an instance starts however many there are
            page, after = await self._calls.run(bulletins.page_of_revocations(self._calls, after, bulletins.REVOCATIONS_PAGE))
            revoked |= page
            is_more = after != ""
        return revoked

    async def revoke_token(self, name: str, ends_at_ms: int) -> None:
        """See the port."""
        await self._calls.run(bulletins.revoke_token(self._calls, name, ends_at_ms))

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        """See the port."""
        revoked, after, left = dict[str, int](), None, limit
        while left > 0:
            size = min(left, bulletins.REVOCATIONS_PAGE)
            page, after = await self._calls.run(bulletins.page_of_revoked_tokens(self._calls, since_ms, after, size))
            revoked |= page
            left = left - size if after is not None else 0
        return revoked

    async def _change_presence(self, entry: str, seen_at_ms: Mapping[UserId, int], *, is_present: bool) -> list[PresenceChange]:
        work = presence.change(self._calls, self._unfinished, entry, seen_at_ms, is_present=is_present)
        return await self._calls.run(work)

    async def _generation(self) -> str:
        snapshot = await self._calls.client.document("meta", "generation").get(**self._calls.unretried)
        return Stored(snapshot.to_dict()).text("id")

    async def _ensure_generation(self) -> None:
        """Create the id; of several processes one does it. A document without a usable id is replaced in the same way."""
        client = self._calls.client
        reference = client.document("meta", "generation")
        snapshot = await reference.get(**self._calls.unretried)
        if Stored(snapshot.to_dict()).text("id"):
            return
        new = {"id": secrets.token_hex(8)}
        with contextlib.suppress(AlreadyExists, FailedPrecondition):
            if snapshot.exists:
                unchanged = client.write_option(last_update_time=snapshot.update_time)
                await reference.update(new, option=unchanged, **self._calls.unretried)
            else:
                await reference.create(new, **self._calls.unretried)
