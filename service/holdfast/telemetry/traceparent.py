"""The place of a span in its trace, and how it travels: W3C Trace Context's `traceparent` (version 00). Pure."""

import random
import re
from dataclasses import dataclass
from typing import Final

_MAX_CHARACTERS: Final = 256  # later versions may append fields; a longer text is no traceparent
_FIELDS: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_FIELD_CHARACTERS: Final = 55
_SAMPLED: Final = 0x01


@dataclass(frozen=True, slots=True)
class SpanContext:
    """The ids of a span of a sampled trace, in lower-case hexadecimal: 32 and 16 digits."""

    trace_id: str
    span_id: str

    @classmethod
    def root(cls) -> "SpanContext":
        """The first span of a new trace."""
        return cls(f"{random.getrandbits(128) or 1:032x}", _new_span_id())

    def child(self) -> "SpanContext":
        """Another span of the same trace."""
        return SpanContext(self.trace_id, _new_span_id())

    @property
    def traceparent(self) -> str:
        """As it travels."""
        return f"00-{self.trace_id}-{self.span_id}-01"


@dataclass(frozen=True, slots=True)
class Parent:
    """The span that a caller names as its own. `is_sampled`: the caller records it."""

    context: SpanContext
    is_sampled: bool


def parse(text: str) -> Parent | None:
    """The parent that a `traceparent` names; None where the text is malformed, however long it is."""
    if len(text) > _MAX_CHARACTERS:
        return None
    match = _FIELDS.fullmatch(text[:_FIELD_CHARACTERS])
    if match is None:
        return None
    version, trace_id, span_id, flags = match.groups()
    rest = text[_FIELD_CHARACTERS:]
    if version == "ff" or (rest and (version == "00" or rest[0] != "-")):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Parent(SpanContext(trace_id, span_id), bool(int(flags, 16) & _SAMPLED))


def _new_span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
