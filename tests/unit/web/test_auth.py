"""Whose word is believed: one key, one algorithm; every claim; nothing that a header asks for."""

import json
import math
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr, ValidationError

from holdfast.adapters.machine.clock import SystemClock
from holdfast.errors import CommandError, ConfigurationError
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.ports import Clock
from holdfast.protocol.codes import CODES
from holdfast.settings import AuthSettings
from holdfast.web.auth import ADMIN_SCOPE, Authenticator, issue
from holdfast.web.jwks import Jwks, _usable
from support.bad_tokens import bad_tokens, claims, signed
from support.fakes import ShiftedClock
from support.instances import SECRET

HS256 = {"alg": "HS256", "typ": "JWT"}
TOKENS = bad_tokens()
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def _jwks() -> Jwks:
    """Keys as if they had just been fetched, and no others were there."""
    rsa_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key())) | {"kid": "rsa", "alg": "RS256"}
    ec_key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key())) | {"kid": "ec", "alg": "ES256"}
    jwks = Jwks("http://127.0.0.1:1/keys", SystemClock())
    jwks._keys, jwks._known_as_of = _usable({"keys": [rsa_key, ec_key]}), math.inf
    return jwks


def _known(clock: Clock | None = None, *, stored_ms: int | None = None) -> StoreClock:
    """The store's clock after its first stamp, which says the machine's time unless `stored_ms` is given."""
    clock = clock or SystemClock()
    time = StoreClock(clock)
    time.note(clock.now_ms() if stored_ms is None else stored_ms, clock.monotonic())
    return time


def _authenticator(jwks: Jwks | None = None, *, revoked_before: int = 0, **settings: Any) -> Authenticator:
    def check_revoked(_: str, issued_at: int, __: str) -> None:
        if issued_at < revoked_before:
            raise CommandError("token_revoked", "revoked")

    given = {"secret": SecretStr(SECRET)} | settings
    return Authenticator(AuthSettings(**given), check_revoked, jwks, _known())


def _code(authenticator: Authenticator, text: str) -> str:
    with pytest.raises(CommandError) as error:
        authenticator.verify(text)
    assert text not in error.value.detail
    return error.value.code


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("with_keys", [False, True])
def test_what_is_not_believed(name: str, *, with_keys: bool) -> None:
    """The same with a JWKS beside the secret: a second way in opens no door in the first."""
    text, code = TOKENS[name]
    assert _code(_authenticator(_jwks() if with_keys else None), text) == code


@pytest.mark.parametrize(
    ("name", "says"),
    [
        *((f"without {claim}", f'the claim "{claim}" is missing') for claim in ("exp", "iat", "sub", "aud", "iss")),
        ("another issuer", 'the claim "iss" must be "holdfast"'),
        ("issuer as a list", 'the claim "iss" must be "holdfast"'),
        ("another audience", 'the claim "aud" must be "holdfast"'),
        ("not yet", 'the claim "nbf" is in the future'),
        ("from the future", 'the claim "iat" is in the future'),
        ("expiry as text", 'the claim "exp" must be a number'),
        ("expiry is infinite", 'the claim "exp" must be a number'),
        ("subject is a number", 'the claim "sub" must be a user\'s id'),
        ("expired", 'the time in the claim "exp" is over'),
        ("another secret", "signature does not match"),
        ("HS512", 'the header "alg" must be HS256'),
        ("RS256 without keys", 'the header "alg" must be HS256'),
        ("alg none", 'the header "alg" must be HS256'),
        ("crit", "without extensions (crit)"),
        ("no token at all", "no JWT"),
        ("payload is no json", "malformed"),
        ("too long", "longer than 8192 characters"),
    ],
)
def test_a_refusal_names_the_claim(name: str, says: str) -> None:
    """With twenty reasons behind one sentence, the first token of one's own takes an afternoon."""
    text, _ = TOKENS[name]
    with pytest.raises(CommandError) as refused:
        _authenticator().verify(text)
    assert says in refused.value.detail
    assert "alice" not in refused.value.detail
    assert not any(part in refused.value.detail for part in text.split(".") if len(part) > 8)


def test_all_missing_claims_are_named_at_once() -> None:
    """One round instead of five."""
    with pytest.raises(CommandError) as refused:
        _authenticator().verify(signed(HS256, {"sub": "alice", "exp": 1}))
    assert '"iat", "iss", "aud" are missing' in refused.value.detail


