"""Tokens signed with a shared secret, for `holdfast token` and for the front's `POST /demo/token`.

Owns the form of such a token (RFC 7519 claims `sub iat exp iss aud jti`, HS256) and the places where a local secret is looked
for. Nothing but the token is printed, so that `TOKEN=$(holdfast token user123)` works.
"""

import argparse
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import jwt
from pydantic import SecretStr

from holdfast import settings
from holdfast.domain import ids
from holdfast.errors import CommandError, ConfigurationError, InvalidRequest

LOCAL_NAME = "holdfast"
"""Issuer and audience of a local cluster's tokens: the defaults of `AuthSettings`, which its instances run with."""
ADMIN_SCOPE = "holdfast:admin"
SECRET_FILE = "secret"  # noqa: S105 - the file's name inside the data directory, not a secret
_DEFAULT_DATA = Path(".data")
_MAX_TOKEN_CHARACTERS = 16_384  # more than instances take: they say so themselves
_SECRET_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as the hash


def mint(
    secret: str,
    user_id: str,
    *,
    ttl_seconds: int,
    is_admin: bool = False,
    issuer: str = LOCAL_NAME,
    audience: str = LOCAL_NAME,
) -> tuple[str, int]:
    """A signed token for `user_id` and its expiry in Unix seconds.

    Raises:
        InvalidRequest: `user_id` is not one.
    """
    issued_at = int(time.time())
    expires_at = issued_at + ttl_seconds
    claims: dict[str, str | int] = {
        "sub": ids.user_id(user_id),
        "iat": issued_at,
        "exp": expires_at,
        "iss": issuer,
        "aud": audience,
        "jti": secrets.token_hex(16),
    }
    if is_admin:
        claims["scope"] = ADMIN_SCOPE
    return jwt.encode(claims, secret, algorithm="HS256"), expires_at


def keep_secret(data: Path) -> Path:
    """The file of `data`'s secret, created (0600) on the first call and never changed afterwards.

    Raises:
        ConfigurationError: it cannot be created, or is too short to be one.
    """
    path = data / SECRET_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        read_secret(data)
        return path
    except OSError as error:
        raise ConfigurationError(f"cannot keep a secret in {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(_SECRET_BYTES) + "\n")
    return path


def read_secret(data: Path) -> str:
    """The secret that a `holdfast up` keeps in `data`.

    Raises:
        ConfigurationError: there is none, or it is too short.
    """
    path = data / SECRET_FILE
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the secret in {path}: {error}") from None
    if len(secret.encode()) < _SECRET_BYTES:
        raise ConfigurationError(f"{path}: a secret has at least {_SECRET_BYTES} bytes; remove the file to have a new one made")
    return secret


def _signing(data: Path | None) -> tuple[str, str, str]:
    """(secret, issuer, audience): a named directory first, then the environment, then the directory that `up` uses."""
    if data is None:
        auth = settings.load().auth
        if auth.secret is not None:
            return auth.secret.get_secret_value(), auth.issuer, auth.audience
        if not (_DEFAULT_DATA / SECRET_FILE).exists():
            raise ConfigurationError(
                "no secret: set HOLDFAST_AUTH__SECRET, or run this where `holdfast up` has its .data, or name it with --data DIR"
            )
    return read_secret(data or _DEFAULT_DATA), LOCAL_NAME, LOCAL_NAME


def local_token(user_id: str, data: Path | None = None, *, ttl_seconds: int = 3_600, is_admin: bool = False) -> str:
    """A token for `user_id`, signed with the secret that is found here.

    Raises:
        ConfigurationError: there is none, or `user_id` is not one.
    """
    secret, issuer, audience = _signing(data)
    try:
        token, _ = mint(secret, user_id, ttl_seconds=ttl_seconds, is_admin=is_admin, issuer=issuer, audience=audience)
    except InvalidRequest as error:
        raise ConfigurationError(f"USER: {error.detail}") from None
    return token


def run(args: argparse.Namespace) -> int:
    """Print a token, or with `--check` what an instance would say of the one on standard input; 1 when it would refuse it."""
    if args.check:
        return _check(args)
    print(local_token(args.user, args.data, ttl_seconds=args.ttl, is_admin=args.admin))
    return 0


def _check(args: argparse.Namespace) -> int:
    from holdfast.bootstrap import token_check  # here: what an instance is made of, which making a token does not need

    auth = settings.load().auth if args.data is None else settings.AuthSettings()
    if auth.secret is None and auth.jwks_url is None:
        secret, _, _ = _signing(args.data)
        auth = settings.AuthSettings(secret=SecretStr(secret))
    token = sys.stdin.readline(_MAX_TOKEN_CHARACTERS).strip()
    try:
        identity = token_check(auth).verify(token.removeprefix("Bearer ").strip())
    except CommandError as error:
        print(f"401 {error.code}: {error.detail}")
        return 1
    until = datetime.fromtimestamp(identity.expires_at, UTC).isoformat().replace("+00:00", "Z")
    print(f"valid: {identity.user_id}, until {until}{', an administrator' if identity.is_admin else ''}")
    return 0
