"""Changes of members: one lane per conversation; changes that arrive while one is under way form the next batch.

Sixty additions at once are a handful of writes, and an instance does not contend with itself. Each caller is answered once, and
within its deadline. A change that was given to the store by then goes on, and is announced when it is stored. Others are left
out.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from holdfast.domain.conversations import Conversation, MemberChange, MembersChanged, Room
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError, HoldfastError, StoreConflict, StoreTimeout
from holdfast.node.notifications.decision import Notifications
from holdfast.node.requests.marked_changes import MarkedChanges, News
from holdfast.node.tasks import Tasks
from holdfast.ports import ConversationStore, MessageStore

MAX_BATCH: Final = 100
MAX_WAITING: Final = 2_000
DEADLINE_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)

Answer = tuple[Conversation, bool]


class ChangedStore(ConversationStore, MessageStore, Protocol):
    """Members change at a position of the messages."""


@dataclass(slots=True, eq=False)
class _Wish:
    """One caller's change. It is answered once; a caller whose deadline has passed is answered already."""

    user_id: UserId
    is_member: bool
    by: UserId
    room: Room | None
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, result: Answer | HoldfastError) -> None:
        if self.answer.done():
            return
        if isinstance(result, HoldfastError):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


_Batch = dict[UserId, list[_Wish]]


class MemberChanges:
    """Lives in the loop."""

    def __init__(
        self,
        store: ChangedStore,
        marked: MarkedChanges,
        notifications: Notifications,
        tasks: Tasks,
        *,
        max_members: int,
    ) -> None:
        self._store = store
        self._marked = marked
        self._notifications = notifications
        self._tasks = tasks
        self._max_members = max_members
        self._lanes: dict[ConversationId, deque[_Wish]] = {}
        self._waiting = 0

    async def make(
        self, conversation_id: ConversationId, user_id: UserId, *, is_member: bool, by: UserId, room: Room | None = None
    ) -> Answer:
        """Add or remove a user; (the conversation after, whether this changed it).

        `room`: see `ConversationStore.change_members`.

        Raises:
            CommandError: `overloaded`, `conversation_not_found`, or `limit_reached`.
            StoreError: the store did not answer within the deadline; the change may be made yet.
        """
        if self._waiting >= MAX_WAITING:
            raise CommandError("overloaded", "too many changes of members are waiting", retry_after_ms=1000)
        wish = _Wish(user_id, is_member, by, room)
        lane = self._lanes.get(conversation_id)
        if lane is None:
            lane = self._lanes[conversation_id] = deque()
            self._tasks.start(self._run(conversation_id, lane))
        lane.append(wish)
        self._waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await wish.answer
        except TimeoutError:
            raise StoreTimeout("the members were not changed in time") from None

    async def _run(self, conversation_id: ConversationId, lane: deque[_Wish]) -> None:
        batch: _Batch = {}
        try:
            while lane:
                batch = self._take(lane)
                await self._make(conversation_id, batch)
        except Exception:  # noqa: BLE001 - a lane must not die with changes in it: whatever it is, they are answered
            _log.exception("a change of members failed")
            for wish in (*_all(batch), *lane):
                wish.settle(CommandError("internal_error", "this change failed"))
        finally:
            self._waiting -= len(lane)
            del self._lanes[conversation_id]

    def _take(self, lane: deque[_Wish]) -> _Batch:
        """The next batch. It changes each user once: a user who is added and removed again is in two. It has one `room`."""
        batch: _Batch = {}
        room = lane[0].room
        while lane and len(batch) < MAX_BATCH and lane[0].room == room:
            same = batch.get(lane[0].user_id)
            if same is not None and same[0].is_member != lane[0].is_member:
                break
            wish = lane.popleft()
            self._waiting -= 1
            if not wish.answer.done():
                batch.setdefault(wish.user_id, []).append(wish)
        return batch

    async def _make(self, conversation_id: ConversationId, batch: _Batch) -> None:
        """Answer every wish of the batch. Where one is refused, each half is made by itself: one culprit costs few writes."""
        pause = 0.05
        while batch := _open(batch):
            try:
                answers = await self._commit(conversation_id, batch)
            except StoreConflict:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
                continue
            except CommandError as refusal:
                if len(batch) > 1:
                    changes = list(batch.items())
                    for half in (changes[: len(changes) // 2], changes[len(changes) // 2 :]):
                        await self._make(conversation_id, dict(half))
                    return
                answers = dict.fromkeys(batch, refusal)
            except HoldfastError as error:
                answers = dict.fromkeys(batch, error)
            for user_id, wishes in batch.items():
                _settle(wishes, answers[user_id])
            return

    async def _commit(self, conversation_id: ConversationId, batch: _Batch) -> Mapping[UserId, Answer | HoldfastError]:
        conversation = await self._store.read_conversation(conversation_id)
        if conversation is None:
            raise CommandError("conversation_not_found", "no such conversation")
        wanted = [wishes[0] for wishes in batch.values() if (wishes[0].user_id in conversation.members) != wishes[0].is_member]
        done: MembersChanged | None = MembersChanged(conversation, {})
        if wanted:
            changes, room = await self._placed(conversation, wanted), wanted[0].room
            news = {wish.user_id: _news(wish) for wish in wanted}
            async with self._marked.told(conversation_id, conversation.revision, *news.values()) as tell:
                # A change whose caller was answered meanwhile might undo what the caller did since, elsewhere.
                still = _open(batch)
                changes = [each for each in changes if each.user_id in still]
                if not changes:
                    raise StoreConflict("all callers were answered meanwhile")
                done = await self._store.change_members(conversation_id, changes, max_members=self._max_members, room=room)
                revisions = {} if done is None else {news[user_id]: number for user_id, number in done.revisions.items()}
                tell(None if done is None else done.conversation, revisions)
        if done is None:
            raise CommandError("conversation_not_found", "no such conversation")
        for user_id in [user_id for user_id in done.revisions if user_id in done.conversation.members]:
            self._notifications.note_added(conversation_id, user_id, done.conversation.joined_seq(user_id))
        return {user_id: (done.conversation, user_id in done.revisions) for user_id in batch}

    async def _placed(self, conversation: Conversation, wanted: Iterable[_Wish]) -> list[MemberChange]:
        """Memberships begin at the tail as it is now, before the change: later messages are delivered, earlier ones are read."""
        c, added = conversation.conversation_id, [wish.user_id for wish in wanted if wish.is_member]
        joined_seq = (await self._store.heads({c: conversation.last_seq}))[c] if added else 0
        return [MemberChange(wish.user_id, wish.is_member, joined_seq if wish.is_member else 0) for wish in wanted]


def _open(batch: _Batch) -> _Batch:
    """Without those whose callers have their answers: they were told that the change failed."""
    return {user_id: wishes for user_id, wishes in batch.items() if not all(wish.answer.done() for wish in wishes)}


def _all(batch: _Batch) -> Iterable[_Wish]:
    return (wish for wishes in batch.values() for wish in wishes)


def _news(wish: _Wish) -> News:
    return News("member_added" if wish.is_member else "member_removed", wish.by, (wish.user_id,))


def _settle(wishes: list[_Wish], answer: Answer | HoldfastError) -> None:
    """Of the same change asked for twice, the first one made it."""
    for position, wish in enumerate(wishes):
        wish.settle(answer if isinstance(answer, HoldfastError) else (answer[0], answer[1] and position == 0))