def test_an_audience_may_be_one_of_a_list() -> None:
    """RFC 7519 §4.1.3: identity providers write both forms."""
    assert _authenticator().verify(signed(HS256, claims(aud=["other", "holdfast"]))).user_id == "alice"
    assert _code(_authenticator(), signed(HS256, claims(aud=["other"]))) == "unauthenticated"
    assert _code(_authenticator(), signed(HS256, claims(aud=[]))) == "unauthenticated"


def test_an_unknown_key_of_an_issuer_is_named_by_its_header() -> None:
    """The usual cause is a key that was rotated, or the address of another tenant."""
    token = jwt.encode(claims(), RSA, algorithm="RS256", headers={"kid": "old"})
    with pytest.raises(CommandError, match='the header "kid"'):
        _authenticator(_jwks()).verify(token)
    with pytest.raises(CommandError, match="one of HS256, RS256, ES256, EdDSA"):
        _authenticator(_jwks()).verify(jwt.encode(claims(), RSA, algorithm="RS512", headers={"kid": "rsa"}))


def test_who_is_believed_to_be_whom() -> None:
    """Subject, times and the one scope that counts."""
    identity = _authenticator().verify(signed(HS256, claims(scope=f"chat {ADMIN_SCOPE}")))
    assert (identity.user_id, identity.is_admin) == ("alice", True)
    for scope in (f"{ADMIN_SCOPE}s", "holdfast", [ADMIN_SCOPE], 5):
        assert not _authenticator().verify(signed(HS256, claims(scope=scope))).is_admin


def test_the_leeway_is_that_of_clocks() -> None:
    """Ten seconds; at most thirty can be configured."""
    now = int(time.time())
    assert _authenticator().verify(signed(HS256, claims(exp=now - 5)))
    assert _code(_authenticator(), signed(HS256, claims(exp=now - 15))) == "token_expired"
    with pytest.raises(ValidationError):
        AuthSettings(leeway_seconds=31)


def test_a_secret_can_be_changed_without_a_break() -> None:
    """The previous one is believed until it is taken away."""
    old = "an-older-secret-that-was-long-enough"
    text = signed(HS256, claims(), old.encode())
    assert _code(_authenticator(), text) == "unauthenticated"
    assert _authenticator(previous_secret=SecretStr(old)).verify(text).user_id == "alice"


def test_a_weak_or_absent_secret_ends_the_start() -> None:
    """31 bytes are too few, and nothing at all is not an open door."""
    with pytest.raises(ValidationError):
        AuthSettings(secret=SecretStr("x" * 31))
    with pytest.raises(ConfigurationError):
        _authenticator(secret=None)


def test_revoked_is_revoked() -> None:
    """By the time it was issued."""
    now = int(time.time())
    assert _code(_authenticator(revoked_before=now + 1), signed(HS256, claims())) == "token_revoked"
    assert _authenticator(revoked_before=now).verify(signed(HS256, claims(iat=now)))


def test_a_key_has_one_algorithm() -> None:
    """The kid chooses the key, never what may be done with it."""
    authenticator = _authenticator(_jwks())
    assert authenticator.verify(jwt.encode(claims(), RSA, algorithm="RS256", headers={"kid": "rsa"})).user_id == "alice"
    assert authenticator.verify(jwt.encode(claims(), EC, algorithm="ES256", headers={"kid": "ec"})).user_id == "alice"
    for key, algorithm, kid in ((RSA, "RS256", "ec"), (EC, "ES256", "rsa"), (RSA, "PS256", "rsa"), (RSA, "RS512", "rsa")):
        text = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})
        assert _code(authenticator, text) == "unauthenticated", (algorithm, kid)
    for kid in ("unknown", "", None):
        headers = {} if kid is None else {"kid": kid}
        assert _code(authenticator, jwt.encode(claims(), RSA, algorithm="RS256", headers=headers)) == "unauthenticated"


def test_refusal_for_a_key_is_retryable_until_keys_were_fetched() -> None:
    """Clients stop for good at a final refusal, and the provider may be back in a minute."""
    authenticator = _authenticator(Jwks("http://127.0.0.1:1/keys", SystemClock()))
    with pytest.raises(CommandError) as error:
        authenticator.verify(jwt.encode(claims(), RSA, algorithm="RS256", headers={"kid": "rsa"}))
    assert (error.value.code, error.value.retry_after_ms) == ("store_unavailable", 1000)
    assert CODES[error.value.code].is_retryable
    assert authenticator.verify(signed(HS256, claims())).user_id == "alice", "the secret is known"


