"""Tokens that must not be believed, each with the code that says why."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.hostile import BAD_IDS
from support.instances import SECRET, token


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, changed; None removes one."""
    now = int(time.time())
    good = {"sub": "alice", "iat": now, "exp": now + 3600, "iss": "holdfast", "aud": "holdfast"}
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, secret: bytes = SECRET.encode()) -> str:
    """A token with exactly this header and payload, signed with HMAC: libraries refuse to make most of them."""

    def part(value: dict[str, Any] | bytes) -> str:
        return encoded(value if isinstance(value, bytes) else json.dumps(value).encode())

    signing = f"{part(header)}.{part(payload)}"
    return f"{signing}.{encoded(hmac.new(secret, signing.encode(), hashlib.sha256).digest())}"


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bad_tokens() -> dict[str, tuple[str, str]]:
    """name -> (the token, the code it is refused with)."""
    hs256 = {"alg": "HS256", "typ": "JWT"}
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    now = int(time.time())
    refused = {
        "no token at all": "hello",
        "three empty parts": "..",
        "four parts": token("alice") + ".x",
        "signature cut": token("alice")[:-2],
        "no signature": token("alice").rpartition(".")[0] + ".",
        "another secret": token("alice", secret="another-secret-that-is-long-enough"),
        "payload changed": _with_payload(token("alice"), claims(sub="bob")),
        "alg none": signed({"alg": "none"}, claims()).rpartition(".")[0] + ".",
        "alg None": signed({"alg": "None"}, claims()),
        "alg missing": signed({"typ": "JWT"}, claims()),
        "alg is a list": signed({"alg": ["HS256"]}, claims()),
        "HS512": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        "RS256 without keys": jwt.encode(claims(), key, algorithm="RS256"),
        "HS256 with a public key": signed(hs256, claims(), public),
        "kid and nothing else": signed({"alg": "RS256", "kid": "x"}, claims()),
        "jku": jwt.encode(claims(), key, algorithm="RS256", headers={"jku": "http://127.0.0.1:1/keys", "kid": "x"}),
        "crit": signed(hs256 | {"crit": ["exp"]}, claims()),
        "detached": signed(hs256 | {"b64": False}, claims()),
        "header is a list": signed(b"[]", claims()),
        "header is deep": signed(b'{"alg":"HS256","x":' + b"[" * 2_500 + b"]" * 2_500 + b"}", claims()),
        "payload is deep": signed(hs256, b"[" * 2_500 + b"]" * 2_500),
        "payload is a list": signed(hs256, b"[]"),
        "payload is no json": signed(hs256, b"x"),
        "payload is no utf-8": signed(hs256, b"\xff\xfe"),
        "another issuer": signed(hs256, claims(iss="elsewhere")),
        "another audience": signed(hs256, claims(aud="elsewhere")),
        "issuer as a list": signed(hs256, claims(iss=["holdfast"])),
        "not yet": signed(hs256, claims(nbf=now + 86_400)),
        "from the future": signed(hs256, claims(iat=now + 86_400)),
        "expiry as text": signed(hs256, claims(exp="tomorrow")),
        "expiry is infinite": signed(hs256, json.dumps(claims(exp=4242)).replace("4242", "1e999").encode()),
        "expiry is nan": signed(hs256, claims(exp=float("nan"))),
        "subject is a number": signed(hs256, claims(sub=5)),
        "too long": signed(hs256, claims(x="x" * 8_192)),
        **{f"without {name}": signed(hs256, claims(**{name: None})) for name in ("exp", "iat", "sub", "aud", "iss")},
        **{f"subject: {name}": signed(hs256, claims(sub=bad)) for name, bad in BAD_IDS.items()},
    }
    expired = {
        "expired": signed(hs256, claims(iat=now - 7_200, exp=now - 60)),
        "expired in 1970": signed(hs256, claims(iat=0, exp=1)),
    }
    return {name: (text, "unauthenticated") for name, text in refused.items()} | {
        name: (text, "token_expired") for name, text in expired.items()
    }


def _with_payload(text: str, payload: dict[str, Any]) -> str:
    header, _, signature = text.split(".")
    return f"{header}.{encoded(json.dumps(payload).encode())}.{signature}"
