"""What a command answers, and how Redis writes it: values of Python, errors as exceptions, RESP2 on the wire.

A reply is bytes (a bulk string), a `Status`, an int, None (the null bulk), `NULL_ARRAY`, a list of replies, or a `Refused` inside
a list. A command that is refused as a whole raises `Refused`.
"""

import math
import re
from typing import Any, Final

Reply = Any
"""Recursive, so not spelled out; see the module's docstring."""


class Refused(Exception):
    """Redis answers with an error; its text is the whole reply without the leading `-`.

    `position`: where in a script it happened, as Redis appends it to the text; the text alone is what `redis.pcall` shows.
    """

    def __init__(self, text: str | bytes) -> None:
        self.text: bytes = text if isinstance(text, bytes) else text.encode()
        super().__init__(self.text.decode(errors="replace"))


class Unsupported(Exception):
    """The simulated Redis was asked for something that it does not know to do as Redis does. No test may go on from here."""


class Status(bytes):
    """A simple string: `+OK`."""

    __slots__ = ()


class Ready(bytes):
    """A reply that is RESP2 already."""

    __slots__ = ()


class _NullArray:
    __slots__ = ()


OK: Final = Status(b"OK")
NULL_ARRAY: Final = _NullArray()
NO_REPLY: Final = object()
"""The command answers by what it pushes (SUBSCRIBE), or later (BLPOP)."""

WRONG_TYPE: Final = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER: Final = "ERR value is not an integer or out of range"
NOT_A_FLOAT: Final = "ERR value is not a valid float"
SYNTAX: Final = "ERR syntax error"

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1
_INTEGER: Final = re.compile(rb"-?[1-9][0-9]{0,18}|0")
_FLOAT: Final = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE: Final = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)
_HEXADECIMAL: Final = re.compile(rb"[+-]?0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?[0-9]+)?")


def integer(text: bytes, otherwise: str = NOT_AN_INTEGER) -> int:
    """A number as Redis reads it: no sign, space or zero too many, within 64 bits.

    Raises:
        Refused: with `otherwise`.
    """
    if _INTEGER.fullmatch(text):
        value = int(text)
        if _MIN_INTEGER <= value <= _MAX_INTEGER:
            return value
    raise Refused(otherwise)


def number(text: bytes, otherwise: str = NOT_A_FLOAT) -> float:
    """A score as `strtod` reads it, without spaces, NaN or overflow.

    Raises:
        Refused: with `otherwise`.
    """
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise Refused(otherwise)
        return value
    if _INFINITE.fullmatch(text):
        return float(text)
    if _HEXADECIMAL.fullmatch(text):
        return float.fromhex(text.decode())
    raise Refused(otherwise)


def boundary(text: bytes, otherwise: str) -> float:
    """One end of a range of scores: like `number`, but nothing at all is 0, and what is too large is infinite.

    Raises:
        Refused: with `otherwise`.
    """
    return float(text or b"0") if not text or _FLOAT.fullmatch(text) else number(text, otherwise)


def shown(value: float) -> bytes:
    """A score as Redis 7.0 writes it."""
    return b"%.17g" % value


def encode(reply: Reply) -> bytes:
    """RESP2."""
    if type(reply) is bytes:
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n%b" % (len(reply), b"".join(map(encode, reply)))
    if isinstance(reply, Ready):
        return bytes(reply)
    if isinstance(reply, Status):
        return b"+%b\r\n" % reply
    if isinstance(reply, Refused):
        return error_line(reply)
    if reply is NULL_ARRAY:
        return b"*-1\r\n"
    raise TypeError(f"no reply: {reply!r}")


def error_line(refused: Refused) -> bytes:
    """An error is one line: Redis replaces what would end it."""
    return b"-%b\r\n" % refused.text.rstrip(b"\r\n").replace(b"\r", b" ").replace(b"\n", b" ")
