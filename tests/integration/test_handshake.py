"""The opening handshake and the life of a token: which clients are admitted, the echoed headers, and the end of a socket with its
token."""

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.chatting import Chatter, Rest
from support.eventually import eventually
from support.hostile import Hostile
from support.instances import Instances, Serving, token
from support.raw_socket import CLOSE, TEXT, Raw, ws_frame

ORIGIN = "https://app.example.com"


async def _offering(serving: Serving, *subprotocols: str) -> tuple[str | None, list[dict[str, Any]], int]:
    """Connect as a browser does; returns the echoed subprotocol, the frames, and the close code."""
    frames = []
    offered: Any = list(subprotocols) or None
    async with connect(serving.ws_url, subprotocols=offered, proxy=None) as socket:
        try:
            async for text in socket:
                frames.append(json.loads(text))
                if frames[-1]["type"] == "welcome":
                    await socket.close()
        except ConnectionClosed:
            pass
        return socket.subprotocol, frames, socket.close_code or 1006


async def test_a_browser_gets_in_with_its_token_as_a_subprotocol(hostile: Hostile) -> None:
    """Only `holdfast.v1` is echoed, wherever it stood and whatever else was offered."""
    user = hostile.user()
    bearer = f"bearer.{token(user)}"
    for offered in (("holdfast.v1", bearer), (bearer, "holdfast.v1"), ("graphql-ws", bearer, "holdfast.v2", "holdfast.v1")):
        echoed, frames, _ = await _offering(hostile.serving, *offered)
        assert (echoed, frames[0]["type"], frames[0]["user_id"]) == ("holdfast.v1", "welcome", user)


async def test_without_a_subprotocol_none_is_echoed(hostile: Hostile) -> None:
    """As wscat connects."""
    async with Raw(hostile.serving) as client:
        answered = await client.upgrade(authorization=f"Bearer {token(hostile.user())}")
        assert answered.status == 101
        assert "sec-websocket-protocol" not in answered.headers
        assert "sec-websocket-extensions" not in answered.headers
        assert json.loads((await client.frame())[1])["protocol"] == "holdfast.v1"


async def test_compression_is_never_agreed(hostile: Hostile) -> None:
    """A frame is encoded once for all: nothing of a connection's own may change it."""
    async with Raw(hostile.serving) as client:
        extension = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        answered = await client.upgrade(extension, authorization=f"Bearer {token(hostile.user())}")
        assert answered.status == 101
        assert "sec-websocket-extensions" not in answered.headers


@pytest.mark.parametrize("offered", ["graphql-ws", "holdfast.v2", "HOLDFAST.V1", "holdfast.v1x", "bearer.x", "a, b"])
async def test_only_other_subprotocols(hostile: Hostile, offered: str) -> None:
    """400, since nothing that the client speaks is spoken here."""
    async with Raw(hostile.serving) as client:
        answered = await client.upgrade(authorization=f"Bearer {token(hostile.user())}", sec_websocket_protocol=offered)
        assert (answered.status, answered.problem["code"]) == (400, "unsupported_protocol")
        await client.ended()


