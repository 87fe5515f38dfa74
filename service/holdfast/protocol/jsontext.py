"""Strict JSON in, exact fields out: one place that decides what text is accepted and how a refusal names its field."""

import re
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from holdfast.errors import InvalidJson, InvalidRequest

T = TypeVar("T")

_FIELD = re.compile(r"`\$((?:\.[A-Za-z0-9_]+|\[[^\]]*\])+)`$")
_NAMED = re.compile(r"required field `([^`]+)`")
_canonical = msgspec.json.Encoder(order="deterministic")
_anything = msgspec.json.Decoder()


def decode(decoder: "msgspec.json.Decoder[T]", text: bytes | str) -> T:
    """Decode with `decoder`.

    Raises:
        InvalidJson: syntax, NaN, lone surrogates, bad UTF-8, nesting too deep.
        InvalidRequest: JSON of another shape; `field` names the wrong field where there is one.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_sentence(error), field=_field(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"not JSON: {error}"[:200]) from None


def check_object(raw: bytes | memoryview, *, field: str, max_bytes: int, max_depth: int) -> tuple[str, bytes]:
    """Check a client's JSON object that is kept as text; (verbatim, canonical for comparison)."""
    text = bytes(raw)
    if len(text) > max_bytes:
        raise InvalidRequest(f"at most {max_bytes} bytes", field=field)
    try:
        value = _anything.decode(text.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        raise InvalidJson(f"{field} is not JSON that is accepted") from None
    if not isinstance(value, dict):
        raise InvalidRequest("expected an object", field=field)
    if _depth(value, max_depth) > max_depth:
        raise InvalidRequest(f"nested deeper than {max_depth}", field=field)
    return text.decode(), _canonical.encode(value)


def rfc3339(at_ms: int) -> str:
    """1765432100123 -> '2025-12-11T05:48:20.123Z'."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms_of(timestamp: str) -> int | None:
    """'2025-12-11T05:48:20.123Z' -> 1765432100123; None when it is no timestamp."""
    try:
        return round(datetime.fromisoformat(timestamp).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _depth(value: object, limit: int) -> int:
    if limit < 0 or not isinstance(value, dict | list):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(child, limit - 1) for child in children), default=0)


def _sentence(error: msgspec.ValidationError) -> str:
    return str(error)[:200]


def _field(error: msgspec.ValidationError) -> str | None:
    text = str(error)
    inside = _FIELD.search(text)
    path = inside.group(1).lstrip(".") if inside else ""
    missing = _NAMED.search(text)
    if missing:
        return f"{path}.{missing.group(1)}" if path else missing.group(1)
    return path or None
