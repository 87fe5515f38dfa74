"""Which local connections are told of a user's presence, and when.

A change is told once to each connection that shares a conversation with the user, whichever channels it came on, if both users
have accepted that conversation (`acceptance`) and neither blocks the other. When a user accepts a conversation, no presence
changes; so the members that accepted it before are told then that this user is online, and this user that they are.

A notice that needs no read is sent at once. The rest waits in one bounded queue, in order, for the store's answer. One that
is out of date by then is not sent: the newer change waits behind it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from holdfast.domain.bounded import BoundedDict
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import StoreError
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.local import LocalConversation
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.tasks import Tasks
from holdfast.node.users.acceptance import Acceptances, accepted_members
from holdfast.node.users.hidden import Hidden, hidden_from
from holdfast.ports import BlockStore, Bus, ConversationStore, CursorStore, PresenceStore
from holdfast.protocol import envelopes, frames
from holdfast.protocol.jsontext import rfc3339

MAX_TOLD_CONVERSATIONS: Final = 100  # the most recently active ones; more would make a popular user's coming a storm
_MAX_VERSIONS: Final = 20_000
_MAX_WAITING: Final = 10_000
_BATCH: Final = 20
_READS_AT_ONCE: Final = 50
_USERS_AT_ONCE: Final = 1_000  # in one call: many calls of a few would keep commits waiting for their place
_RETRY_SECONDS: Final = 0.5


class FanOutStore(PresenceStore, BlockStore, ConversationStore, CursorStore, Protocol):
    """The users that a connection may see."""


@dataclass(frozen=True, slots=True)
class _Acceptance:
    """`user_id` has accepted the conversation just now."""

    conversation_id: ConversationId
    user_id: UserId


class PresenceFanOut:
    """Lives in the loop."""

    def __init__(self, store: FanOutStore, bus: Bus, conversations: Conversations, delivery: Delivery, tasks: Tasks) -> None:
        self.acceptances = Acceptances(store, bus, conversations, delivery)
        self._store = store
        self._conversations = conversations
        self._delivery = delivery
        self._tasks = tasks
        self._versions = BoundedDict[UserId, int](_MAX_VERSIONS)
        self._waiting: deque[envelopes.PresenceEnvelope | _Acceptance] = deque()
        self._is_working = False

    def receive(self, change: envelopes.PresenceEnvelope) -> None:
        """A user came or went, as this or another instance wrote it."""
        if not self._is_news(UserId(change.user), change.version):
            return
        if self._waiting or self._unknown(change):
            self._wait(change)
        else:
            self._tell(change)

    def accepted(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """A user has accepted a conversation for the first time, here or at another instance."""
        self.acceptances.add(conversation_id, user_id)
        local = self._delivery.locals.get(conversation_id)
        if local is not None and local.connections:
            self._wait(_Acceptance(conversation_id, user_id))

    def _is_news(self, user_id: UserId, version: int) -> bool:
        """Versions come from the store, so the latest is the truth whatever order they arrive in."""
        if version <= self._versions.get(user_id, 0):
            return False
        self._versions[user_id] = version
        return True

    def _wait(self, item: envelopes.PresenceEnvelope | _Acceptance) -> None:
        """Beyond 10,000 (the store is away, or very slow) notices are dropped: presence is best effort."""
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(item)
        if not self._is_working:
            self._is_working = True
            self._tasks.start(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = list(islice(self._waiting, _BATCH))
                try:
                    await self._read({c: None for item in batch for c in self._unknown(item)})
                    notices = await self._introduce(item for item in batch if isinstance(item, _Acceptance))
                except StoreError:
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                except Exception as error:  # noqa: BLE001 - later notices must not wait for ever behind one mistake
                    self._tasks.note_failure("presence", error)
                    notices = {}
                for item in batch:
                    self._waiting.popleft()
                    if isinstance(item, _Acceptance):
                        for connection, frame in notices.get(item, ()):
                            connection.deliver(frame)
                    elif item.version >= self._versions.get(UserId(item.user), 0):
                        self._tell(item)
        finally:
            self._is_working = False

    def _unknown(self, item: envelopes.PresenceEnvelope | _Acceptance) -> list[ConversationId]:
        """The conversations that the item may be told in, and of which the store has to say who accepted them."""
        if isinstance(item, _Acceptance):
            return [item.conversation_id] if self.acceptances.known(item.conversation_id) is None else []
        return [c for c in _told_in(item) if self._is_heard_here(c, item.user) and self.acceptances.known(c) is None]

    def _is_heard_here(self, conversation_id: ConversationId, user_id: str) -> bool:
        local = self._delivery.locals.get(conversation_id)
        return local is not None and any(connection.user_id != user_id for connection in local.connections)

    async def _read(self, conversation_ids: Iterable[ConversationId]) -> None:
        for some in chunks(list(conversation_ids), _READS_AT_ONCE):
            await asyncio.gather(*map(self.acceptances.of, some))

    def _tell(self, change: envelopes.PresenceEnvelope) -> None:
        """Each connection hears it once; the user's own, and those of users from whom it is hidden, do not."""
        user_id, listeners = UserId(change.user), dict[Connection, None]()
        hidden = {user_id, *map(UserId, change.hidden)}
        for conversation_id in _told_in(change):
            accepted = self.acceptances.so_far(conversation_id)
            if user_id in accepted:
                connections = self._delivery.locals[conversation_id].connections
                listeners |= {each: None for each in connections if each.user_id in accepted and each.user_id not in hidden}
        frame = _frame(user_id, online=change.online, last_seen_at=change.last_seen_at)
        for connection in listeners:
            connection.deliver(frame)

    async def _introduce(self, acceptances: Iterable[_Acceptance]) -> dict[_Acceptance, list[tuple[Connection, bytes]]]:
        """What local connections are told when users have accepted conversations: which of the users are online.

        All are read at once: users who come back read many conversations, and share them. Where a newer change was heard during
        the reading, that one was told.
        """
        cases = [case for case in await asyncio.gather(*map(self._case, acceptances)) if case is not None]
        asked = {user_id: self._versions.get(user_id) for case in cases for user_id in case.asked}
        newcomers = list(dict.fromkeys(case.acceptance.user_id for case in cases))
        hidden, found = await asyncio.gather(
            asyncio.gather(*(hidden_from(self._store, newcomer) for newcomer in newcomers)),
            asyncio.gather(*(self._store.read_presence(some) for some in chunks(list(asked), _USERS_AT_ONCE))),
        )
        online = {
            user_id: _frame(user_id, online=True, last_seen_at=_at(presence.last_seen_at_ms))
            for some in found
            for user_id, presence in some.items()
            if presence.online and asked[user_id] == self._versions.get(user_id)
        }
        hidden_of = dict(zip(newcomers, hidden, strict=True))
        return {case.acceptance: case.notices(online, hidden_of[case.acceptance.user_id]) for case in cases}

    async def _case(self, acceptance: _Acceptance) -> "_Case | None":
        c, newcomer = acceptance.conversation_id, acceptance.user_id
        conversation, accepted = await self._conversations.get(c), await self.acceptances.of(c)
        local = self._delivery.locals.get(c)
        if conversation is None or local is None or newcomer not in conversation.members:
            return None
        members = accepted_members(conversation, accepted)
        is_here = any(connection.user_id == newcomer for connection in local.connections)
        return _Case(acceptance, members, local, sorted(members) if is_here else [newcomer])


