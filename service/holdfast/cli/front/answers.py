"""What the front says itself: files, tokens and problems (RFC 9457), each on a connection that then ends."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from holdfast.protocol.codes import CODES
from holdfast.web.shielded import NO_SNIFFING, NOTHING_RUNS

_CODE_OF_STATUS = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    503: "overloaded",
}


def answer(status: int, headers: Mapping[str, str], body: bytes = b"", *, has_body: bool = True) -> bytes:
    """A whole HTTP/1.1 answer; `has_body=False` is for HEAD: the length, but not the bytes."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in dict((NO_SNIFFING, NOTHING_RUNS), **headers).items()]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body if has_body else b"")


def json_answer(status: int, value: object) -> bytes:
    """`value` as JSON that may not be cached."""
    body = json.dumps(value).encode()
    return answer(status, {"Content-Type": "application/json", "Cache-Control": "no-store"}, body)


def problem(status: int, detail: str, *, retry_after_seconds: int | None = None) -> bytes:
    """A problem with the code that the instances would use; statuses of HTTP itself (408, 431) are `invalid_request`."""
    code = _CODE_OF_STATUS.get(status, "invalid_request")
    value: dict[str, object] = {
        "type": f"urn:holdfast:problem:{code}",
        "title": CODES[code].title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": CODES[code].is_retryable,
    }
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if retry_after_seconds is not None:
        value["retry_after_ms"] = retry_after_seconds * 1_000
        headers["Retry-After"] = str(retry_after_seconds)
    return answer(status, headers, json.dumps(value).encode())
