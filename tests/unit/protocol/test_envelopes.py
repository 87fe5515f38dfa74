"""Envelopes from the bus are checked like all input from outside: a pod may be compromised."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol import envelopes
from holdfast.protocol.frames import MessageFrame, encode

HEADER: dict[str, Any] = {"v": 1, "kind": "typing", "c": "c1", "seq": 7, "generation": "g"}
TYPING: dict[str, Any] = HEADER | {"user": "alice", "active": True, "origin": "i1"}
MESSAGE = MessageFrame(
    conversation_id="c1",
    seq=1,
    message_id="000000000001",
    sender="alice",
    body="x",
    client_message_id="m",
    sent_at="2026-01-31T12:00:00.000Z",
)


def _decode(document: object) -> envelopes.Header | None:
    return envelopes.decode(json.dumps(document).encode())


def test_every_kind_comes_back_as_it_went() -> None:
    """Encoding and decoding agree; a header of its own type is not mistaken for a bare one."""
    for envelope in (
        envelopes.TypingEnvelope(v=1, kind="typing", c="c", user="u", active=True, origin="i"),
        envelopes.ReceiptEnvelope(v=1, kind="receipt", c="c", seq=3, user="u", read_at="t"),
        envelopes.RevokedEnvelope(v=1, kind="revoked", user="u", not_before=5),
        envelopes.PresenceEnvelope(v=1, kind="presence", user="u", online=True, version=1, last_seen_at=None, conversations=[]),
    ):
        assert envelopes.decode(envelopes.encode(envelope)) == envelope


@pytest.mark.parametrize("change", [{"v": 2}, {"kind": "future"}, {"v": 2, "user": 5}])
def test_a_version_or_kind_of_tomorrow_still_hints_at_the_head(change: dict[str, Any]) -> None:
    """During a rolling update the old instances learn that something is there, and read it."""
    envelope = _decode(TYPING | change)
    assert type(envelope) is envelopes.Header
    assert (envelope.c, envelope.seq) == ("c1", 7)


@pytest.mark.parametrize(
    "change",
    [
        {"user": 5},
        {"active": "yes"},
        {"origin": None},
        {"seq": -1},
        {"seq": 2**64},
        {"seq": 1.5},
        {"v": "1"},
        {"kind": None},
        {"c": ["c1"]},
        {"generation": 1},
    ],
)
def test_a_forged_field_makes_it_no_envelope(change: dict[str, Any]) -> None:
    """Strict: nothing is guessed from what is half right."""
    assert _decode(TYPING | change) is None


@pytest.mark.parametrize("missing", ["v", "kind", "user", "active", "origin"])
def test_a_missing_field_makes_it_no_envelope(missing: str) -> None:
    """Fields without a default are there, or it was not one of us."""
    assert _decode({name: value for name, value in TYPING.items() if name != missing}) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"PING",
        b'{"v":1',
        b'{"v":1,"kind":"\\ud800"}',
        b"[" * 100_000,
        b'{"v":NaN,"kind":"x"}',
    ],
)
def test_garbage_is_none(payload: bytes) -> None:
    """A program that can publish to Redis can publish anything."""
    assert envelopes.decode(payload) is None


def test_what_is_too_large_is_not_even_parsed() -> None:
    """The size comes first."""
    text = json.dumps(TYPING | {"padding": "x" * envelopes.MAX_BYTES}).encode()
    assert envelopes.decode(text) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_an_envelope_or_none(payload: bytes) -> None:
    """No exception leaves, whatever was published."""
    envelopes.decode(payload)
    envelopes.decode_message(payload)


def test_messages_inside_are_checked_one_by_one() -> None:
    """Forwarded fields are such as we would have written."""
    good = encode(MESSAGE)
    assert envelopes.decode_message(good) == MESSAGE
    document = json.loads(good)
    for change in ({"seq": "1"}, {"body": None}, {"sender": 1}, {"type": "ack"}, {"sent_at": 5}):
        assert envelopes.decode_message(json.dumps(document | change).encode()) is None
    assert envelopes.decode_message(b"{}") is None
