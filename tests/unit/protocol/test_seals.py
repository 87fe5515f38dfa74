"""Seals on envelopes: every change breaks them, and a version without seals still reads the envelope."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol import envelopes
from holdfast.protocol.seals import Seals

SECRET, OTHER = "s" * 32, "o" * 32
CHANNEL = "conversation:c1"
ENVELOPE = envelopes.encode(
    envelopes.TypingEnvelope(v=1, kind="typing", c="c1", generation="g", user="alice", active=True, origin="i1")
)
SEALED = Seals(SECRET).seal(CHANNEL, ENVELOPE)


def test_a_sealed_envelope_is_the_same_envelope() -> None:
    """For an operator with MONITOR, and for an instance of a version, or of a setting, that knows no seals."""
    assert envelopes.decode(SEALED) == envelopes.decode(ENVELOPE)
    document = json.loads(SEALED)
    assert list(document)[:3] == list(json.loads(ENVELOPE))[:3]
    assert Seals(SECRET).may_believe(CHANNEL, SEALED)
    assert not Seals(OTHER).may_believe(CHANNEL, SEALED)
    assert Seals(OTHER, SECRET).may_believe(CHANNEL, SEALED)


@given(at=st.integers(0, len(SEALED) - 1), value=st.integers(0, 255))
def test_any_changed_byte_breaks_it(at: int, value: int) -> None:
    """The seal's own bytes, too."""
    changed = SEALED[:at] + bytes([value]) + SEALED[at + 1 :]
    assert Seals(SECRET).may_believe(CHANNEL, changed) == (changed == SEALED)


def test_it_is_bound_to_its_channel() -> None:
    """What alice types in one conversation is not to be shown in another one."""
    assert not Seals(SECRET).may_believe("conversation:c2", SEALED)
    assert not Seals(SECRET).may_believe("conversation:c1\0", SEALED)


@pytest.mark.parametrize("payload", [b"", b"{}", b"x" * 10, ENVELOPE, b"\xff" * 100, SEALED[:-1], SEALED + b" ", SEALED[-66:]])
def test_what_has_no_seal_is_not_believed(payload: bytes) -> None:
    """Unless it is said to be welcome: while instances that do not sign are still about. A wrong seal never is."""
    assert not Seals(SECRET).may_believe(CHANNEL, payload)
    wrong = Seals(OTHER).seal(CHANNEL, ENVELOPE)
    lenient = Seals(SECRET, may_be_unsigned=True)
    assert lenient.may_believe(CHANNEL, ENVELOPE)
    assert not lenient.may_believe(CHANNEL, wrong)


def test_the_key_id_tells_nothing_of_the_secret() -> None:
    """It is there for the operator who reads the log of two instances that do not receive each other."""
    key = json.loads(SEALED)["key"]
    assert key not in SECRET
    assert key != json.loads(Seals(OTHER).seal(CHANNEL, ENVELOPE))["key"]
