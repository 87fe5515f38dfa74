"""The embedded store: one SQLite file, shared by the processes of one machine.

Same port, same contract suite as Firestore, with one difference: a process frozen while it holds SQLite's write lock stops the
writers of all others until it continues.
"""

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from holdfast.adapters.sqlite import blocks, conversations, messages, notifications, presence, rows, schema, store_time
from holdfast.adapters.sqlite.database import Database, Lane
from holdfast.adapters.sqlite.lanes import translated
from holdfast.adapters.sqlite.schema import Connection
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
from holdfast.errors import CommandError, StoreConflict, StoreDenied, StoreError, StoreRejected, StoreTimeout, StoreUnavailable
from holdfast.ports import DependencyWatch, MachineClock

T = TypeVar("T")

_MAX_UNREPORTED: Final = 10_000  # far more than one deadline's worth of presence writes


class SqliteStore:
    """Implements `ports.MessageStore`. Used from one event loop; `close` ends its two lanes."""

    name = "sqlite"

    def __init__(self, database: Database, clock: MachineClock, watch: DependencyWatch) -> None:
        """Opens nothing yet."""
        self._database = database
        self._clock = clock
        self._watch = watch
        self._may_write = True
        self._writer: Lane | None = None
        self._reader: Lane | None = None
        self._unreported: dict[UserId, PresenceChange] = {}
        self._claims: Claims[str] = Claims()

    async def open(self, *, may_create: bool = True) -> None:
        """See the port."""
        if self._writer is None:
            try:
                if may_create:
                    await self._database.create()
            except (sqlite3.Error, OSError, StoreDenied) as error:
                refusal = StoreDenied(str(error)) if isinstance(error, OSError) else translated(error)
                self._watch.failed(str(refusal), is_timeout=isinstance(refusal, StoreTimeout))
                raise refusal from error
            self._writer = self._database.lane("sqlite-writer", is_writer=True)
            self._reader = self._database.lane("sqlite-reader", is_writer=False)
        if await self.generation():  # else the file is another program's
            await self._write(lambda c: store_time.follow(c, self._clock))

    async def close(self) -> None:
        """End both lanes."""
        lanes = [lane for lane in (self._writer, self._reader) if lane is not None]
        self._writer = self._reader = None
        for lane in lanes:
            await lane.close()

    async def generation(self) -> str:
        """See the port; asked of the writer, because a locked or full file still answers reads.

        A file of which the path was taken away, or given to another file, has none: what is written there is lost.
        """
        return await self._write(schema.generation)

    async def renew(self) -> str:
        """See the port."""
        new = secrets.token_hex(8)
        await self._write(lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (new,)))
        return new

    async def append(self, conversation_id: ConversationId, first_seq: Seq, drafts: Sequence[Draft], sent_at_ms: int) -> None:
        """See the port."""
        await self._write(lambda c: messages.append(c, conversation_id, first_seq, drafts, sent_at_ms, self._now_ms(c)))

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        """See the port."""
        return await self._read(lambda c: messages.settle(c, conversation_id, keys, self._now_ms(c)))

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._read(lambda c: messages.heads(c, known))

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        """See the port."""
        return await self._read(lambda c: messages.page(c, conversation_id, after_seq, before_seq, limit))

    async def create_conversation(self, new: NewConversation, room: Room | None = None) -> tuple[Conversation, bool]:
        """See the port."""
        result = await self._write(lambda c: conversations.create(c, new, room))
        if isinstance(result, CommandError):
            raise result
        return result

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        """See the port."""
        return await self._read(lambda c: rows.conversation(c, conversation_id))

    async def update_conversation(
        self, conversation_id: ConversationId, *, title: str | None, metadata_json: str | None
    ) -> Conversation | None:
        """See the port."""
        return await self._write(lambda c: conversations.update(c, conversation_id, title, metadata_json))

    async def change_members(
        self,
        conversation_id: ConversationId,
        changes: Sequence[MemberChange],
        *,
        max_members: int,
        room: Room | None = None,
    ) -> MembersChanged | None:
        """See the port."""
        result = await self._write(lambda c: conversations.change_members(c, conversation_id, changes, max_members, room))
        if isinstance(result, CommandError):
            raise result
        return result

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """See the port."""
        return await self._read(lambda c: conversations.memberships_of(c, user_id))

    async def page_conversations(self, user_id: UserId, limit: int, after: PageKey | None) -> list[Conversation]:
        """See the port."""
        return await self._read(lambda c: conversations.page(c, user_id, limit, after))

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        """See the port."""
        await self._write(lambda c: conversations.note_activity(c, conversation_id, last))

    async def advance_cursors(
        self, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], read_by: Mapping[Seq, Sequence[UserId]]
    ) -> dict[UserId, Seq]:
        """See the port."""
        return await self._write(lambda c: messages.advance_cursors(c, conversation_id, cursors, read_by))

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        """See the port."""
        return await self._read(lambda c: messages.read_cursors(c, conversation_id))

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._read(lambda c: messages.cursors_of(c, user_id, conversation_ids))

    async def block(self, user_id: UserId, blocked: UserId, max_blocks: int) -> None:
        """See the port."""
        refusal = await self._write(lambda c: blocks.block(c, user_id, blocked, max_blocks))
        if refusal is not None:
            raise refusal

    async def unblock(self, user_id: UserId, blocked: UserId) -> None:
        """See the port."""
        await self._write(lambda c: blocks.unblock(c, user_id, blocked))

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        """See the port."""
        return await self._read(lambda c: blocks.blocks_of(c, user_id))

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        """See the port."""
        return await self._read(lambda c: blocks.blockers_of(c, user_id, limit))

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        """See the port."""
        return await self._read(lambda c: blocks.blockers_among(c, user_id, among))

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=True)

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """See the port."""
        return await self._change_presence(entry, seen_at_ms, is_present=False)

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """See the port."""
        return await self._read(lambda c: presence.read(c, user_ids))

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        """See the port."""
        return await self._read(lambda c: presence.users_on(c, entry, limit, after))

    async def active_since(self, since_ms: int, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """See the port."""
        return await self._read(lambda c: notifications.active_since(c, since_ms, known))

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        """See the port."""
        return await self._read(lambda c: notifications.messages_since(c, conversation_id, since_ms, limit, before_seq))

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """See the port."""
        return await self._read(lambda c: notifications.catch_ups(c, limit))

    async def finish_catch_up(self, done: CatchUp) -> None:
        """See the port."""
        await self._write(lambda c: notifications.finish_catch_up(c, done))

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """See the port."""
        return await self._write(lambda c: notifications.create(c, records, self._now_ms(c)))

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """See the port."""
        return await self._read(lambda c: notifications.recorded(c, notification_ids))

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """See the port."""
        claim_id, hold_ms = secrets.token_hex(8), round(hold_seconds * 1000)
        claimed = await self._write(lambda c: notifications.claim(c, claim_id, limit, hold_ms, self._now_ms(c)))
        self._claims.hold([record.notification_id for record in claimed], claim_id)
        return claimed

    async def mark_notification(self, notification_id: str, state: str, retry_in_seconds: float = 0.0) -> None:
        """See the port."""
        if (claim_id := self._claims.of(notification_id)) is not None:
            pause_ms = round(retry_in_seconds * 1000)
            await self._write(lambda c: notifications.mark(c, notification_id, claim_id, state, self._now_ms(c) + pause_ms))
            self._claims.end(notification_id, claim_id)

    async def clear_notification(self, notification_id: str) -> None:
        """See the port."""
        await self._write(lambda c: notifications.clear(c, notification_id))

    async def write_bulletin(self, bulletin: Bulletin) -> int:
        """See the port."""
        return await self._write(lambda c: presence.write_bulletin(c, bulletin, store_time.follow(c, self._clock)))

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """See the port."""
        found = await self._read(presence.read_bulletins)
        return [bulletin for bulletin in found if bulletin.mode != "ok" or not only_unwell]

    async def remove_bulletin(self, instance_id: InstanceId, epoch: Epoch) -> None:
        """See the port."""
        await self._write(lambda c: presence.remove_bulletin(c, instance_id, epoch))

    async def revoke(self, user_id: UserId) -> int:
        """See the port."""
        return await self._write(lambda c: presence.revoke(c, user_id, self._now_ms(c)))

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        """See the port."""
        return await self._read(lambda c: presence.read_revocations(c, since_ms))

    async def revoke_token(self, name: str, ends_at_ms: int) -> None:
        """See the port."""
        await self._write(lambda c: presence.revoke_token(c, name, ends_at_ms, self._now_ms(c)))

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        """See the port."""
        return await self._read(lambda c: presence.read_revoked_tokens(c, since_ms, limit))

    async def _change_presence(self, entry: str, seen_at_ms: Mapping[UserId, int], *, is_present: bool) -> list[PresenceChange]:
        """A change that landed after its caller had left is returned by the next call for that user, which finds it done."""
        changes = await self._write(lambda c: presence.change(c, entry, seen_at_ms, is_present=is_present), self._remember_late)
        late = [change for user_id in seen_at_ms if (change := self._unreported.pop(user_id, None)) is not None]
        told = {change.user_id for change in changes}
        return changes + [change for change in late if change.user_id not in told and change.online == is_present]

    def _now_ms(self, connection: sqlite3.Connection) -> int:
        """The store's time, inside the lane's thread."""
        return store_time.now_ms(connection, self._clock)

    def _remember_late(self, changes: list[PresenceChange]) -> None:
        self._unreported.update((change.user_id, change) for change in changes)
        while len(self._unreported) > _MAX_UNREPORTED:
            del self._unreported[next(iter(self._unreported))]

    def _counted(self, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
        """Do `work`, and report what it found damaged; in the lane's thread."""
        try:
            return work(connection)
        finally:
            if isinstance(connection, Connection):
                for source, count in connection.damaged.items():
                    self._watch.undecodable(source, count)
                connection.damaged.clear()

    async def _write(self, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None) -> T:
        return await self._run(self._writer, work, on_late)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._run(self._reader, work)

    async def _run(
        self, lane: Lane | None, work: Callable[[sqlite3.Connection], T], on_late: Callable[[T], None] | None = None
    ) -> T:
        if lane is None:
            raise StoreUnavailable("the store is not open")
        began = self._clock.monotonic()
        try:
            result = await lane.run(partial(self._counted, work), on_late)
        except (StoreConflict, StoreRejected):
            self._watch.succeeded(self._clock.monotonic() - began)
            raise
        except StoreError as error:
            self._may_write = self._may_write and lane is self._reader
            self._watch.failed(str(error), is_timeout=isinstance(error, StoreTimeout))
            raise
        self._may_write = self._may_write or lane is self._writer
        if self._may_write:  # reads that succeed beside failing writes are no sign of health
            self._watch.succeeded(self._clock.monotonic() - began)
        return result
