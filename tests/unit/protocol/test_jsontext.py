"""Which texts count as JSON, as metadata, and as the same metadata."""

import json
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import CommandError, InvalidJson, InvalidRequest
from holdfast.protocol.jsontext import check_object, decode, rfc3339

SIMPLE = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def _check(text: bytes, max_bytes: int = 4_096) -> tuple[str, bytes]:
    return check_object(text, field="metadata", max_bytes=max_bytes, max_depth=8)


@given(st.dictionaries(st.text(), SIMPLE | st.lists(SIMPLE)))
def test_every_object_is_kept_verbatim_and_compared_by_content(value: dict[str, object]) -> None:
    """Idempotency compares what was meant: the order of keys and the spaces between them are not content."""
    try:
        text, canonical = _check(json.dumps(value, indent=1).encode("utf-8", "surrogatepass"), 10**6)
    except InvalidJson:
        assert any("\\ud" in part for part in [json.dumps(value)]), "only lone surrogates are refused"
        return
    assert json.loads(text) == value
    backwards = dict(reversed(value.items()))
    assert _check(json.dumps(backwards, ensure_ascii=False).encode(), 10**6)[1] == canonical


@pytest.mark.parametrize("depth", [8, 9])
def test_depth_counts_objects_and_lists(depth: int) -> None:
    """Eight levels, the object itself included."""
    for opening, closing in ((b'{"a":', b"}"), (b"[", b"]")):
        text = b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"
        if depth <= 8:
            _check(text)
        else:
            with pytest.raises(InvalidRequest):
                _check(text)


def test_size_is_that_of_the_text() -> None:
    """Bytes as they were sent, spaces included."""
    _check(b'{"a":"' + b"x" * 4_088 + b'"}')
    with pytest.raises(InvalidRequest):
        _check(b'{"a": "' + b"x" * 4_088 + b'"}')


@pytest.mark.parametrize("text", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_metadata_is_an_object(text: bytes) -> None:
    """Nothing else has fields."""
    with pytest.raises(InvalidRequest):
        _check(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    """No other exception leaves this module."""
    codes = set()
    for read in (_check, partial(decode, msgspec.json.Decoder(dict[str, int]))):
        try:
            read(text)
        except CommandError as error:
            codes.add(error.code)
    assert codes <= {"invalid_json", "invalid_request"}


def test_times_are_utc_with_milliseconds() -> None:
    """As every `_at` field is written."""
    assert rfc3339(1_765_432_100_123) == "2025-12-11T05:48:20.123Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(253_402_300_799_000) == "9999-12-31T23:59:59.000Z"
