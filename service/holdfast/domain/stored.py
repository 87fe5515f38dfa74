"""The fields of a value read back from the store, where any program with access may have written. Pure."""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard, TypeVar

from holdfast.errors import Undecodable

T = TypeVar("T")

_MOST: Final = 253_402_300_799_999  # the last millisecond that a date can be made of; positions and counters are far below


class Stored:
    """Reads field by field; a field that is missing or of another type becomes its default.

    Attributes:
        is_damaged: a field was missing, or not of the expected type.
    """

    def __init__(self, fields: object) -> None:
        self._fields: Mapping[Any, Any] = fields if isinstance(fields, Mapping) else {}
        self.is_damaged = not isinstance(fields, Mapping)

    def number(self, name: str, default: int = 0) -> int:
        """A whole number from 0."""
        value = self._fields.get(name)
        return value if is_number(value) else self._damaged(default)

    def text(self, name: str, default: str = "") -> str:
        """Text."""
        value = self._fields.get(name)
        return value if is_text(value) else self._damaged(default)

    def required_text(self, name: str) -> str:
        """Text without which the value means nothing.

        Raises:
            Undecodable: it is missing, empty, or no text.
        """
        value = self._fields.get(name)
        if not is_text(value) or not value:
            raise Undecodable(f"no {name}")
        return value

    def optional_text(self, name: str) -> str | None:
        """Text, or None."""
        value = self._fields.get(name)
        return value if value is None or is_text(value) else self._damaged(None)

    def flag(self, name: str) -> bool:
        """Whether."""
        value = self._fields.get(name, False)
        return value if isinstance(value, bool) else self._damaged(False)

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of text, without items of other types."""
        value = self._fields.get(name)
        if not isinstance(value, list | tuple):
            return self._damaged(())
        found = tuple(each for each in value if is_text(each))
        return found if len(found) == len(value) else self._damaged(found)

    def numbers(self, name: str) -> dict[Any, int]:
        """A map of text to whole numbers, without values of other types; empty when it is missing.

        Sorted: protobuf's maps have another order in each process, which would decide what is done first.
        """
        value = self._fields.get(name, {})
        if not isinstance(value, Mapping):
            return self._damaged({})
        found = dict(sorted((key, number) for key, number in value.items() if is_text(key) and is_number(number)))
        return found if len(found) == len(value) else self._damaged(found)

    def of(self, name: str) -> Any:
        """The field as it is, None without it."""
        return self._fields.get(name)

    def _damaged(self, default: T) -> T:
        self.is_damaged = True
        return default


def is_number(value: object) -> TypeGuard[int]:
    """A whole number from 0, of a size that ours may have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def is_text(value: object) -> TypeGuard[str]:
    """Text that can be encoded: half of a surrogate pair cannot."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value))
