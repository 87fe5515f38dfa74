"""Whose word is believed: JWTs with a shared secret or from a JWKS, algorithms pinned by the kind of key."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jwt

from holdfast.domain.ids import UserId, is_id
from holdfast.errors import CommandError, ConfigurationError
from holdfast.ports import Clock
from holdfast.settings import AuthSettings
from holdfast.web.jwks import Jwks

ADMIN_SCOPE: Final = "holdfast:admin"
MAX_TOKEN_CHARACTERS: Final = 8_192
_REQUIRED: Final = ["exp", "iat", "sub", "aud", "iss"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody proved to be. Times are Unix seconds."""

    user_id: UserId
    is_admin: bool
    issued_at: int
    expires_at: int


class Authenticator:
    """Checks tokens; pure but for the clock and the JWKS, whose keys are fetched in the background."""

    def __init__(
        self, settings: AuthSettings, is_revoked: Callable[[UserId, int], bool], jwks: Jwks | None, clock: Clock
    ) -> None:
        if settings.secret is None and jwks is None:
            raise ConfigurationError("HOLDFAST_AUTH__SECRET: neither it nor HOLDFAST_AUTH__JWKS_URL is set")
        secrets = (settings.secret, settings.previous_secret)
        self._secrets = [secret.get_secret_value() for secret in secrets if secret is not None]
        self._settings = settings
        self._is_revoked = is_revoked
        self._jwks = jwks
        self._clock = clock

    def verify(self, token: str) -> Identity:
        """Who the bearer is.

        Raises:
            CommandError: `unauthenticated`, `token_expired` or `token_revoked`.
        """
        claims = self._claims(token)
        subject, issued_at, expires_at = claims.get("sub"), claims.get("iat"), claims.get("exp")
        if not isinstance(subject, str) or not is_id(subject):
            raise CommandError("unauthenticated", "the token's subject is not an id")
        if not isinstance(issued_at, int | float) or not isinstance(expires_at, int | float):
            raise CommandError("unauthenticated", "the token's times are not numbers")
        scope = claims.get("scope", "")
        identity = Identity(
            user_id=UserId(subject),
            is_admin=isinstance(scope, str) and ADMIN_SCOPE in scope.split(),
            issued_at=int(issued_at),
            expires_at=int(min(expires_at, 253_402_300_799)),  # the year 9999: what RFC 3339 can say
        )
        if self._is_revoked(identity.user_id, identity.issued_at):
            raise CommandError("token_revoked", "the token was revoked")
        return identity

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise CommandError("unauthenticated", "the token is too long")
        header = self._header(token.partition(".")[0])
        if "crit" in header:
            raise CommandError("unauthenticated", "the token demands what is not understood here")
        for key, algorithms in self._keys(header):
            try:
                return self._decode(token, key, algorithms)
            except jwt.ExpiredSignatureError:
                raise CommandError("token_expired", "the token has expired") from None
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
                raise CommandError("unauthenticated", "the token is not valid here") from None
        raise CommandError("unauthenticated", "the token's signature is not known here")

    @staticmethod
    @lru_cache(maxsize=64)
    def _header(encoded: str) -> dict[str, Any]:
        """The header by its encoded form: an issuer writes the same one on every token."""
        try:
            header = jwt.get_unverified_header(f"{encoded}.e30.")
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise CommandError("unauthenticated", "not a token") from None
        if any(isinstance(value, dict | list) for value in header.values()):
            raise CommandError("unauthenticated", "the token's header carries more than is understood here")
        return header

    def _keys(self, header: dict[str, Any]) -> list[tuple[Any, list[str]]]:
        """Keys to try, each with the only algorithms it may be used with: no confusion of public keys and secrets."""
        if header.get("alg") == "HS256":
            return [(secret, ["HS256"]) for secret in self._secrets]
        if self._jwks is not None:
            key = self._jwks.key(header.get("kid"))
            return [] if key is None else [(key, ["RS256", "ES256", "EdDSA"])]
        return []

    def _decode(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            # The times are checked below: PyJWT would ask the machine's clock, not ours.
            options={"require": _REQUIRED, "verify_iat": False, "verify_nbf": False, "verify_exp": False},
        )
        self._check_times(claims)
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        """As PyJWT checks them (RFC 7519, 4.1.4 to 4.1.6), in whole seconds.

        Raises:
            jwt.PyJWTError: the token has expired, or is not valid yet.
            ValueError: a time is no number. TypeError, OverflowError: likewise.
        """
        now, leeway = self._clock.now_ms() / 1000, self._settings.leeway_seconds
        if max(int(claims["iat"]), int(claims.get("nbf", 0))) > now + leeway:
            raise jwt.ImmatureSignatureError("the token is not valid yet")
        if int(claims["exp"]) <= now - leeway:
            raise jwt.ExpiredSignatureError("the token has expired")


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
    if is_admin:
        claims["scope"] = ADMIN_SCOPE
    return jwt.encode(claims, secret, algorithm="HS256")