@dataclass(frozen=True, slots=True)
class _Case:
    """An acceptance, the members who have accepted the conversation, and the connections that are in it here.

    `asked`: whose presence is told: to the newcomer that of all, where the newcomer is here, and to all that of the newcomer.
    """

    acceptance: _Acceptance
    members: set[UserId]
    local: LocalConversation
    asked: list[UserId]

    def notices(self, frames_of: Mapping[UserId, bytes], hidden: Hidden) -> list[tuple[Connection, bytes]]:
        """What the connections are told.

        Args:
            frames_of: the notice of each user who is online.
            hidden: the users that do not see the newcomer, nor does the newcomer see them.
        """
        newcomer = self.acceptance.user_id
        online = {user_id: frames_of[user_id] for user_id in self.asked if user_id in frames_of and user_id not in hidden}
        notices = []
        for connection in self.local.connections:
            if connection.user_id == newcomer:
                notices += [(connection, frame) for user_id, frame in online.items() if user_id != newcomer]
            elif newcomer in online and connection.user_id in self.members and connection.user_id not in hidden:
                notices.append((connection, online[newcomer]))
        return notices


def _told_in(change: envelopes.PresenceEnvelope) -> list[ConversationId]:
    return [ConversationId(c) for c in change.conversations[:MAX_TOLD_CONVERSATIONS]]


def _frame(user_id: UserId, *, online: bool, last_seen_at: str | None) -> bytes:
    return frames.frame(frames.PresenceNotice(user_id=user_id, online=online, last_seen_at=last_seen_at))


def _at(milliseconds: int | None) -> str | None:
    return rfc3339(milliseconds) if milliseconds else None
