"""What the store holds when a drill is over, into its history."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from holdfast.bootstrap import message_store
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import MAX_RECORD_MEMBERS, notification_id
from holdfast.drills.crowd import Crowd
from holdfast.drills.history import History, digest
from holdfast.errors import StoreError
from holdfast.launcher.waiting import TargetFailed
from holdfast.ports import Store, Unwatched
from holdfast.settings import StoreSettings

_PAGE: Final = 500
_CALL_SECONDS: Final = 20.0
_STORE_SECONDS: Final = 150.0  # the emulator looks through all it ever held
_AT_ONCE: Final = 16
_RETRY_SECONDS: Final = 0.2

T = TypeVar("T")


def store_at(url: str) -> Store:
    """The store as instances see it, read at the end of a run: it may take its time.

    Raises:
        ConfigurationError: the URL names no store.
    """
    return message_store(StoreSettings(url=url, timeout_seconds=_CALL_SECONDS), Unwatched())


async def read_store(store: Store, crowd: Crowd, history: History) -> None:
    """All documents of the simulated users there; the store is closed afterwards.

    Raises:
        TargetFailed: it does not answer.
    """
    history.record("reading")
    try:
        async with asyncio.timeout(_STORE_SECONDS):
            await until_answered(store.open)
            unread = iter(tuple(crowd.conversations))
            await asyncio.gather(*(_read_conversations(store, unread, crowd, history) for _ in range(_AT_ONCE)))
            users = [UserId(user) for user in crowd.users]
            for some in chunks(users, 100):
                for user, presence in (await until_answered(partial(store.read_presence, some))).items():
                    history.record("stored_presence", user=user, online=presence.online)
    except TimeoutError:
        raise TargetFailed("the store cannot be read") from None
    finally:
        await store.close()


async def _read_conversations(store: Store, unread: Iterator[str], crowd: Crowd, history: History) -> None:
    for conversation in unread:
        await _read_conversation(store, conversation, crowd, history)


async def _read_conversation(store: Store, conversation: str, crowd: Crowd, history: History) -> None:
    conversation_id, after = ConversationId(conversation), 0
    size = len(crowd.conversations[conversation])
    members = [UserId(member) for member in crowd.past[conversation]]
    if size > MAX_RECORD_MEMBERS:
        await _read_large(store, conversation, members, size, history)
        members = []
    while page := await until_answered(partial(store.read_messages, conversation_id, after_seq=after, limit=_PAGE)):
        after = page[-1].seq
        for message in page:
            history.record(
                "stored",
                conversation=conversation,
                seq=message.seq,
                sender=message.sender,
                key=message.client_message_id,
                digest=digest(message.body),
            )
        wanted = {
            notification_id(conversation_id, member, message.seq, size): (message.seq, member)
            for message in page
            for member in members
        }
        for some in chunks(list(wanted), 300):
            for record in await until_answered(partial(store.recorded, some)):
                seq, member = wanted[record]
                history.record("stored_notification", conversation=conversation, seq=seq, user=member)
    for user, seq in (await until_answered(partial(store.read_cursors, conversation_id))).items():
        history.record("stored_cursor", user=user, conversation=conversation, seq=seq)


async def _read_large(store: Store, conversation: str, members: list[UserId], size: int, history: History) -> None:
    """In a large conversation a user has one notification at most, whatever message caused it."""
    wanted = {notification_id(ConversationId(conversation), member, 0, size): member for member in members}
    for record in await until_answered(partial(store.recorded, list(wanted))):
        history.record("stored_notification", conversation=conversation, seq=0, user=wanted[record])


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Until the store answers; its caller has a deadline."""
    while True:
        try:
            return await ask()
        except StoreError:
            await asyncio.sleep(_RETRY_SECONDS)
