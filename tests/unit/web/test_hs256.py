"""Tokens that are signed with a shared secret: the same are believed as by PyJWT."""

import base64
import contextlib
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.web.hs256 import Hs256
from support.bad_tokens import claims, encoded, signed

_SECRET = "a secret of thirty-two characters"
_OTHER = "another one of thirty-two letters"
_HEADER = {"alg": "HS256", "typ": "JWT"}


def _token(payload: dict[str, Any] | bytes, secret: str = _SECRET) -> str:
    return signed(_HEADER, payload, secret.encode())


def test_claims_of_a_token_that_another_library_signed_are_read() -> None:
    """Application teams sign with the library of their language."""
    token = jwt.encode(claims(sub="ann"), _SECRET, algorithm="HS256")
    found = Hs256([_SECRET]).claims(token)
    assert found is not None
    assert found["sub"] == "ann"


def test_token_of_the_previous_secret_is_believed_and_of_a_third_one_is_not() -> None:
    """Secrets are rotated while tokens of the old one are about."""
    assert Hs256([_OTHER, _SECRET]).claims(_token(claims())) == claims()
    assert Hs256([_OTHER]).claims(_token(claims())) is None
    assert Hs256([]).claims(_token(claims())) is None


def test_padding_is_accepted() -> None:
    """Some libraries write it, against RFC 7515."""
    parts = _token(claims()).split(".")
    signature = base64.urlsafe_b64decode(parts[2] + "==")
    assert Hs256([_SECRET]).claims(f"{parts[0]}.{parts[1]}.{base64.urlsafe_b64encode(signature).decode()}") == claims()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        ".." + "A" * 43,
        _token(claims()) + "\n",
        _token(claims()).replace(".", "..", 1),
        _token(b"no json"),
        _token(b"[1]"),
        _token(b'"text"'),
        _token(b"[" * 100_000),
        _token(b'{"sub":"\xff"}'),
        _token(claims()).replace(".", ".é", 1),
        f"{encoded(json.dumps(_HEADER).encode())}.+/+/.{encoded(bytes(32))}",
    ],
)
def test_what_is_no_token_is_refused_as_malformed_or_unsigned(token: str) -> None:
    """Never an error of another kind: it would end the connection without an answer."""
    with contextlib.suppress(ValueError):
        assert Hs256([_SECRET]).claims(token) is None


@given(st.integers(0, 10_000), st.characters())
def test_no_character_of_a_token_may_be_changed(at: int, character: str) -> None:
    """Whatever is changed, the claims are the signed ones or there are none."""
    token = _token(claims(iat=1, exp=2))
    at %= len(token)
    changed = token[:at] + character + token[at + 1 :]
    try:
        found = Hs256([_SECRET]).claims(changed)
    except ValueError:
        return
    assert found is None or found == claims(iat=1, exp=2)
