"""The one table from an error to its HTTP status, its close code and whether trying again helps.

Close codes tell a client what to do: 1000 stop; 1001, 1006, 1011-1013 and 4000-4499 reconnect; 1002, 1003, 1007, 1009
reconnect at the longest back-off, without that frame; 1008 and 4500-4999 stop and tell the application.
"""

from enum import IntEnum
from typing import Final, NamedTuple


class CloseCode(IntEnum):
    """Why a socket ends (RFC 6455 §7.4.1, and our own from 4000)."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    SLOW_CONSUMER = 4000
    KEEPALIVE_TIMEOUT = 4001
    TOKEN_EXPIRED = 4002
    HELLO_TIMEOUT = 4003
    RATE_LIMITED = 4004
    CONNECTION_LIMIT = 4005
    TOKEN_TOO_EARLY = 4006
    UNAUTHENTICATED = 4501
    TOKEN_REVOKED = 4502


class CodeRow(NamedTuple):
    """One row of the table.

    Attributes:
        status: HTTP status, None where REST never answers it.
        close: close code when a socket ends for it, None where the socket stays or never opens.
        is_retryable: the same command, unchanged, may succeed later.
        title: short and constant, for RFC 9457.
    """

    status: int | None
    close: CloseCode | None
    is_retryable: bool
    title: str


CODES: Final[dict[str, CodeRow]] = {
    "unauthenticated": CodeRow(401, CloseCode.UNAUTHENTICATED, False, "No valid token"),
    "token_expired": CodeRow(401, CloseCode.TOKEN_EXPIRED, False, "The token has expired"),
    "token_revoked": CodeRow(401, CloseCode.TOKEN_REVOKED, False, "The token was revoked"),
    "token_too_early": CodeRow(401, CloseCode.TOKEN_TOO_EARLY, True, "Issued too soon after a revocation"),
    "refresh_rejected": CodeRow(None, None, False, "The new token was refused"),
    "origin_not_allowed": CodeRow(403, None, False, "This origin may not connect"),
    "forbidden": CodeRow(403, None, False, "Only the creator or an administrator may do this"),
    "unsupported_protocol": CodeRow(400, None, False, "None of the offered subprotocols is supported"),
    "upgrade_required": CodeRow(426, None, False, "A WebSocket upgrade is required"),
    "connection_limit": CodeRow(429, CloseCode.CONNECTION_LIMIT, True, "Too many connections"),
    "overloaded": CodeRow(503, CloseCode.TRY_AGAIN_LATER, True, "The instance is overloaded"),
    "draining": CodeRow(503, CloseCode.SERVICE_RESTART, True, "This instance is about to stop"),
    "rate_limited": CodeRow(429, CloseCode.RATE_LIMITED, True, "Too many requests"),
    "invalid_json": CodeRow(400, None, False, "Invalid JSON"),
    "invalid_request": CodeRow(400, None, False, "A field is missing or wrong"),
    "unknown_type": CodeRow(None, None, False, "Unknown type of frame"),
    "invalid_state": CodeRow(None, None, False, "Invalid state"),
    "hello_timeout": CodeRow(None, CloseCode.HELLO_TIMEOUT, True, "No hello frame in time"),
    "unsupported_media_type": CodeRow(415, CloseCode.UNSUPPORTED_DATA, False, "Only JSON text is accepted"),
    "body_too_large": CodeRow(413, None, False, "The body is too large"),
    "frame_too_large": CodeRow(413, CloseCode.TOO_BIG, False, "The frame is too large"),
    "conversation_not_found": CodeRow(404, None, False, "No such conversation"),
    "message_not_found": CodeRow(404, None, False, "No such message"),
    "user_not_found": CodeRow(404, None, False, "No such user"),
    "not_found": CodeRow(404, None, False, "Not found"),
    "method_not_allowed": CodeRow(405, None, False, "Method not allowed"),
    "conversation_exists": CodeRow(409, None, False, "This id is taken"),
    "idempotency_conflict": CodeRow(409, None, False, "Another message was sent under this id"),
    "limit_reached": CodeRow(409, None, False, "A limit is reached"),
    "store_unavailable": CodeRow(503, None, True, "The store does not answer"),
    "internal_error": CodeRow(500, CloseCode.INTERNAL_ERROR, True, "Internal error"),
    "slow_consumer": CodeRow(None, CloseCode.SLOW_CONSUMER, True, "The client reads too slowly"),
    "keepalive_timeout": CodeRow(None, CloseCode.KEEPALIVE_TIMEOUT, True, "The client was silent for too long"),
    "policy_violation": CodeRow(None, CloseCode.POLICY_VIOLATION, False, "Policy violation"),
}
