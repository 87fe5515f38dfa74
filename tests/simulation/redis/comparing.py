"""The same commands to the simulated Redis and to a real one, and whether the replies are the same.

Replies that cannot be the same are compared as far as possible: a set or a large hash has no order, and a time to live is shorter
by the time between the two answers.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import hiredis

from simulation.redis.server import RedisServer
from simulation.redis.state import Client

Words = list[bytes]

_UNORDERED: Final = (b"SMEMBERS", b"KEYS", b"HVALS", b"HKEYS", b"EVAL", b"EVALSHA")
_TIME: Final = b"PTTL"
_SLACK_MS: Final = 60_000
_READ_BYTES: Final = 1 << 20


class Ours(Client):
    """A connection to the simulated Redis without a transport; keeps what it is sent."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server
        self._reader = hiredis.Reader(notEnoughData=self)
        server.state.enter(self)

    def send(self, data: bytes) -> None:
        self._reader.feed(data)

    def drop(self) -> None:
        self._server.state.leave(self)

    def ask(self, words: Words) -> Any:
        """One command, one reply."""
        self.send(self._server.answer(self, words))
        reply = self._reader.gets()
        assert reply is not self, words
        return reply


class Theirs:
    """A connection to a real Redis. Closed by its maker."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._reader = hiredis.Reader(notEnoughData=self)

    def ask(self, *batch: Words) -> list[Any]:
        """Many commands at once, as many replies."""
        self._socket.sendall(b"".join(map(_packed, batch)))
        return [self._next() for _ in batch]

    def _next(self) -> Any:
        while (reply := self._reader.gets()) is self:
            self._reader.feed(self._socket.recv(_READ_BYTES))
        return reply

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Difference:
    """One command that the two answered differently."""

    words: Words
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.words}\n  Redis:     {shown(self.theirs)!r}\n  simulated: {shown(self.ours)!r}"


def differences(batch: Iterable[Words], ours: Iterable[Any], theirs: Iterable[Any]) -> list[Difference]:
    """Those commands whose replies are not the same."""
    return [
        Difference(words, real, simulated)
        for words, real, simulated in zip(batch, theirs, ours, strict=True)
        if not is_same(words, real, simulated)
    ]


def is_same(words: Words, first: Any, second: Any) -> bool:
    """Byte for byte, but for orders and passing time."""
    name = words[0].upper()
    if name == _TIME and isinstance(first, int) and isinstance(second, int) and first > 0 < second:
        return abs(first - second) <= _SLACK_MS
    if name in _UNORDERED:
        return bool(_sorted(first) == _sorted(second))
    if name == b"HGETALL" and isinstance(first, list) and isinstance(second, list):
        return _pairs(first) == _pairs(second)
    if name == b"SSCAN" and isinstance(first, list) and isinstance(second, list):
        return bool(first[0] == second[0] and sorted(first[1]) == sorted(second[1]))
    return bool(shown(first) == shown(second))


def shown(reply: Any) -> Any:
    """Something that can be compared: an error is its text."""
    if isinstance(reply, list):
        return [shown(each) for each in reply]
    return f"-{reply}" if isinstance(reply, hiredis.ReplyError) else reply


def _packed(words: Words) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type]  # its stub names a tuple of one element
    return packed


def _sorted(reply: Any) -> Any:
    return sorted(map(repr, map(_sorted, reply))) if isinstance(reply, list) else shown(reply)


def _pairs(reply: list[Any]) -> list[tuple[Any, Any]]:
    return sorted(zip(reply[::2], reply[1::2], strict=True))
