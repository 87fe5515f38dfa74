"""Changes of conversations, told here and elsewhere: each is marked before it is made, and told once it is in the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final

from holdfast.domain.changes import change_mark
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError, StoreConflict, StoreDenied, StoreRejected, StoreUnavailable
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.membership import Membership
from holdfast.node.foundation import Process
from holdfast.node.tasks import until_store_answers
from holdfast.ports import ConversationStore, Marks
from holdfast.protocol.frames import ConversationEvent

_MARK_SECONDS: Final = 0.5  # without a mark the lists of all users are read from the store again
_LOOKS_SECONDS: Final = (0.2, 2.0, 8.0)  # after a change whose answer was lost


@dataclass(frozen=True, slots=True)
class News:
    """The event to announce when a change is made. `affected`: whose lists of conversations it changes."""

    event: ConversationEvent
    by: UserId
    affected: tuple[UserId, ...] = ()

    @property
    def concerned(self) -> tuple[UserId, ...]:
        """Whose lists may be wrong by it."""
        return self.affected or (self.by,)

    def is_shown_by(self, conversation: Conversation) -> bool:
        """Whether the change is in, given that something has changed. Others change the same conversation."""
        if self.event == "created":
            return self.by == conversation.created_by
        if self.event == "updated":
            return True
        return all((user_id in conversation.members) == (self.event == "member_added") for user_id in self.affected)


Tell = Callable[[Conversation | None, Mapping[News, int]], None]
"""Given the conversation after the changes, and the revision that each of them made; a call without a revision changed
nothing."""


class MarkedChanges:
    """Lives in the loop."""

    def __init__(
        self,
        store: ConversationStore,
        conversations: Conversations,
        membership: Membership,
        cluster: ClusterParts,
        marks: Marks,
        process: Process,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._membership = membership
        self._bulletins = cluster.bulletins
        self._redis_trust = cluster.redis_trust
        self._marks = marks
        self._tasks = process.tasks
        self._identity = process.identity
        self._changes = 0

    @asynccontextmanager
    async def told(self, conversation_id: ConversationId, revision: int, *news: News) -> AsyncIterator[Tell]:
        """Changes of a conversation at `revision`, marked until they are told: inside, call what this gives with what was made.

        A change whose answer is lost may be in the store all the same: a caller that repeats it finds it done, and nothing is
        told. So the store is asked, and what it shows is told. Until then the marks stay, for the sweep of another instance.
        """
        self._changes += 1
        number, owner = self._changes, self._identity.mark_owner
        marks = {
            each: [change_mark(user_id, owner, number, conversation_id, revision) for user_id in each.concerned] for each in news
        }

        def tell(conversation: Conversation | None, made: Mapping[News, int]) -> None:
            for each in news:
                if conversation is not None and each in made:
                    self._announce(conversation, each, made[each], marks[each])
                else:
                    self._forget(marks[each])

        with ExitStack() as unmarked:
            is_marked = await self._marks.mark_dirty(*chain.from_iterable(marks.values()), within_seconds=_MARK_SECONDS)
            if not (self._redis_trust.is_seen_by_all and is_marked):  # a mark that some peers cannot see gives no protection
                unmarked.enter_context(self._redis_trust.losses.unmarked())
                await self._bulletins.write_first(conversation_id, tuple(chain.from_iterable(each.concerned for each in news)))
            try:
                yield tell
            except StoreUnavailable:
                self._tasks.start(self._find_out(conversation_id, revision, marks, unmarked.pop_all()))
                raise
            except (CommandError, StoreConflict, StoreRejected, StoreDenied):
                tell(None, {})
                raise

    def _announce(self, conversation: Conversation, news: News, revision: int, marks: Sequence[str] = ()) -> None:
        """Here at once, and to the other instances."""
        self._conversations.keep(conversation)
        envelope = self._membership.publish(conversation, news.event, news.by, news.affected, marks, revision=revision)
        self._membership.take(envelope)

    def _forget(self, marks: Sequence[str]) -> None:
        self._marks.clear_dirty(*marks)

    async def _find_out(
        self, conversation_id: ConversationId, revision: int, marks: Mapping[News, Sequence[str]], unmarked: ExitStack
    ) -> None:
        """Tell once what is in; a slow write may land a little later than the store answers again."""
        open_news = list(marks)

        async def look() -> None:
            found = await self._store.read_conversation(conversation_id)
            if found is not None and found.revision > revision:
                for each in [each for each in open_news if each.is_shown_by(found)]:
                    open_news.remove(each)
                    self._announce(found, each, found.revision)

        with unmarked:
            for pause in _LOOKS_SECONDS:
                await asyncio.sleep(pause)
                await until_store_answers(look)
                if not open_news:
                    break
        self._forget([*chain.from_iterable(marks.values())])
