"""`cjson.decode` as Redis has it: more forgiving than JSON, and strict in other places.

Strings are bytes and need not be UTF-8; NaN, infinities, hexadecimal numbers and leading zeros are taken; a lone surrogate
escape, and more than 1000 levels, are not. Its errors are worded differently; scripts of Holdfast never show them.
"""

import json
import re
from typing import Any, Final

_MAX_DEPTH: Final = 1000
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_PLAIN: Final = re.compile(rb'[^"\\\x00]*')
_NUMBER: Final = re.compile(
    rb"[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)
_ESCAPES: Final = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"f": b"\f", b"r": b"\r",
}  # fmt: skip
_HEX: Final = re.compile(rb"[0-9a-fA-F]{4}")


class Malformed(ValueError):
    """It is not what cjson takes for JSON."""


def decode(text: bytes) -> Any:
    """Bytes for strings, dicts, lists, floats, booleans, None.

    Raises:
        Malformed: see above.
    """
    if b"\\" not in text and b"\0" not in text:
        try:
            return _as_bytes(json.loads(text.decode("latin-1"), strict=False), 0)
        except (ValueError, RecursionError):
            pass  # cjson takes more than that
    reader = _Reader(text)
    try:
        value = reader.value(0)
    except RecursionError:
        raise Malformed("Found too many nested data structures") from None
    reader.end()
    return value


def _as_bytes(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise Malformed("Found too many nested data structures")
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, dict):
        return {key.encode("latin-1"): _as_bytes(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_bytes(each, depth + 1) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


class _Reader:
    """One pass over a text, the slow way."""

    def __init__(self, text: bytes) -> None:
        self._text = text + b"\0"
        self._at = 0

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise Malformed("Found too many nested data structures")
        first = self._peek()
        if first == b"{":
            return self._object(depth)
        if first == b"[":
            return self._array(depth)
        if first == b'"':
            return self._string()
        for word, value in ((b"true", True), (b"false", False), (b"null", None)):
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        return self._number()

    def end(self) -> None:
        if self._peek() != b"\0":
            raise self._unexpected("the end")

    def _peek(self) -> bytes:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _take(self, expected: bytes) -> None:
        if self._peek() != expected:
            raise self._unexpected(expected.decode())
        self._at += 1

    def _object(self, depth: int) -> dict[bytes, Any]:
        found: dict[bytes, Any] = {}
        self._take(b"{")
        if self._peek() == b"}":
            self._at += 1
            return found
        while True:
            if self._peek() != b'"':
                raise self._unexpected("object key string")
            key = self._string()
            self._take(b":")
            found[key] = self.value(depth + 1)
            if self._peek() == b"}":
                self._at += 1
                return found
            self._take(b",")

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self._take(b"[")
        if self._peek() == b"]":
            self._at += 1
            return found
        while True:
            found.append(self.value(depth + 1))
            if self._peek() == b"]":
                self._at += 1
                return found
            self._take(b",")

    def _string(self) -> bytes:
        parts = []
        self._at += 1
        while True:
            plain = _PLAIN.match(self._text, self._at)
            assert plain is not None
            parts.append(plain.group())
            self._at = plain.end()
            ending = self._text[self._at : self._at + 1]
            if ending == b'"':
                self._at += 1
                return b"".join(parts)
            if ending != b"\\":
                raise self._unexpected("string")
            parts.append(self._escape())

    def _escape(self) -> bytes:
        letter = self._text[self._at + 1 : self._at + 2]
        if letter != b"u":
            if letter not in _ESCAPES:
                raise self._unexpected("escape code")
            self._at += 2
            return _ESCAPES[letter]
        code = self._unit(self._at)
        self._at += 6
        if 0xD800 <= code < 0xDC00:
            low = self._unit(self._at)
            if not 0xDC00 <= low < 0xE000:
                raise self._unexpected("unicode escape code")
            self._at += 6
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        elif 0xDC00 <= code < 0xE000:
            raise self._unexpected("unicode escape code")
        return chr(code).encode()

    def _unit(self, at: int) -> int:
        digits = _HEX.match(self._text, at + 2)
        if self._text[at : at + 2] != b"\\u" or digits is None:
            raise self._unexpected("unicode escape code")
        return int(digits.group(), 16)

    def _number(self) -> float:
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            raise self._unexpected("value")
        self._at = found.end()
        digits = found.group()
        return float(int(digits, 16)) if b"x" in digits.lower() else float(digits)

    def _unexpected(self, expected: str) -> Malformed:
        return Malformed(f"Expected {expected} but found something else at character {self._at + 1}")
