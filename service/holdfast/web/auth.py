"""Whose word is believed: JWTs with a shared secret or from a JWKS, algorithms pinned by the kind of key."""

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import jwt

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError, ConfigurationError, KeysUnavailable
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.connection import Grant
from holdfast.settings import AuthSettings
from holdfast.web.claims import check, check_times
from holdfast.web.hs256 import Hs256

if TYPE_CHECKING:
    from holdfast.web.jwks import Jwks  # an HTTP client, which an instance without an issuer's keys need not load

ADMIN_SCOPE: Final = "holdfast:admin"
MAX_TOKEN_CHARACTERS: Final = 8_192
_OF_ISSUERS: Final = ("RS256", "ES256", "EdDSA")


class Authenticator:
    """Checks tokens; pure but for the store's clock and the JWKS, whose keys are fetched in the background."""

    def __init__(
        self, settings: AuthSettings, check_revoked: Callable[[UserId, int, str], None], jwks: "Jwks | None", clock: StoreClock
    ) -> None:
        """`check_revoked`: raises for a user's token that was issued at that time (Unix seconds), with that id; see
        `Revocations.check`."""
        if settings.secret is None and jwks is None:
            raise ConfigurationError("HOLDFAST_AUTH__SECRET: neither it nor HOLDFAST_AUTH__JWKS_URL is set")
        secrets = (settings.secret, settings.previous_secret)
        self._hs256 = Hs256([secret.get_secret_value() for secret in secrets if secret is not None])
        self._settings = settings
        self._check_revoked = check_revoked
        self._jwks = jwks
        self._clock = clock

    def verify(self, token: str) -> Grant:
        """Who the bearer is.

        Raises:
            CommandError: `unauthenticated`, `token_expired`, `token_revoked`, `token_too_early`, or `store_unavailable`: the
                time is not known yet, and by our own clock the token is not valid; or the issuer's keys were never fetched yet.
        """
        claims = self._claims(token)
        check(claims, self._settings)
        self._check_times(claims)
        scope, token_id = claims.get("scope", ""), claims.get("jti", "")
        identity = Grant(
            user_id=UserId(claims["sub"]),
            is_admin=isinstance(scope, str) and ADMIN_SCOPE in scope.split(),
            issued_at=int(claims["iat"]),
            expires_at=int(min(claims["exp"], 253_402_300_799)),  # the year 9999: what RFC 3339 can say
            token_id=token_id if isinstance(token_id, str) else "",
        )
        self._check_revoked(identity.user_id, identity.issued_at, identity.token_id)
        return identity

    def _check_times(self, claims: dict[str, Any]) -> None:
        """By the store's clock: ours may be wrong. While the store's is not known, a refusal is not final."""
        try:
            check_times(claims, self._settings.leeway_seconds, self._clock.now_ms() / 1000)
        except CommandError as error:
            if self._clock.is_known:
                raise
            detail = f"{error.detail}. Or the clock of this instance is wrong: the store has not said its time yet"
            raise CommandError("store_unavailable", detail, retry_after_ms=1000) from None

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise CommandError("unauthenticated", f"the token is longer than {MAX_TOKEN_CHARACTERS} characters")
        header = self._header(token.partition(".")[0])
        if "crit" in header:
            raise CommandError("unauthenticated", 'the header "crit" is not understood here')
        try:
            claims = self._hs256.claims(token) if self._is_hs256(header) else _verified(token, self._issuers_key(header))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise CommandError(
                "unauthenticated", "the token is malformed: three parts of base64url, JSON in the first two"
            ) from None
        if claims is None:
            raise CommandError("unauthenticated", "the token's signature does not match: it was signed with another key")
        return claims

    @staticmethod
    @lru_cache(maxsize=64)
    def _header(encoded: str) -> dict[str, Any]:
        """The header by its encoded form: an issuer writes the same one on every token."""
        try:
            header = jwt.get_unverified_header(f"{encoded}.e30.")
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise CommandError(
                "unauthenticated",
                "the token is no JWT: its first part must be a header, JSON in base64url, without extensions (crit)",
            ) from None
        if any(isinstance(value, dict | list) for value in header.values()):
            raise CommandError("unauthenticated", "the token's header holds lists or objects, which are not understood here")
        return header

    def _is_hs256(self, header: dict[str, Any]) -> bool:
        """Whether it must be signed with a secret of ours; else with an issuer's key: never one taken for the other."""
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._hs256:
            return True
        if self._jwks is None:
            raise CommandError("unauthenticated", 'the header "alg" must be HS256')
        if algorithm not in _OF_ISSUERS:
            accepted = [*(["HS256"] if self._hs256 else []), *_OF_ISSUERS]
            raise CommandError("unauthenticated", f'the header "alg" must be one of {", ".join(accepted)}')
        return False

    def _issuers_key(self, header: dict[str, Any]) -> Any:
        assert self._jwks is not None  # noqa: S101 - `_is_hs256` has looked
        try:
            key = self._jwks.key(header.get("kid"))
        except KeysUnavailable:
            detail = "the key of this token is not fetched from the identity provider (HOLDFAST_AUTH__JWKS_URL) yet"
            raise CommandError("store_unavailable", detail, retry_after_ms=1000) from None
        if key is None:
            raise CommandError("unauthenticated", 'the header "kid" names none of the issuer\'s keys that are known here')
        return key


def _verified(token: str, key: Any) -> dict[str, Any] | None:
    """The claims; None where the signature is not of this key. What they say is for `claims.check`, by the store's clock.

    Raises:
        jwt.PyJWTError: it is no token.
    """
    unchecked = dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
    )
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=list(_OF_ISSUERS), options=unchecked)  # type: ignore[arg-type]  # a typed dict
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
        return None
    return claims


def issue(
    secret: str,
    user_id: str,
    ttl_seconds: float,
    *,
    issuer: str,
    audience: str,
    issued_at: float,
    is_admin: bool = False,
) -> str:
    """A token as `holdfast token` and the demo page hand out. `issued_at`: Unix seconds."""
    now = int(issued_at)
    claims: dict[str, Any] = {"sub": user_id, "iat": now, "exp": now + int(ttl_seconds), "iss": issuer, "aud": audience}
    claims["jti"] = secrets.token_urlsafe(12)
    if is_admin:
        claims["scope"] = ADMIN_SCOPE
    return jwt.encode(claims, secret, algorithm="HS256")
