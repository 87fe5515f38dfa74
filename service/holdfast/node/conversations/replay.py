"""What a client missed of a conversation, encoded: from Redis what it still has, the rest from the store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count, takewhile
from typing import Final, TypeVar

from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import StoreError
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.encoded import Encoded
from holdfast.node.conversations.delivery import Delivery
from holdfast.ports import MessageStore
from holdfast.protocol import frames
from holdfast.telemetry import Telemetry

_PAGE: Final = 100
_PIECE_BYTES: Final = 64 * 1024
_RETRY_SECONDS: Final = 0.5

T = TypeVar("T")


class Replay:
    """Lives in the loop; keeps nothing."""

    def __init__(self, store: MessageStore, delivery: Delivery, telemetry: Telemetry) -> None:
        self._store = store
        self._delivery = delivery
        self._telemetry = telemetry

    async def pages(
        self, connection: Connection, conversation_id: ConversationId, after: Seq, upto: Seq
    ) -> AsyncIterator[list[Encoded]]:
        """The messages (after, upto], encoded, in order, a page at a time.

        Waits for the store as long as it takes. Ends early when the connection does, and where the store has no more.
        """
        # From Redis what it has: after a drain or a restart all clients miss the same few messages. It keeps no long ones.
        kept = await self._delivery.gaps.kept(conversation_id, after, upto)
        if kept:
            self._telemetry.replays.labels("recent").inc()
        if len(kept) < upto - after:
            self._telemetry.replays.labels("store").inc()
        while after < upto and not connection.is_ended:
            if (piece := self._piece(kept, after)) or (piece := await self._page(connection, conversation_id, kept, after, upto)):
                yield piece
                after = piece[-1].seq
            else:
                return

    def _piece(self, kept: Mapping[Seq, tuple[bytes, int]], after: Seq) -> list[Encoded]:
        """The messages that Redis keeps from `after` on, up to the first that it lacks."""
        seqs = list(takewhile(kept.__contains__, count(after + 1)))
        acceptances = self._delivery.timing.moments(kept[seq][1] for seq in seqs)
        return [Encoded(seq, kept[seq][0], "replay", at) for seq, at in zip(seqs, acceptances, strict=True)]

    async def _page(
        self, connection: Connection, conversation_id: ConversationId, kept: Iterable[Seq], after: Seq, upto: Seq
    ) -> list[Encoded]:
        """The next page from the store, as far as Redis does not have it; empty where the connection or the messages end."""
        last = min((seq - 1 for seq in kept if seq > after), default=upto)
        limit = min(_PAGE, last - after)
        page = await insist(connection, partial(self._store.read_messages, conversation_id, after_seq=after, limit=limit))
        return self._delivery.timing.stored(page, "replay") if page else []

    async def reach(self, connection: Connection, conversation_id: ConversationId, cursor: Seq) -> bool:
        """Bring the stream of a local conversation towards a cursor that is ahead of it, by one try.

        Waits for the store as long as it takes. False where the store has no message with that seq, or the connection has ended.
        """
        ask = partial(self._store.heads, {conversation_id: cursor})
        tail = (await insist(connection, ask) or {}).get(conversation_id, 0)
        if tail < cursor:
            return False
        await self._delivery.settled([conversation_id])
        await self._delivery.gaps.catch_up(conversation_id, tail)
        return True


async def insist(connection: Connection, ask: Callable[[], Awaitable[T]]) -> T | None:
    """Ask the store until it answers or the connection is gone: the connection's socket stays open meanwhile."""
    while not connection.is_ended:
        try:
            return await ask()
        except StoreError:
            await asyncio.sleep(_RETRY_SECONDS)
    return None


def pieces(items: Iterable[Encoded]) -> Iterator[bytes]:
    """Messages as WebSocket frames, joined to pieces that fit the socket's buffer."""
    piece: list[bytes] = []
    size = 0
    for item in items:
        piece.append(data := frames.text_frame(item.text))
        size += len(data)
        if size > _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)
