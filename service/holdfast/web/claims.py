"""What a token must say, once its signature is verified (RFC 7519 §4.1): a refusal names the claim, never its value."""

import math
from typing import Any, Final

from holdfast.domain.ids import is_id
from holdfast.errors import CommandError
from holdfast.settings import AuthSettings

_REQUIRED: Final = ("sub", "iat", "exp", "iss", "aud")
_TIMES: Final = ("iat", "exp", "nbf")


def check(claims: dict[str, Any], settings: AuthSettings) -> None:
    """Everything but the times.

    Raises:
        CommandError: `unauthenticated` with the first claim that is missing or wrong.
    """
    if missing := [name for name in _REQUIRED if claims.get(name) is None]:
        names = ", ".join(f'"{name}"' for name in missing)
        raise _refused(f"the claim {names} is missing" if len(missing) == 1 else f"the claims {names} are missing")
    if claims["iss"] != settings.issuer:
        raise _refused(f'the claim "iss" must be "{settings.issuer}"')
    if not _is_among(settings.audience, claims["aud"]):
        raise _refused(f'the claim "aud" must be "{settings.audience}", or a list with it')
    for name in _TIMES:
        if claims.get(name) is not None and not _is_time(claims[name]):
            raise _refused(f'the claim "{name}" must be a number, the seconds since 1970')
    if not isinstance(claims["sub"], str) or not is_id(claims["sub"]):
        raise _refused('the claim "sub" must be a user\'s id: 1 to 128 of A-Z a-z 0-9 _ -')


def check_times(claims: dict[str, Any], leeway_seconds: float, now_seconds: float) -> None:
    """Of claims that `check` accepted. `now_seconds`: Unix time.

    Raises:
        CommandError: `unauthenticated` for a token that is not valid yet, or `token_expired`.
    """
    for name in ("iat", "nbf"):
        if int(claims.get(name) or 0) > now_seconds + leeway_seconds:
            raise _refused(f'the claim "{name}" is in the future: the token is not valid yet, or the issuer\'s clock is ahead')
    if int(claims["exp"]) <= now_seconds - leeway_seconds:
        raise CommandError("token_expired", 'the token has expired: the time in the claim "exp" is over')


def _refused(detail: str) -> CommandError:
    return CommandError("unauthenticated", detail)


def _is_among(audience: str, claim: object) -> bool:
    return claim == audience or (isinstance(claim, list) and audience in claim)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