def test_without_a_secret_no_hs256() -> None:
    """Only the issuer's keys count then, and its public ones are no secrets."""
    authenticator = Authenticator(AuthSettings(jwks_url="http://127.0.0.1:1/keys"), lambda *_: None, _jwks(), _known())
    assert _code(authenticator, signed(HS256, claims())) == "unauthenticated"
    assert _code(authenticator, signed(HS256, claims(), b"")) == "unauthenticated"


@pytest.mark.parametrize("ahead_seconds", [-3600.0, -15.0, 0.0, 3600.0])
def test_token_times_are_checked_on_the_clock_of_the_store(ahead_seconds: float) -> None:
    """An instance whose wall clock is wrong neither refuses fresh tokens nor accepts expired ones."""
    clock = ShiftedClock(ahead_seconds)
    time = _known(clock, stored_ms=1_000_000)
    authenticator = Authenticator(AuthSettings(secret=SecretStr(SECRET), leeway_seconds=5), lambda *_: None, None, time)
    text = issue(SECRET, "alice", 60, issuer="holdfast", audience="holdfast", issued_at=1_000)
    for at, code in ((-6.0, "unauthenticated"), (-4.9, ""), (64.9, ""), (65.1, "token_expired")):
        clock.now = 1_000.0 + at
        if code:
            assert _code(authenticator, text) == code, at
        else:
            assert authenticator.verify(text).user_id == "alice"


def test_refusal_for_the_time_is_retryable_until_the_time_is_known() -> None:
    """An instance with a wrong clock that has just started must not end a client for good; its own clock accepts meanwhile."""
    clock = ShiftedClock(-15.0)
    time = StoreClock(clock)
    authenticator = Authenticator(AuthSettings(secret=SecretStr(SECRET)), lambda *_: None, None, time)
    fresh = issue(SECRET, "alice", 60, issuer="holdfast", audience="holdfast", issued_at=clock.now)
    assert _code(authenticator, fresh) == "store_unavailable"
    assert authenticator.verify(issue(SECRET, "alice", 60, issuer="holdfast", audience="holdfast", issued_at=clock.now - 15))
    time.note(int(clock.now * 1000), clock.monotonic())
    assert authenticator.verify(fresh).user_id == "alice"


def test_keys_that_are_not_for_signatures_are_not_taken() -> None:
    """An issuer's document is input, too."""
    good = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key())) | {"kid": "k", "alg": "RS256"}
    for bad in (
        good | {"use": "enc"},
        good | {"kid": ""},
        good | {"alg": "PS384"},
        {"kty": "oct", "k": "AA", "kid": "k"},
        {},
        5,
        None,
    ):
        assert _usable({"keys": [bad]}) == {}
    assert set(_usable({"keys": [5, good]})) == {"k"}
    for document in ({}, {"keys": []}):
        assert _usable(document) == {}


def test_rsa_keys_that_are_too_short_are_not_taken() -> None:
    """RFC 7518 §3.3: from 2,048 bits on. A shorter one can be factored, and then any attacker can sign."""
    for bits, is_taken in ((1024, False), (2047, False), (2048, True)):
        key = rsa.generate_private_key(public_exponent=65_537, key_size=bits).public_key()
        item = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key)) | {"kid": "k", "alg": "RS256"}
        assert bool(_usable({"keys": [item]})) is is_taken, bits


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("https://login.example.com/keys", True),
        ("http://127.0.0.1:9000/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]:9000/keys", True),
        ("http://login.example.com/keys", False),
        ("http://localhost.example.com/keys", False),
        ("http://127.0.0.1@example.com/keys", False),
        ("http://127.0.0.1.example.com/keys", False),
        ("https://user:pass@login.example.com/keys", False),
        ("file:///etc/keys", False),
        ("ftp://login.example.com/keys", False),
        ("https://", False),
        ("login.example.com/keys", False),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url: str, *, is_taken: bool) -> None:
    """An attacker on the way would name the keys that we accept."""
    if is_taken:
        assert AuthSettings(jwks_url=url).jwks_url == url
        return
    with pytest.raises(ValidationError, match="https"):
        AuthSettings(jwks_url=url)


def test_keys_over_http_need_a_switch_of_their_own() -> None:
    """For a provider in the same cluster, where a mesh encrypts what the URL calls http."""
    url = "http://keycloak.auth.svc:8080/keys"
    assert AuthSettings(jwks_allow_http=True, jwks_url=url).jwks_url == url
    for bad in ("http://", "http://user:pass@keycloak/keys", "ftp://keycloak/keys"):
        with pytest.raises(ValidationError, match="https"):
            AuthSettings(jwks_allow_http=True, jwks_url=bad)
