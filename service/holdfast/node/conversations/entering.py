"""How a live connection enters a conversation that its user became a member of.

Delivery starts where the membership starts (`Conversation.joined_seq`), and not at the head at the time when this instance
handles the change. So later commits are fetched first. Then, in one step, the connection is told of the conversation, gets the
fetched messages, and joins. Until then the connection has received nothing of the conversation, and a removal ends the attempt
silently. A connection whose `hello` is being answered does not enter: `connecting` does the same for all its conversations.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import CommandError
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.encoded import Encoded
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.replay import Replay, pieces
from holdfast.node.conversations.views import beginning
from holdfast.node.tasks import Tasks
from holdfast.protocol import frames
from holdfast.protocol.codes import CloseCode
from holdfast.settings import LimitSettings

_MAX_BYTES: Final = 128 * 1024  # a quarter of the socket's write limit, because all of it is written at once


@dataclass(slots=True, eq=False)
class Entrance:
    """One connection on its way into one conversation.

    Attributes:
        conversation: as it was read when this began.
        event: what the connection is told: `created` or `member_added`; `by`: by which user.
        last_read_seq: the user's read cursor.
        start: delivery starts after it. `position`: how far what follows is fetched.
    """

    connection: Connection
    conversation: Conversation
    event: frames.ConversationEvent
    by: UserId
    last_read_seq: Seq
    start: Seq = 0
    position: Seq = 0
    items: list[Encoded] = field(default_factory=list)
    size_bytes: int = 0


class Entering:
    """Lives in the loop: one task for each entrance under way, which ends with its connection at the latest."""

    def __init__(
        self,
        local: LocalSide,
        replay: Replay,
        tasks: Tasks,
        limits: LimitSettings,
        on_membership: Callable[[UserId, Conversation, bool], None],
    ) -> None:
        self._hub = local.hub
        self._conversations = local.conversations
        self._delivery = local.delivery
        self._replay = replay
        self._tasks = tasks
        self._limits = limits
        self._on_membership = on_membership
        self._under_way: dict[ConversationId, dict[Connection, Entrance]] = {}

    def note_left(self, user_id: UserId, conversation: Conversation) -> None:
        """The user is no member any more, and a connection of the user was let go."""
        self._on_membership(user_id, conversation, False)

    def begin(self, entrance: Entrance) -> None:
        """Let the connection in; the rest happens in the background."""
        entrance.start = entrance.position = entrance.conversation.joined_seq(entrance.connection.user_id)
        self._under_way.setdefault(entrance.conversation.conversation_id, {})[entrance.connection] = entrance
        if not self._try_to_join(entrance):
            self._tasks.start(self._enter(entrance))

    def is_under_way(self, connection: Connection, conversation_id: ConversationId) -> bool:
        """Whether the connection is on its way in."""
        return connection in self._under_way.get(conversation_id, ())

    def turn_away(self, conversation_id: ConversationId, members: Collection[UserId]) -> None:
        """Only these are members now: other users' connections, on their way in, do not get there."""
        for connection in [c for c in self._under_way.get(conversation_id, ()) if c.user_id not in members]:
            self._forget(connection, conversation_id)

    async def _enter(self, entrance: Entrance) -> None:
        connection, conversation_id = entrance.connection, entrance.conversation.conversation_id
        try:
            while self._is_wanted(entrance) and not self._try_to_join(entrance):
                local = self._delivery.locals.get(conversation_id)
                if local is None or local.starting is not None:
                    await self._delivery.activate({conversation_id: max(entrance.start, entrance.conversation.last_seq)})
                elif (cursor := connection.unlisted_cursors.get(conversation_id, 0)) > local.shown:
                    if not await self._replay.reach(connection, conversation_id, cursor):
                        connection.unlisted_cursors.pop(conversation_id, None)  # an entrance of before may have waited, too
                else:
                    await self._fetch(entrance, local.shown)
        except CommandError:  # this instance follows as many conversations as it can: another one may have room
            connection.transport.close(CloseCode.TRY_AGAIN_LATER, "overloaded")
        except Exception as error:  # noqa: BLE001 - its client would never learn of the conversation: it connects anew
            self._tasks.note_failure("connecting", error)
            connection.transport.close(CloseCode.INTERNAL_ERROR, "internal_error")
        finally:
            if self._is_known(entrance):  # its connection may have ended
                self._forget(connection, conversation_id)

    def _is_wanted(self, entrance: Entrance) -> bool:
        return self._is_known(entrance) and not entrance.connection.is_ended

    def _is_known(self, entrance: Entrance) -> bool:
        return self._under_way.get(entrance.conversation.conversation_id, {}).get(entrance.connection) is entrance

    def _forget(self, connection: Connection, conversation_id: ConversationId) -> None:
        under_way = self._under_way[conversation_id]
        del under_way[connection]
        if not under_way:
            del self._under_way[conversation_id]

    async def _fetch(self, entrance: Entrance, upto: Seq) -> None:
        """The messages that follow, as far as there is room; messages that the store does not have are not waited for (it was
        restored)."""
        upto = min(upto, entrance.start + self._limits.replay_messages)
        conversation_id = entrance.conversation.conversation_id
        async for items in self._replay.pages(entrance.connection, conversation_id, entrance.position, upto):
            entrance.items += items
            entrance.position += len(items)
            entrance.size_bytes += sum(len(item.text) for item in items)
            if entrance.size_bytes > _MAX_BYTES:
                return
        entrance.position = max(entrance.position, upto)

    def _try_to_join(self, entrance: Entrance) -> bool:
        """Join if all that was shown to others is fetched, or as much of it as there is room for; nothing is awaited here."""
        local = self._delivery.locals.get(entrance.conversation.conversation_id)
        if local is None or local.starting is not None:
            return False
        seen = entrance.connection.unlisted_cursors.get(local.conversation_id, 0)
        if seen > local.shown:
            return False  # another instance has shown the device more than this one has: joined now, it would get that again
        if entrance.position == entrance.start < seen:
            entrance.start = entrance.position = seen  # the device told in `hello` what it has seen elsewhere
        is_full = entrance.position - entrance.start >= self._limits.replay_messages or entrance.size_bytes > _MAX_BYTES
        if entrance.position < local.shown and not is_full:
            return False
        self._join(entrance, local)
        return True

    def _join(self, entrance: Entrance, local: LocalConversation) -> None:
        connection, conversation_id = entrance.connection, local.conversation_id
        self._forget(connection, conversation_id)
        conversation = self._conversations.latest(entrance.conversation) or entrance.conversation
        if connection.is_ended or connection.user_id not in conversation.members:
            return
        # The local stream may be behind the start: what it shows next is then where delivery starts, a little earlier.
        start = min(entrance.start, local.shown)
        notice = beginning(
            conversation,
            connection.user_id,
            entrance.event,
            entrance.by,
            start=start,
            last_read_seq=entrance.last_read_seq,
            indicator_members=self._limits.indicator_members,
        )
        self._hub.flush()
        connection.deliver(frames.frame(notice))
        for piece in pieces(entrance.items):
            connection.deliver(piece)
        self._delivery.timing.replayed(connection, entrance.items)
        if entrance.position < local.shown:
            first = entrance.position + 1
            truncated = frames.Truncated(conversation_id=conversation_id, from_seq=first, to_seq=local.shown)
            connection.deliver(frames.frame(truncated))
        self._hub.join(local, connection)
        connection.entered[conversation_id] = conversation.revision
        self._on_membership(connection.user_id, conversation, True)