async def _refused(client: Raw, status: int, code: str, *lines: str, **request: Any) -> dict[str, str]:
    answered = await client.upgrade(*lines, **request)
    problem = answered.problem
    assert (answered.status, problem["status"], problem["code"]) == (status, status, code), answered
    assert problem["type"] == f"urn:holdfast:problem:{code}"
    assert problem["detail"]
    await client.ended()
    return answered.headers


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (404, "not_found", {"path": "/other"}),
        (404, "not_found", {"path": "/ws/"}),
        (404, "not_found", {"path": "/api/health"}),
        (404, "not_found", {"path": "http://elsewhere/ws"}),
        (405, "method_not_allowed", {"method": "POST"}),
        (426, "upgrade_required", {"sec_websocket_version": "8"}),
        (426, "upgrade_required", {"sec_websocket_version": None}),
        (400, "invalid_request", {"sec_websocket_key": None}),
        (400, "invalid_request", {"sec_websocket_key": "dG9vIHNob3J0"}),
        (400, "invalid_request", {"sec_websocket_key": "not base64 at all!!!!!!!"}),
        (401, "unauthenticated", {}),
        (401, "unauthenticated", {"authorization": "Bearer x"}),
        (401, "unauthenticated", {"authorization": "Basic dXNlcjpwYXNz"}),
    ],
)
async def test_an_upgrade_that_is_refused(hostile: Hostile, status: int, code: str, request_: dict[str, Any]) -> None:
    """An HTTP answer with a problem document, and the connection is closed."""
    request = {"authorization": f"Bearer {token(hostile.user())}"} if code != "unauthenticated" else {}
    async with Raw(hostile.serving) as client:
        headers = await _refused(client, status, code, **request | request_)
        assert ("www-authenticate" in headers) == (status == 401)
        assert headers.get("sec-websocket-version") == ("13" if status == 426 else None)
        assert headers.get("allow") == ("GET" if status == 405 else None)


async def test_a_token_in_the_query_string_or_twice_is_not_taken(hostile: Hostile) -> None:
    """Addresses end up in logs; and of two identities none is guessed."""
    bearer = token(hostile.user())
    async with Raw(hostile.serving) as client:
        await _refused(client, 401, "unauthenticated", path=f"/ws?token={bearer}&access_token={bearer}")
    async with Raw(hostile.serving) as client:
        lines = [f"Authorization: Bearer {bearer}", f"Authorization: Bearer {token(hostile.user())}"]
        await _refused(client, 401, "unauthenticated", *lines)
    both = ("holdfast.v1", f"bearer.{bearer}", f"bearer.{token(hostile.user())}")
    with pytest.raises(InvalidStatus) as refused:
        await _offering(hostile.serving, *both)
    assert refused.value.response.status_code == 401


async def test_a_plain_request_to_the_socket(hostile: Hostile) -> None:
    """426 says what is spoken here."""
    async with Raw(hostile.serving) as client:
        client.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
        answered = await client.answer()
        assert (answered.status, answered.problem["code"]) == (426, "upgrade_required")
        assert answered.headers["upgrade"] == "websocket"


@pytest.mark.parametrize("pieces", [1, 40])
async def test_headers_over_16_kb(hostile: Hostile, pieces: int) -> None:
    """431 and closed, whether they come in one read or in many; requests that fit are served."""
    bearer = token(hostile.user())
    for size, status in ((15_000, 101), (17_000, 431), (60_000, 431)):
        async with Raw(hostile.serving) as client:
            padding = [f"X-Padding-{number}: {'x' * (size // pieces - 16)}" for number in range(pieces)]
            answered = await client.upgrade(*padding, authorization=f"Bearer {bearer}")
            assert answered.status == status, size
            if status == 431:
                assert answered.problem["status"] == 431
                await client.ended()


