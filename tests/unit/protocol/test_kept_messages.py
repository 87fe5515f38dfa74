"""Messages as Redis keeps them: with the time of their acceptance, which clients never see."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol import envelopes
from holdfast.protocol.frames import MessageFrame, encode


def frame(body: str = "hello", metadata: str | None = None) -> bytes:
    """A message as clients get it."""
    raw = {} if metadata is None else {"metadata": envelopes.Raw(metadata.encode())}
    return encode(
        MessageFrame(
            conversation_id="c",
            seq=1,
            message_id="000000000001",
            sender="alice",
            body=body,
            client_message_id="k",
            sent_at="2026-01-01T00:00:00.000Z",
            **raw,
        )
    )


@given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=50), accepted_ms=st.integers(0, 10**15 - 1))
def test_what_was_kept_is_taken_unchanged(body: str, accepted_ms: int) -> None:
    """To the byte, whatever people write."""
    assert envelopes.taken(envelopes.kept(frame(body), accepted_ms)) == (frame(body), accepted_ms)


@pytest.mark.parametrize("metadata", ['{"accepted_ms":5}', '{"a":1,"accepted_ms":5}', '{"a":{"b":1,"accepted_ms":5}}'])
def test_what_a_client_wrote_is_no_time_of_acceptance(metadata: str) -> None:
    """An entry of an earlier version ends with what its sender chose."""
    text = frame(metadata=metadata)
    assert envelopes.taken(text) == (text, 0)
    assert envelopes.taken(envelopes.kept(text, 7)) == (text, 7)


def test_an_instance_of_before_reads_what_is_kept_now() -> None:
    """In a rolling upgrade both versions share one Redis: the field is one more, and the rest is the message."""
    entry = envelopes.kept(frame(), 1_700_000_000_000)
    assert envelopes.decode_message(entry) == envelopes.decode_message(frame())
    assert json.loads(entry) == {**json.loads(frame()), "accepted_ms": 1_700_000_000_000}


@pytest.mark.parametrize(
    "entry", [b"", b"}", b',"accepted_ms":', b',"accepted_ms":5', b',"accepted_ms":-5}', b'{"a":1,"accepted_ms":5 }']
)
def test_foreign_entries_are_left_as_they_are(entry: bytes) -> None:
    """They are judged where messages are decoded."""
    assert envelopes.taken(entry) == (entry, 0)


def test_an_envelope_of_before_has_no_times() -> None:
    """And is read like any other."""
    old = {"v": 1, "kind": "messages", "c": "c", "seq": 1, "generation": "g", "instance": "x", "age_ms": 5, "messages": [{}]}
    found = envelopes.decode(json.dumps(old).encode())
    assert isinstance(found, envelopes.MessagesEnvelope)
    assert found.accepted_ms == []
