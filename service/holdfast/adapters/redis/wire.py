"""One dedicated connection, written and read in bulk.

redis-py makes the connection (TLS, password, database, Sentinel); after its handshake we write packed commands and parse
whole reads ourselves, because its own reader costs 5 to 8 µs and several awaits per message.
"""

import contextlib
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from holdfast.adapters.redis.scripts import Argument
from holdfast.errors import RedisUnavailable

_READ_BYTES: Final = 65_536
_MAX_UNPARSED_BYTES: Final = 16 * 1024 * 1024  # a reply that does not end is an attack or a broken stream
_NOTHING: Final = object()


def pack(command: tuple[Argument, ...]) -> bytes:
    """One command in Redis's protocol."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub names a tuple of one element
    return packed


def is_error(reply: object) -> bool:
    """Whether Redis refused this command."""
    return isinstance(reply, hiredis.ReplyError)


class Wire:
    """A connection after its handshake. One task reads; writes never wait. Closed by its opener."""

    def __init__(self, connection: AbstractConnection) -> None:
        """Takes a connected connection over.

        Raises:
            RedisUnavailable: it is not connected (any more).
        """
        incoming, outgoing = connection._reader, connection._writer  # noqa: SLF001 - redis-py has no public way to its streams
        if incoming is None or outgoing is None:
            raise RedisUnavailable("the connection ended during its handshake")
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self._parser = hiredis.Reader(notEnoughData=_NOTHING)
        self._unparsed_bytes = 0

    @property
    def has_ended(self) -> bool:
        """Redis closed it, or it was reset, as far as we know. A reset comes without an end of the stream."""
        return self._incoming.at_eof() or self._outgoing.is_closing()

    def send(self, data: bytes) -> None:
        """Write packed commands; none on a connection that has ended, as the next `receive` will say.

        The caller bounds what it sends between two answers.
        """
        if not self._outgoing.is_closing():  # uvloop raises RuntimeError then, asyncio drops the data
            self._outgoing.write(data)

    async def receive(self) -> list[Any]:
        """The replies that one read brought; possibly none.

        Raises:
            RedisUnavailable: the connection ended, or what came is not Redis's protocol.
        """
        try:
            data = await self._incoming.read(_READ_BYTES)
        except OSError as error:
            raise RedisUnavailable(f"reading failed: {error}") from error
        if not data:
            raise RedisUnavailable("Redis closed the connection")
        replies: list[Any] = []
        gets = self._parser.gets
        try:
            self._parser.feed(data)
            while (reply := gets()) is not _NOTHING:
                replies.append(reply)
        except hiredis.HiredisError as error:
            raise RedisUnavailable(f"not Redis's protocol: {error}") from error
        self._unparsed_bytes = 0 if replies else self._unparsed_bytes + len(data)
        if self._unparsed_bytes > _MAX_UNPARSED_BYTES:
            raise RedisUnavailable("a reply without end")
        return replies

    def abort(self) -> None:
        """End it at once, unsent bytes lost; a `receive` under way ends with `RedisUnavailable`."""
        self._outgoing.transport.abort()

    async def close(self) -> None:
        """Release it. Idempotent, never raises for Redis's sake."""
        self.abort()
        with contextlib.suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)
