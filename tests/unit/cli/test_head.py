"""The front's reading of a request head: what it understands, refuses and rewrites."""

import pytest

from holdfast.cli.front.head import MAX_BYTES, HeadRefused, parse

_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost:8000\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Protocol: holdfast.v1, bearer.x\r\n\r\n"
)


def _get(*headers: str, target: str = "/api/health") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def test_an_upgrade_is_passed_on_byte_for_byte() -> None:
    """The handshake belongs to the client and the instance; a front that rewrites it would break what it does not know."""
    head = parse(_UPGRADE)
    assert head.is_websocket
    assert head.for_instance() == _UPGRADE


def test_a_plain_request_is_told_to_close() -> None:
    """A connection kept alive would pin a browser to one instance, and hide that any of them can answer."""
    head = parse(_get("Connection: keep-alive", "Keep-Alive: timeout=5", "X-Mine: kept"))
    sent = head.for_instance().decode()
    assert not head.is_websocket
    assert "Connection: close\r\n\r\n" in sent
    assert "keep-alive" not in sent.lower()
    assert "X-Mine: kept\r\n" in sent


def test_an_upgrade_to_something_else_is_a_plain_request() -> None:
    """`curl --http2` offers h2c; an instance that accepted it would speak a language the front cannot spread."""
    head = parse(_get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAM"))
    assert "h2c" not in head.for_instance().decode()


@pytest.mark.parametrize(
    "headers",
    [
        ("Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"),
        ("Connection: Upgrade", "Connection: keep-alive", "Upgrade: WebSocket"),
        ("Connection: Upgrade", "Upgrade: h2c, websocket"),
        ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
    ],
)
def test_an_upgrade_may_be_one_element_of_a_list(headers: tuple[str, ...]) -> None:
    """Connection and Upgrade are lists, in one line or in several (RFC 9110 §5.3): proxies add their own."""
    assert parse(_get(*headers, target="/ws")).is_websocket


def test_the_path_is_the_target_without_its_query() -> None:
    """`/?user=user123` is the page."""
    assert parse(_get(target="/?user=user123")).path == "/"


def test_header_names_have_no_case_and_repeated_ones_are_one_list() -> None:
    """RFC 9110: both spellings mean the same."""
    head = parse(_get("ACCEPT: a", "accept: b"))
    assert head.header("accept") == "a, b"
    assert head.header("cookie") == ""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_BYTES + b"\r\n\r\n", 431),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", 400),
    ],
)
def test_what_is_no_head_is_refused(raw: bytes, status: int) -> None:
    """Two readings of one head are how requests are smuggled: what is odd goes no further."""
    with pytest.raises(HeadRefused) as refused:
        parse(raw)
    assert refused.value.status == status
