"""Fakes of the ports, for units: they keep in memory what the real ones keep outside, and fail when they are told to."""

import asyncio
import dataclasses
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence

from holdfast.domain.bulletins import Bulletin, BulletinVersion, StandingBulletin
from holdfast.domain.conversations import Conversation, MemberChange, MembersChanged, Membership, Room, with_changes
from holdfast.domain.ids import ConnectionId, ConversationId, RunId, Seq, UserId
from holdfast.domain.marks import MarkPage, StoredMark
from holdfast.domain.messages import Committed, Draft, Message, Settlement, StoredSend, content_digest, send_key
from holdfast.domain.presence import Presence, PresenceChange
from holdfast.errors import PredecessorMissing, StoreConflict
from holdfast.node.connections.connection import Connection, Grant
from holdfast.node.connections.local import LocalConversation
from holdfast.ports import Clock, MemoryUse


def draft(sender: str = "alice", key: str = "k1", body: str = "hello") -> Draft:
    """A send."""
    user = UserId(sender)
    return Draft(user, key, body, None, send_key(user, key), content_digest(body, None))


def conversation(
    conversation_id: str,
    *members: str,
    version: int = 1,
    revision: int = 1,
    last_seq: int = 0,
    joined: Mapping[str, Seq] | None = None,
) -> Conversation:
    """A conversation as stored. `joined`: where memberships begin, by user."""
    users = tuple(UserId(member) for member in members)
    starts = {UserId(member): seq for member, seq in (joined or {}).items()}
    return Conversation(
        ConversationId(conversation_id), users, version, revision, None, None, users[0], 0, "", last_seq, None, 0, starts
    )


class FakeTransport:
    """A socket that takes everything."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed: tuple[int, str] | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def writable(self) -> None:
        await asyncio.sleep(0)

    def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)


def connection(user_id: str, name: str = "") -> Connection:
    """An accepted socket, live: what it is given is in `transport.written`."""
    made = Connection(
        ConnectionId(name or f"{user_id}-1"),
        Grant(UserId(user_id), is_admin=False, issued_at=0, expires_at=1 << 40),
        FakeTransport(),
        connected_at_ms=0,
    )
    made.go_live()
    return made


class Faulty:
    """Calls can be held back, and fail before or after they took effect."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = defaultdict(int)
        self.stored_at_ms: dict[Seq, int] = {}  # of those that are older than any look back goes
        self.stamp_ms = 5  # of the next bulletin
        self._before: dict[str, deque[Exception]] = defaultdict(deque)
        self._after: dict[str, deque[Exception]] = defaultdict(deque)
        self._gates: dict[str, asyncio.Event] = {}

    def fail(self, call: str, *errors: Exception, after: bool = False) -> None:
        """The next calls fail, one error each; `after`: what they do is done, only the answer is lost."""
        (self._after if after else self._before)[call].extend(errors)

    def hold(self, call: str) -> asyncio.Event:
        """Calls wait before they do anything, until the event is set."""
        self._gates[call] = asyncio.Event()
        return self._gates[call]

    async def _enter(self, call: str) -> None:
        self.calls[call] += 1
        await asyncio.sleep(0)
        if call in self._gates:
            await self._gates[call].wait()
        if self._before[call]:
            raise self._before[call].popleft()

    async def _leave(self, call: str) -> None:
        if self._after[call]:
            raise self._after[call].popleft()
        await asyncio.sleep(0)


