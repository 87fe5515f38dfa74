"""The opening handshake as a function: a request in, an offer or a refusal out."""

import json

import pytest

from holdfast.errors import CommandError
from holdfast.web.handshake import Offer, Refusal, UpgradeRequest, acceptance, examine, refusal_of, refused

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
ORIGINS = ("https://app.example.com",)


def _request(*headers: tuple[bytes, bytes], url: bytes = b"/ws", method: str = "GET") -> UpgradeRequest:
    good = [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", KEY)]
    replaced = {name for name, _ in headers}
    return UpgradeRequest(method, url, [*((name, value) for name, value in good if name not in replaced), *headers])


def _code(request: UpgradeRequest, origins: tuple[str, ...] = ()) -> str:
    with pytest.raises(Refusal) as refusal:
        examine(request, origins)
    return refusal.value.code


def test_the_answer_of_the_rfc() -> None:
    """RFC 6455 §1.3 gives a key and what is to be answered to it."""
    answer = acceptance(examine(_request(), ())).decode()
    assert "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert "Protocol" not in answer.replace("Switching Protocols", "")


@pytest.mark.parametrize(
    ("headers", "offer"),
    [
        ([], Offer(KEY, None, None, may_explain=False)),
        ([(b"authorization", b"Bearer t")], Offer(KEY, None, "t", may_explain=False)),
        ([(b"authorization", b"bearer   t ")], Offer(KEY, None, "t", may_explain=False)),
        ([(b"authorization", b"Basic t")], Offer(KEY, None, None, may_explain=False)),
        ([(b"authorization", b"Bearer")], Offer(KEY, None, None, may_explain=False)),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], Offer(KEY, None, None, may_explain=False)),
        ([(b"sec-websocket-protocol", b"holdfast.v1")], Offer(KEY, "holdfast.v1", None, may_explain=False)),
        ([(b"sec-websocket-protocol", b"bearer.t , holdfast.v1")], Offer(KEY, "holdfast.v1", "t", may_explain=True)),
        (
            [(b"sec-websocket-protocol", b"bearer.t"), (b"sec-websocket-protocol", b"holdfast.v1")],
            Offer(KEY, "holdfast.v1", "t", may_explain=True),
        ),
        ([(b"sec-websocket-protocol", b"holdfast.v1,bearer.a,bearer.b")], Offer(KEY, "holdfast.v1", None, may_explain=False)),
        (
            [(b"sec-websocket-protocol", b"holdfast.v1,bearer.page"), (b"authorization", b"Bearer app")],
            Offer(KEY, "holdfast.v1", "app", may_explain=False),
        ),
    ],
)
def test_what_is_offered(headers: list[tuple[bytes, bytes]], offer: Offer) -> None:
    """A header wins over a subprotocol; two of one kind count as no token; only the protocol's own name is echoed."""
    assert examine(_request(*headers), ()) == offer


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_request(url=b"/"), "not_found"),
        (_request(url=b"/ws/"), "not_found"),
        (_request(url=b"/WS"), "not_found"),
        (_request(url=b"/ws%00"), "not_found"),
        (_request(method="POST"), "method_not_allowed"),
        (_request((b"sec-websocket-version", b"12")), "upgrade_required"),
        (_request((b"sec-websocket-version", b"13"), (b"sec-websocket-version", b"13")), "upgrade_required"),
        (_request((b"sec-websocket-key", b"")), "invalid_request"),
        (_request((b"sec-websocket-key", b"\xff" * 24)), "invalid_request"),
        (_request((b"sec-websocket-key", KEY + b"\n")), "invalid_request"),
        (_request((b"sec-websocket-key", KEY), (b"sec-websocket-key", KEY)), "invalid_request"),
        (_request((b"sec-websocket-protocol", b"chat")), "unsupported_protocol"),
        (_request((b"sec-websocket-protocol", b"")), "unsupported_protocol"),
        (_request((b"sec-websocket-protocol", b"\xff")), "unsupported_protocol"),
    ],
)
def test_what_is_no_handshake(request_: UpgradeRequest, code: str) -> None:
    """Each for its own reason."""
    assert _code(request_) == code


@pytest.mark.parametrize("origin", [b"null", b"", b"*", b"https://app.example.com.evil.com", b"HTTPS://app.example.com", b"\xff"])
def test_an_origin_is_compared_whole(origin: bytes) -> None:
    """No prefix, no suffix, no pattern."""
    assert _code(_request((b"origin", origin)), ORIGINS) == "origin_not_allowed"
    assert examine(_request((b"origin", origin)), ())


def test_origins_that_are_allowed() -> None:
    """Apps send none; a page of ours sends ours; an additional foreign one spoils it."""
    ours = (b"origin", b"https://app.example.com")
    assert examine(_request(), ORIGINS)
    assert examine(_request(ours), ORIGINS)
    assert _code(_request(ours, (b"origin", b"https://evil.com")), ORIGINS) == "origin_not_allowed"


def test_a_refusal_is_a_problem_with_its_headers() -> None:
    """503 says when to come back, rounded up; 401 says how to prove who one is."""
    head, _, body = refused(refusal_of(CommandError("overloaded", "full", retry_after_ms=1_001))).decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert "Retry-After: 2" in head.split("\r\n")
    assert json.loads(body)["code"] == "overloaded"
    assert json.loads(body)["retryable"] is True
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in refused(refusal_of(CommandError("token_expired", "over")))
