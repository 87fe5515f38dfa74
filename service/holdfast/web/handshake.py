"""The opening handshake of RFC 6455 as a pure function: a request in, an acceptance or a refusal out."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from holdfast.errors import CommandError
from holdfast.protocol.codes import CODES
from holdfast.protocol.frames import PROTOCOL
from holdfast.web.shielded import NO_SNIFFING, NOTHING_RUNS

PATH: Final = b"/ws"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_BEARER: Final = "bearer."
_VERSION: Final = b"13"


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """An HTTP request that asks for an upgrade; header names in lower case, in order."""

    method: str
    url: bytes
    headers: list[tuple[bytes, bytes]]

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header."""
        return [value for header, value in self.headers if header == name]

    def value(self, name: bytes) -> bytes | None:
        """The value of a header that may stand once."""
        values = self.values(name)
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Offer:
    """A well-formed upgrade.

    Attributes:
        key: for the answer's `Sec-WebSocket-Accept`.
        subprotocol: what to echo, None when none was offered.
        token: the bearer's, None when there is none.
        may_explain: the token came as a subprotocol, from a page that cannot see why an upgrade fails.
    """

    key: bytes
    subprotocol: str | None
    token: str | None
    may_explain: bool


class Refusal(Exception):
    """The upgrade is answered with this instead of 101."""

    def __init__(self, status: int, code: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers


def examine(request: UpgradeRequest, allowed_origins: tuple[str, ...]) -> Offer:
    """Check everything that needs no key and no state.

    Raises:
        Refusal: what is answered instead.
    """
    if request.url.partition(b"?")[0] != PATH:
        raise Refusal(404, "not_found", "WebSocket is served at /ws")
    if request.method != "GET":
        raise Refusal(405, "method_not_allowed", "an upgrade is a GET", (("Allow", "GET"),))
    if request.value(b"sec-websocket-version") != _VERSION:
        raise Refusal(426, "upgrade_required", "WebSocket version 13", (("Sec-WebSocket-Version", "13"),))
    key = request.value(b"sec-websocket-key") or b""
    if not _is_key(key):
        raise Refusal(400, "invalid_request", "Sec-WebSocket-Key is 16 bytes in base64")
    origins = [value.decode("latin-1") for value in request.values(b"origin")]  # one that stands twice is not none
    if allowed_origins and not set(origins) <= set(allowed_origins):
        raise Refusal(403, "origin_not_allowed", "this origin may not connect")
    return _offer(request, key)


def acceptance(offer: Offer) -> bytes:
    """The 101."""
    accept = base64.b64encode(hashlib.sha1(offer.key + _GUID, usedforsecurity=False).digest())
    echo = b"" if offer.subprotocol is None else b"\r\nSec-WebSocket-Protocol: " + offer.subprotocol.encode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + echo
        + b"\r\n\r\n"
    )


def refusal_of(error: CommandError) -> Refusal:
    """A command's error as an answer to an upgrade."""
    status = CODES[error.code].status or 400
    headers = [("WWW-Authenticate", "Bearer")] if status == HTTPStatus.UNAUTHORIZED else []
    if error.retry_after_ms is not None:
        headers.append(("Retry-After", str(max(1, -(-error.retry_after_ms // 1000)))))
    return Refusal(status, error.code, error.detail, tuple(headers))


def refused(refusal: Refusal) -> bytes:
    """The whole HTTP answer, a problem document (RFC 9457)."""
    row = CODES[refusal.code]
    body = json.dumps(
        {
            "type": f"urn:holdfast:problem:{refusal.code}",
            "title": row.title,
            "status": refusal.status,
            "code": refusal.code,
            "detail": refusal.detail,
            "retryable": row.is_retryable,
        }
    ).encode()
    phrase = HTTPStatus(refusal.status).phrase
    head = [
        f"HTTP/1.1 {refusal.status} {phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (NO_SNIFFING, NOTHING_RUNS, *refusal.headers)),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _offer(request: UpgradeRequest, key: bytes) -> Offer:
    offered = [part.strip() for value in request.values(b"sec-websocket-protocol") for part in value.decode("latin-1").split(",")]
    bearers = [part.removeprefix(_BEARER) for part in offered if part.startswith(_BEARER)]
    if offered and PROTOCOL not in offered:
        raise Refusal(400, "unsupported_protocol", f"{PROTOCOL} is spoken here")
    authorizations = request.values(b"authorization")
    if len(authorizations) > 1:  # of two identities none is guessed, nor is a third one taken instead
        return Offer(key, PROTOCOL if offered else None, None, may_explain=False)
    authorization = b"".join(authorizations).decode("latin-1")
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        token: str | None = credentials.strip()
        may_explain = False
    else:
        token = bearers[0] if len(bearers) == 1 else None
        may_explain = token is not None
    return Offer(key, PROTOCOL if offered else None, token, may_explain)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