class FakeStore(Faulty):
    """The part of `Store` that units use."""

    name = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self.sends: dict[tuple[str, str], StoredSend] = {}
        self.conversations: dict[str, Conversation] = {}
        self.bulletins: dict[str, Bulletin] = {}
        self._versions = 0
        self.cursors: dict[tuple[str, str], Seq] = {}
        self.ends: dict[ConversationId, Seq] = {}  # of conversations that a restore made shorter
        self.marks: dict[str, StoredMark] = {}
        self.damaged_marks: set[str] = set()
        self.cursor_writes = 0
        self.blocks: set[tuple[str, str]] = set()  # (user, whom the user blocks)
        self.read_by: dict[Seq, list[str]] = defaultdict(list)  # of whichever conversation
        self.on: dict[str, set[str]] = defaultdict(set)
        self.seen_ms: dict[str, int] = defaultdict(int)
        self._untold: set[tuple[str, str]] = set()  # adapters keep such changes for the next call that names these users
        self.versions: dict[str, int] = defaultdict(int)
        self.removed: set[str] = set()  # conversations that do not exist any more
        self.judge_draft: Callable[[Draft], None] = lambda _: None

    def put(self, conversation_id: str, *bodies: str, sender: str = "bob") -> None:
        """Messages of another instance."""
        for body in bodies:
            one = draft(sender, f"key-{body}", body)
            self._insert(ConversationId(conversation_id), len(self.messages[conversation_id]) + 1, one, 5)

    def truncate(self, conversation_id: str, tail: Seq) -> None:
        """Messages after `tail` are gone, as in a restored store."""
        del self.messages[conversation_id][tail:]
        self.sends = {(c, key): send for (c, key), send in self.sends.items() if c != conversation_id or send.message.seq <= tail}

    def bodies(self, conversation_id: str) -> list[str]:
        """The stored messages, in order."""
        return [message.body for message in self.messages[conversation_id]]

    async def append(
        self,
        conversation_id: ConversationId,
        first_seq: Seq,
        drafts: Sequence[Draft],
        sent_at_ms: int,
        mark: StoredMark | None = None,
    ) -> None:
        await self._enter("append")
        for each in drafts:
            self.judge_draft(each)
        tail = len(self.messages[conversation_id])
        if first_seq > tail + 1 or (first_seq == 1 and conversation_id in self.removed):
            raise PredecessorMissing("missing")
        if first_seq != tail + 1 or any((conversation_id, d.key) in self.sends for d in drafts):
            raise StoreConflict("exists")
        for seq, each in enumerate(drafts, first_seq):
            self._insert(conversation_id, seq, each, sent_at_ms)
        if mark is not None:
            self.marks[mark.mark_id] = mark
        await self._leave("append")

    async def read_marks(self, owner: str, after: str, limit: int) -> MarkPage:
        await self._enter("read_marks")
        ids = sorted(each for each in (*self.marks, *self.damaged_marks) if each.startswith(owner) and each > after)[:limit]
        marks, damaged = (
            [self.marks[each] for each in ids if each in self.marks],
            [each for each in ids if each not in self.marks],
        )
        return MarkPage(marks, damaged, ids[-1] if len(ids) == limit else "")

    async def remove_marks(self, mark_ids: Sequence[str]) -> None:
        await self._enter("remove_marks")
        self.damaged_marks -= set(mark_ids)
        for mark_id in mark_ids:
            self.marks.pop(mark_id, None)

    def _insert(self, conversation_id: ConversationId, seq: Seq, each: Draft, sent_at_ms: int) -> None:
        message = Message(conversation_id, seq, each.sender, each.client_message_id, each.body, each.metadata_json, sent_at_ms)
        self.messages[conversation_id].append(message)
        self.sends[conversation_id, each.key] = StoredSend(message, each.digest)

    async def settle(self, conversation_id: ConversationId, keys: Sequence[str]) -> Settlement:
        await self._enter("settle")
        found = {key: self.sends[conversation_id, key] for key in keys if (conversation_id, key) in self.sends}
        return Settlement(len(self.messages[conversation_id]), found)

    async def heads(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        await self._enter("heads")
        return {conversation_id: len(self.messages[conversation_id]) for conversation_id in known}

    async def read_messages(
        self, conversation_id: ConversationId, *, after_seq: Seq | None = None, before_seq: Seq | None = None, limit: int
    ) -> list[Message]:
        await self._enter("read_messages")
        found = [m for m in self.messages[conversation_id] if m.seq > (after_seq or 0)]
        page = found[:limit] if after_seq is not None else found[-limit:]
        await self._leave("read_messages")
        return page

    async def messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: Seq | None = None
    ) -> list[Committed]:
        await self._enter("messages_since")
        found = [m for m in self.messages[conversation_id] if before_seq is None or m.seq < before_seq]
        found = [m for m in found if m.seq not in self.stored_at_ms or self.stored_at_ms[m.seq] >= since_ms]
        await self._leave("messages_since")
        return [Committed(message, message.sent_at_ms) for message in found[-limit:]]

    async def read_conversation(self, conversation_id: ConversationId) -> Conversation | None:
        await self._enter("read_conversation")
        found = self.conversations.get(conversation_id)
        await self._leave("read_conversation")
        return found

    async def blocks_of(self, user_id: UserId) -> list[UserId]:
        await self._enter("blocks_of")
        return [UserId(blocked) for user, blocked in sorted(self.blocks) if user == user_id]

    async def blockers_of(self, user_id: UserId, limit: int) -> list[UserId]:
        await self._enter("blockers_of")
        return [UserId(user) for user, blocked in sorted(self.blocks) if blocked == user_id][:limit]

    async def blockers_among(self, user_id: UserId, among: Sequence[UserId]) -> set[UserId]:
        await self._enter("blockers_among")
        return {other for other in among if (other, user_id) in self.blocks}

    async def update_conversation(
        self, conversation_id: ConversationId, *, title: str | None, metadata_json: str | None, keeps: Collection[str] = ()
    ) -> Conversation | None:
        await self._enter("update_conversation")
        if (there := self.conversations.get(conversation_id)) is not None:
            title = there.title if "title" in keeps else title
            metadata_json = there.metadata_json if "metadata" in keeps else metadata_json
            there = dataclasses.replace(there, title=title, metadata_json=metadata_json, revision=there.revision + 1)
            self.conversations[conversation_id] = there
        await self._leave("update_conversation")
        return there

    async def change_members(
        self, conversation_id: ConversationId, changes: Sequence[MemberChange], *, max_members: int, room: Room | None = None
    ) -> MembersChanged | None:
        await self._enter("change_members")
        stored = self.conversations.get(conversation_id)
        if stored is None:
            return None
        members, made = with_changes(stored.members, changes, max_members)
        revisions = {each.user_id: number for number, each in enumerate(made, stored.revision + 1)}
        stored = self.conversations[conversation_id] = dataclasses.replace(
            stored,
            members=tuple(members),
            members_version=stored.members_version + len(made),
            revision=stored.revision + len(made),
            joined={**stored.joined, **{each.user_id: each.joined_seq for each in made if each.is_member}},
        )
        await self._leave("change_members")
        return MembersChanged(stored, revisions)

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        await self._enter("memberships_of")
        return [
            Membership(c.conversation_id, c.members_version, c.revision, c.last_seq, 0, len(c.members), c.joined_seq(user_id))
            for c in self.conversations.values()
            if user_id in c.members
        ]

    async def advance_cursors(
        self, conversation_id: ConversationId, cursors: Mapping[UserId, Seq], read_by: Mapping[Seq, Sequence[UserId]]
    ) -> dict[UserId, Seq]:
        await self._enter("advance_cursors")
        self.cursor_writes += 1
        for seq, users in read_by.items():
            self.read_by[seq] += [str(user) for user in users if user not in self.read_by[seq]]
        there = {user_id: seq for user_id, seq in cursors.items() if seq <= self.ends.get(conversation_id, seq)}
        for user_id, seq in there.items():
            self.cursors[conversation_id, user_id] = max(seq, self.cursors.get((conversation_id, user_id), 0))
        await self._leave("advance_cursors")
        return {user_id: self.cursors[conversation_id, user_id] for user_id in there}

    async def read_cursors(self, conversation_id: ConversationId) -> dict[UserId, Seq]:
        await self._enter("read_cursors")
        return {UserId(user): seq for (c, user), seq in self.cursors.items() if c == conversation_id}

    async def cursors_of(self, user_id: UserId, conversation_ids: Sequence[ConversationId]) -> dict[ConversationId, Seq]:
        await self._enter("cursors_of")
        return {c: self.cursors[c, user_id] for c in conversation_ids if (c, user_id) in self.cursors}

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        await self._enter("add_presence")
        came = [user_id for user_id in seen_at_ms if not self.on[user_id]]
        for user_id in seen_at_ms:
            self.on[user_id].add(entry)
        self.seen_ms |= {user_id: max(seen_at_ms[user_id], self.seen_ms[user_id]) for user_id in came}
        await self._leave("add_presence")
        return [self._change(user_id, online=True) for user_id in came]

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        await self._enter("remove_presence")
        went = [user_id for user_id in seen_at_ms if self.on[user_id] == {entry} or (entry, user_id) in self._untold]
        for user_id in seen_at_ms:
            self.on[user_id].discard(entry)
        self.seen_ms |= {user_id: max(seen_ms, self.seen_ms[user_id]) for user_id, seen_ms in seen_at_ms.items()}
        self._untold.update((entry, user_id) for user_id in went)
        await self._leave("remove_presence")
        self._untold.difference_update((entry, user_id) for user_id in went)
        return [self._change(user_id, online=False) for user_id in went]

    def _change(self, user_id: UserId, *, online: bool) -> PresenceChange:
        self.versions[user_id] += 1
        return PresenceChange(user_id, online, self.versions[user_id], 5)

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        return {user: Presence(user, bool(self.on[user]), tuple(sorted(self.on[user])), 5) for user in user_ids}

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        await self._enter("users_on")
        return [UserId(user) for user, on in sorted(self.on.items()) if entry in on and user > (after or "")][:limit]

    async def write_bulletin(self, bulletin: Bulletin) -> BulletinVersion:
        await self._enter("write_bulletin")
        there = self.bulletins.get(bulletin.key)
        if bulletin.version != ("" if there is None else there.version):
            raise StoreConflict("of another version")
        self._put(dataclasses.replace(bulletin, written_at_ms=self.stamp_ms))
        await self._leave("write_bulletin")
        return BulletinVersion(self.bulletins[bulletin.key].version, self.stamp_ms)

    async def find_bulletin(self, run: RunId) -> StandingBulletin | None:
        await self._enter("find_bulletin")
        found = self.bulletins.get(run)
        return None if found is None else StandingBulletin(found.version, found.beat, found.is_dead, found.is_ended)

    async def declare_dead(self, bulletin: Bulletin) -> bool:
        await self._enter("declare_dead")
        there = self.bulletins.get(bulletin.key)
        if there is None or there.version != bulletin.version:
            return False
        self._put(dataclasses.replace(there, is_dead=True))
        return True

    def _put(self, bulletin: Bulletin) -> None:
        self._versions += 1
        self.bulletins[bulletin.key] = dataclasses.replace(bulletin, version=f"v{self._versions}")

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        await self._enter("read_bulletins")
        return [bulletin for bulletin in self.bulletins.values() if bulletin.mode != "ok" or not only_unwell]

    async def remove_bulletin(self, bulletin: Bulletin) -> None:
        if (found := self.bulletins.get(bulletin.key)) is not None and found.version == bulletin.version:
            del self.bulletins[bulletin.key]


class FakeMemory:
    """As much as the test says."""

    def __init__(self) -> None:
        self.resident_bytes = 0
        self.limit_bytes: int | None = None

    def read(self) -> MemoryUse:
        return MemoryUse(self.resident_bytes, self.limit_bytes)


class ManualClock(Clock):
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        return int(self.now * 1000)


class ShiftedClock(ManualClock):
    """A wall clock that is wrong."""

    def __init__(self, ahead_seconds: float) -> None:
        super().__init__()
        self.ahead_seconds = ahead_seconds

    def now_ms(self) -> int:
        return int((self.now + self.ahead_seconds) * 1000)


class FakeDelivery:
    """The part of `Delivery` that presence and receipts use."""

    def __init__(self) -> None:
        self.locals: dict[str, LocalConversation] = {}
        self.generation = "g"
