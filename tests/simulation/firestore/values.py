"""Firestore's values: their order, their equality, and the fields of a document by path.

A value is protobuf's `google.firestore.v1.Value`, a field map what protobuf makes of `map<string, Value>`.
"""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from google.cloud.firestore_v1.types import document

from simulation.firestore.refusals import invalid

Value: Final = document.Value.pb()
Path = tuple[str, ...]
Key = tuple[Any, ...]

_RANKS: Final = {
    "null_value": 0,
    "boolean_value": 1,
    "integer_value": 2,
    "double_value": 2,
    "timestamp_value": 3,
    "string_value": 4,
    "bytes_value": 5,
    "reference_value": 6,
    "array_value": 8,
    "map_value": 9,
}
_SEGMENT: Final = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*|`(?:[^`\\]|\\.)+`")
_RESERVED: Final = re.compile(r"__.*__", re.DOTALL)
_MAX_NAME_BYTES: Final = 1_500


def rank(value: Any) -> int:
    """Values of different ranks are never equal, and are ordered by it."""
    return _RANKS[value.WhichOneof("value_type")]


def key(value: Any) -> Key:
    """What Python compares as Firestore compares the value."""
    kind = value.WhichOneof("value_type")
    content = getattr(value, kind)
    return (_RANKS[kind], *_CONTENTS[kind](content))


def is_number(value: Any) -> bool:
    """An integer or a double."""
    return value.WhichOneof("value_type") in {"integer_value", "double_value"}


def _number(content: float) -> Key:
    return (0, 0) if isinstance(content, float) and math.isnan(content) else (1, content)


_CONTENTS: Final[dict[str, Callable[[Any], Key]]] = {
    "null_value": lambda _: (),
    "boolean_value": lambda content: (content,),
    "integer_value": _number,
    "double_value": _number,
    "timestamp_value": lambda content: (content.seconds, content.nanos),
    "string_value": lambda content: (content,),
    "bytes_value": lambda content: (content,),
    "reference_value": lambda content: tuple(content.split("/")),
    "array_value": lambda content: tuple(key(each) for each in content.values),
    "map_value": lambda content: tuple((name, key(content.fields[name])) for name in sorted(content.fields)),
}


@lru_cache(maxsize=4_096)
def parsed(path: str) -> Path:
    """The segments of a field path as requests write it: `joined.`user-1``.

    Raises:
        Refused: it is not a path.
    """
    segments, position = [], 0
    while True:
        match = _SEGMENT.match(path, position)
        if match is None:
            raise invalid(f'Invalid property path "{path}".')
        text = match[0]
        segments.append(re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if text[0] == "`" else text)
        position = match.end()
        if position == len(path):
            return tuple(segments)
        if path[position] != ".":
            raise invalid(f'Invalid property path "{path}".')
        position += 1


def found(fields: Any, path: Path) -> Any | None:
    """The value at a path, None where there is none."""
    for segment in path[:-1]:
        if segment not in fields or fields[segment].WhichOneof("value_type") != "map_value":
            return None
        fields = fields[segment].map_value.fields
    return fields.get(path[-1])


def put(fields: Any, path: Path, value: Any) -> None:
    """Set the value at a path; a value in the way that is no map becomes one."""
    for segment in path[:-1]:
        holder = fields[segment]
        if holder.WhichOneof("value_type") != "map_value":
            holder.map_value.SetInParent()
        fields = holder.map_value.fields
    fields[path[-1]].CopyFrom(value)


def remove(fields: Any, path: Path) -> None:
    """Take the value at a path away, where there is one."""
    if found(fields, path) is None:
        return
    for segment in path[:-1]:
        fields = fields[segment].map_value.fields
    del fields[path[-1]]


def check_fields(fields: Any, depth: int = 1) -> None:
    """Refuse what Firestore stores under no name.

    Raises:
        Refused: a reserved or empty name, a list in a list, or too many levels.
    """
    for name, value in fields.items():
        check_name(name)
        _check_value(value, depth, is_in_list=False)


def check_name(name: str) -> None:
    """Refuse a field's name that is empty, too long or reserved."""
    if not name:
        raise invalid("Property name is empty.")
    if _RESERVED.fullmatch(name):
        raise invalid(f'Property name "{name}" is reserved.')
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise invalid("Property name is longer than 1500 bytes.")


def _check_value(value: Any, depth: int, *, is_in_list: bool) -> None:
    kind = value.WhichOneof("value_type")
    if kind is None:
        raise invalid("The value has no type.")
    if kind == "array_value":
        if is_in_list:
            raise invalid("Nested arrays are not allowed.")
        for each in value.array_value.values:
            _check_value(each, depth, is_in_list=True)
    elif kind == "map_value":
        if depth >= 20:
            raise invalid("Property is nested too deeply.")
        check_fields(value.map_value.fields, depth + 1)
