"""Changes of conversations, told here and elsewhere: each is marked before it is made, and told once it is in the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError, StoreConflict, StoreDenied, StoreRejected, StoreUnavailable
from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.membership import Membership
from holdfast.node.sending.own_marks import Marking, OwnMarks
from holdfast.node.tasks import Tasks
from holdfast.ports import ConversationStore
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
        own_marks: OwnMarks,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._membership = membership
        self._bulletins = cluster.bulletins
        self._redis_trust = cluster.redis_trust
        self._own_marks = own_marks
        self._tasks = tasks

    @asynccontextmanager
    async def told(self, conversation_id: ConversationId, revision: int, *news: News) -> AsyncIterator[Tell]:
        """Changes of a conversation at `revision`, marked until they are told: inside, call what this gives with what was made.

        A change whose answer is lost may be in the store all the same: a caller that repeats it finds it done, and nothing is
        told. So the store is asked, and what it shows is told. Until then the marks stay, for the sweep of another instance.
        """
        concerned = tuple(chain.from_iterable(each.concerned for each in news))
        marking = await self._own_marks.set_for_change(conversation_id, revision, concerned, _MARK_SECONDS)

        def tell(conversation: Conversation | None, made: Mapping[News, int]) -> None:
            if conversation is not None:
                for each, its_revision in made.items():
                    self._announce(conversation, each, its_revision)
            self._own_marks.end(marking)

        with ExitStack() as unmarked:
            if not marking.is_found:
                unmarked.enter_context(self._redis_trust.losses.unmarked())
                await self._bulletins.write_first(conversation_id, concerned)
            try:
                yield tell
            except StoreUnavailable:
                self._tasks.start(self._find_out(conversation_id, revision, marking, list(news), unmarked.pop_all()))
                raise
            except (CommandError, StoreConflict, StoreRejected, StoreDenied):
                tell(None, {})
                raise
            except BaseException:
                self._own_marks.leave(marking)
                raise

    def _announce(self, conversation: Conversation, news: News, revision: int) -> None:
        """Here at once, and to the other instances."""
        self._conversations.keep(conversation)
        self._membership.take(self._membership.publish(conversation, news.event, news.by, news.affected, revision=revision))

    async def _find_out(
        self, conversation_id: ConversationId, revision: int, marking: Marking, open_news: list[News], unmarked: ExitStack
    ) -> None:
        """Tell once what is in; a slow write may land a little later than the store answers again, or long after that."""

        async def look() -> None:
            found = await self._store.read_conversation(conversation_id)
            if found is not None and found.revision > revision:
                for each in [each for each in open_news if each.is_shown_by(found)]:
                    open_news.remove(each)
                    self._announce(found, each, found.revision)

        self._own_marks.leave(marking)
        with unmarked:
            for pause in _LOOKS_SECONDS:
                await asyncio.sleep(pause)
                await self._tasks.until_store_answers(look)
                if not open_news:
                    self._own_marks.end(marking)
                    return