async def test_endless_headers_and_a_second_head_on_a_kept_connection(hostile: Hostile) -> None:
    """Bounded memory, on the first request of a connection as on the next."""
    async with Raw(hostile.serving) as client:
        client.send(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).status == 200
        client.send(b"GET /api/health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 16_500)
        assert (await client.answer()).status == 431
        await client.ended()
    async with Raw(hostile.serving) as client:
        client.send(b"GET /" + b"a" * 17_000)
        assert (await client.answer()).status == 431
        await client.ended()


async def test_half_a_handshake_is_closed(hostile: Hostile) -> None:
    """Whatever part of it came, within 5 s; the wait is the same for all, so they wait together."""

    async def half(sent: bytes) -> None:
        async with Raw(hostile.serving) as client:
            client.send(sent)
            await client.ended(within=5)

    kept = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    await asyncio.gather(*(half(sent) for sent in (b"", b"G", head, kept + head)))


async def test_a_bad_token_offered_by_a_page_leaves_no_trace(
    hostile: Hostile,
) -> None:
    """The upgrade completes so that the page can see why it fails; the registry never hears of it."""
    users = [hostile.user() for _ in range(3)]
    hostile.known.difference_update(users)  # no key and no row may carry their names
    offers = [
        (f"bearer.{token(users[0], secret='another-secret-that-is-long-enough')}", "unauthenticated", 4501),
        ("bearer.x", "unauthenticated", 4501),
        (f"bearer.{token(users[1], -60)}", "token_expired", 4002),
    ]
    for offered, code, close_code in offers:
        echoed, frames, closed_with = await _offering(hostile.serving, "holdfast.v1", offered)
        assert (echoed, closed_with) == ("holdfast.v1", close_code)
        assert [(frame["type"], frame["code"]) for frame in frames] == [("error", code)]


async def test_a_page_with_a_bad_token_that_does_not_close_is_cut(hostile: Hostile) -> None:
    """Within a second or so, whatever it sends and without an answer to any of it."""
    async with Raw(hostile.serving) as client:
        answered = await client.upgrade(sec_websocket_protocol="holdfast.v1, bearer.x")
        assert answered.status == 101
        client.send(ws_frame(TEXT, b'{"type":"hello"}') + ws_frame(TEXT, b'{"type":"ping"}'))
        assert await client.close_code() == 4501
        await client.ended(within=3)
        assert [opcode for opcode, _ in client.frames] == [TEXT, CLOSE]


async def test_too_many_connections_of_one_user(sqlite_instances: Instances, operator: "Redis") -> None:
    """Told to a page as 4005; counted over all instances, and the one too many is in no registry."""
    a, b = await sqlite_instances.start("instance-1", "instance-2", HOLDFAST_LIMITS__CONNECTIONS_PER_USER="1")
    async with Chatter(a, "alice"):
        echoed, frames, code = await _offering(a, "holdfast.v1", f"bearer.{token('alice')}")
        assert (echoed, code) == ("holdfast.v1", 4005)
        assert (frames[0]["code"], frames[0]["retryable"]) == ("connection_limit", True)
        with pytest.raises(InvalidStatus) as refused:
            await Chatter(a, "alice").connect()
        assert refused.value.response.status_code == 429
        elsewhere = Chatter(b, "alice")
        await elsewhere.connect(hello=False)
        assert await elsewhere.closed() == 4005
        assert elsewhere.frames[-1]["code"] == "connection_limit"
        await eventually(lambda: _count(operator, "connections:alice", 1))
    await Chatter(b, "bob").connect()


async def _count(operator: "Redis", key: str, count: int) -> bool:
    return await operator.hlen(key) == count


@pytest.mark.parametrize(
    "origin",
    ["https://evil.com", "null", "https://app.example.com.evil.com", "http://app.example.com", "https://app.example.com:444",
     "https://APP.example.com", "https://app.example.com/", "https://evil.com, https://app.example.com", "", "*"],
)  # fmt: skip
async def test_a_foreign_origin(origins: Serving, origin: str) -> None:
    """403 before the upgrade, with any token; look-alikes too."""
    async with Raw(origins) as client:
        await _refused(client, 403, "origin_not_allowed", authorization=f"Bearer {token('alice')}", origin=origin)


async def test_two_origins_are_not_one_that_is_allowed(origins: Serving) -> None:
    """A header that stands twice must not slip through as none."""
    async with Raw(origins) as client:
        lines = (f"Origin: {ORIGIN}", "Origin: https://evil.com")
        await _refused(client, 403, "origin_not_allowed", *lines, authorization=f"Bearer {token('alice')}")


async def test_our_origin_and_none_at_all(origins: Serving) -> None:
    """Apps send none; REST answers a foreign page without the header that would let it read the answer."""
    for origin in (ORIGIN, None):
        async with Raw(origins) as client:
            assert (await client.upgrade(authorization=f"Bearer {token('alice')}", origin=origin)).status == 101
    async with Rest(origins, "alice") as rest:
        for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.com", None)):
            answer = await rest.get("/api/conversations", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
