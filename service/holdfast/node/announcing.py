"""Changes of conversations, told here and elsewhere: each is marked before it is made, and told once it is in the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from holdfast.domain.changes import change_mark
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError, StoreUnavailable
from holdfast.node.bulletins import Bulletins
from holdfast.node.conversations import Conversations
from holdfast.node.membership import Membership
from holdfast.node.rosters import Rosters
from holdfast.node.split import Split
from holdfast.node.tasks import Tasks, until_store_answers
from holdfast.ports import ClusterBus, MessageStore
from holdfast.protocol.frames import ConversationEvent

_MARK_SECONDS: Final = 0.5  # without a mark the lists of all users are read from the store again
_LOOKS_SECONDS: Final = (0.2, 2.0, 8.0)  # after a change whose answer was lost


class Announcer:
    """Lives in the loop."""

    def __init__(
        self,
        store: MessageStore,
        conversations: Conversations,
        membership: Membership,
        bulletins: Bulletins,
        split: Split,
        rosters: Rosters,
        bus: ClusterBus,
        tasks: Tasks,
        dirty_prefix: Callable[[], str],
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._membership = membership
        self._bulletins = bulletins
        self._split = split
        self._rosters = rosters
        self._bus = bus
        self._tasks = tasks
        self._dirty_prefix = dirty_prefix
        self._changes = 0

    def _announce(
        self,
        conversation: Conversation,
        event: ConversationEvent,
        by: UserId,
        affected: tuple[UserId, ...],
        marks: Sequence[str] = (),
    ) -> None:
        """Here at once, elsewhere by the bus, and by our bulletin where the bus does not reach."""
        self._conversations.keep(conversation)
        if affected:
            self._bulletins.note_members(conversation.conversation_id, conversation.members_version, affected)
        self._membership.take(self._membership.publish(conversation, event, by, affected, marks))

    def _forget(self, marks: Sequence[str]) -> None:
        self._bus.clear_dirty(*marks)

    @asynccontextmanager
    async def told(
        self, conversation_id: ConversationId, revision: int, event: ConversationEvent, by: UserId, affected: tuple[UserId, ...]
    ) -> AsyncIterator[Callable[[Conversation | None], None]]:
        """A change, marked until it is told: inside, call what this gives with what was changed, None where nothing was.

        A change whose answer is lost may be in the store all the same: who repeats it finds it done, and tells nobody. Its
        marks stay, for whoever sweeps.
        """
        self._changes += 1
        number, owner = self._changes, self._dirty_prefix()
        marks = [change_mark(user_id, owner, number, conversation_id, revision) for user_id in affected or (by,)]

        def told(changed: Conversation | None) -> None:
            if changed is not None:
                self._announce(changed, event, by, affected, marks)
            else:
                self._forget(marks)

        with ExitStack() as doubts:
            is_marked = await self._bus.mark_dirty(*marks, within_seconds=_MARK_SECONDS)
            if self._split.is_suspected or not is_marked:  # a mark that not all can see is none
                doubts.enter_context(self._rosters.unmarked())
                await self._bulletins.write_first(conversation_id, affected or (by,))
            try:
                yield told
            except CommandError:
                self._forget(marks)
                raise
            except StoreUnavailable:
                self._tasks.start(self._find_out(conversation_id, revision, event, by, affected, marks, doubts.pop_all()))
                raise

    async def _find_out(
        self,
        conversation_id: ConversationId,
        revision: int,
        event: ConversationEvent,
        by: UserId,
        affected: tuple[UserId, ...],
        marks: Sequence[str],
        doubts: ExitStack,
    ) -> None:
        """Tell of it if it is in; a slow write may land a little later than the store answers again."""

        async def look() -> None:
            nonlocal revision
            found = await self._store.read_conversation(conversation_id)
            if found is not None and found.revision > revision:
                revision = found.revision
                self._announce(found, event, by, affected)

        with doubts:
            for pause in _LOOKS_SECONDS:
                await asyncio.sleep(pause)
                await until_store_answers(look)
        self._forget(marks)
