"""Client text to frames: what is accepted, and what a refusal still carries so that the client can match it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from holdfast.errors import CommandError
from holdfast.protocol import commands, frames
from holdfast.protocol.codes import CODES


def _refused(text: bytes) -> CommandError:
    with pytest.raises(CommandError) as error:
        commands.parse(text)
    return error.value


def test_unknown_fields_are_ignored() -> None:
    """Clients of tomorrow talk to instances of today."""
    assert commands.parse(b'{"future":[1],"type":"ping","ref":"r"}') == frames.Ping(ref="r")


def test_the_type_may_stand_anywhere() -> None:
    """JSON objects have no order."""
    frame = commands.parse(b'{"active":true,"conversation_id":"c","type":"typing"}')
    assert frame == frames.Typing(conversation_id="c", active=True)


def test_metadata_is_kept_as_it_was_written() -> None:
    """Echoed verbatim: spaces, order and the number's form are the client's."""
    text = b'{ "b" : 1.0, "a":[ ] }'
    frame = commands.parse(b'{"type":"send","conversation_id":"c","client_message_id":"m","body":"x","metadata":%s}' % text)
    assert isinstance(frame, frames.Send)
    assert frame.metadata is not UNSET
    assert bytes(frame.metadata) == text


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        (
            b'{"type":"send","ref":"r","conversation_id":"c","client_message_id":"m","body":5}',
            {"ref": "r", "conversation_id": "c", "client_message_id": "m", "outcome": "refused", "field": "body"},
        ),
        (b'{"type":"read","ref":"r","conversation_id":"c"}', {"ref": "r", "conversation_id": "c", "field": "message_id"}),
        (b'{"type":"nothing","ref":"r"}', {"ref": "r", "field": "type"}),
        (b'{"type":"ping","ref":5}', {"field": "ref"}),
        (b'{"type":"send","conversation_id":{"a":1},"ref":"r"}', {"ref": "r", "outcome": "refused", "field": "conversation_id"}),
        (b'{"type":"ping"', {}),
        (b"[]", {"field": "type"}),
        (json.dumps({"type": "send", "ref": "r" * 129, "body": "x" * 9_000}).encode(), {"outcome": "refused", "field": "ref"}),
    ],
)
def test_a_refusal_carries_what_was_readable(text: bytes, carried: dict[str, str]) -> None:
    """A client that sent a `ref` gets exactly one answer with it; a text too long to be an id is not sent back."""
    frame = json.loads(frames.encode(commands.refusal(_refused(text), text)))
    assert {name: value for name, value in frame.items() if name not in ("type", "code", "detail", "retryable")} == carried


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_nothing_but_our_errors_comes_out(text: bytes) -> None:
    """Whatever the bytes are, the answer is a frame or a refusal that can be encoded."""
    refusals = []
    try:
        commands.parse(text)
    except CommandError as error:
        refusals.append(commands.refusal(error, text))
    for frame in refusals:
        assert frame.code in CODES
        assert len(frames.encode(frame)) < 1_500


@given(
    st.dictionaries(
        st.sampled_from(sorted({name for kind in frames.AnyClientFrame.__args__ for name in kind.__struct_fields__} | {"type"})),
        st.sampled_from(frames.CLIENT_TYPES) | st.text(max_size=5) | st.integers() | st.none()
        | st.booleans() | st.floats(allow_nan=False) | st.dictionaries(st.text(max_size=2), st.integers()),
    )
)  # fmt: skip
def test_objects_of_our_fields_in_any_shape(value: dict[str, object]) -> None:
    """The near misses: right names, wrong types."""
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    code = None
    try:
        assert frames.encode(commands.parse(text))
    except CommandError as error:
        code = error.code
    assert code in (None, "invalid_request", "invalid_json", "unknown_type")
