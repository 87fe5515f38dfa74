"""REST calls that are wrong in some way: each is a problem document with its code, and nothing is left behind."""

import asyncio
import base64
import json
from urllib.parse import quote

import pytest

from support.chatting import Chatter, Rest
from support.hostile import BAD_IDS, Hostile, assert_problem, refused_by_rest
from support.instances import token
from support.raw_socket import Raw

JSON = {"Content-Type": "application/json"}
CREATE, SEND = "/api/conversations", "/api/conversations/c/messages"
MESSAGE = {"client_message_id": "m", "body": "x"}

# name -> (method, path, body as text, code, field)
BAD_BODIES: dict[str, tuple[str, str, str | bytes, str, str | None]] = {
    "no json": ("POST", CREATE, "members", "invalid_json", None),
    "nan": ("POST", CREATE, '{"members":NaN}', "invalid_json", None),
    "bad utf-8": ("POST", CREATE, b'{"members":["\xff"]}', "invalid_json", None),
    "bad utf-8 in metadata": ("POST", CREATE, b'{"members":[],"metadata":{"a":"\xff"}}', "invalid_json", None),
    "utf-16": ("POST", CREATE, '{"members":[]}'.encode("utf-16"), "invalid_json", None),
    "lone surrogate": ("POST", CREATE, r'{"members":["\ud800"]}', "invalid_json", None),
    "deep": ("POST", CREATE, '{"members":[],"x":' + "[" * 50_000, "invalid_json", None),
    "nothing": ("POST", CREATE, "", "invalid_request", None),
    "array": ("POST", CREATE, "[]", "invalid_request", None),
    "no members": ("POST", CREATE, "{}", "invalid_request", "members"),
    "members null": ("POST", CREATE, '{"members":null}', "invalid_request", "members"),
    "members as text": ("POST", CREATE, '{"members":"bob"}', "invalid_request", "members"),
    "a member is a number": ("POST", CREATE, '{"members":[1]}', "invalid_request", "members[0]"),
    "4,000 digits": ("POST", CREATE, '{"members":[%s]}' % ("1" * 4_000), "invalid_request", "members[0]"),
    "too many members": ("POST", CREATE, json.dumps({"members": ["u"] * 1_001}), "invalid_request", "members"),
    "title too long": ("POST", CREATE, json.dumps({"members": [], "title": "x" * 201}), "invalid_request", "title"),
    "title is a number": ("POST", CREATE, '{"members":[],"title":1}', "invalid_request", "title"),
    "metadata is a list": ("POST", CREATE, '{"members":[],"metadata":[]}', "invalid_request", "metadata"),
    "metadata too deep": (
        "POST",
        CREATE,
        '{"members":[],"metadata":' + '{"a":' * 9 + "1" + "}" * 10,
        "invalid_request",
        "metadata",
    ),
    "body over the limit": ("POST", CREATE, "x" * 131_073, "body_too_large", None),
    "no text": ("POST", SEND, '{"client_message_id":"m"}', "invalid_request", "body"),
    "empty text": ("POST", SEND, json.dumps(MESSAGE | {"body": ""}), "invalid_request", "body"),
    "text too large": ("POST", SEND, json.dumps(MESSAGE | {"body": "x" * 16_385}), "body_too_large", "body"),
    "no client_message_id": ("POST", SEND, '{"body":"x"}', "invalid_request", "client_message_id"),
    "message metadata too large": (
        "POST",
        SEND,
        json.dumps(MESSAGE | {"metadata": {"a": "x" * 4_090}}),
        "invalid_request",
        "metadata",
    ),
    "active is text": ("POST", "/api/conversations/c/typing", '{"active":"yes"}', "invalid_request", "active"),
    "typing is no json": ("POST", "/api/conversations/c/typing", "x", "invalid_json", None),
    "update title": ("PATCH", "/api/conversations/c", json.dumps({"title": ["x"]}), "invalid_request", "title"),
    "update metadata": ("PATCH", "/api/conversations/c", '{"metadata":1}', "invalid_request", "metadata"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_a_problem_that_names_its_field(hostile: Hostile, name: str) -> None:
    """The same codes as on the socket."""
    method, path, text, code, field = BAD_BODIES[name]
    content = text.encode() if isinstance(text, str) else text
    answer = await refused_by_rest(hostile, hostile.user(), method, path, code, field=field, content=content, headers=JSON)
    assert answer.json().get("retryable") is False
    assert len(answer.content) < 1_000


def _in_path(bad: str) -> str:
    return quote(bad, safe="").replace(".", "%2E")


PATHS = (
    ("GET", "/api/conversations/{}"),
    ("PATCH", "/api/conversations/{}"),
    ("GET", "/api/conversations/{}/messages"),
    ("POST", "/api/conversations/{}/messages"),
    ("POST", "/api/conversations/{}/typing"),
    ("POST", "/api/conversations/{}/messages/000000000001/read"),
    ("POST", "/api/conversations/c/messages/{}/read"),
    ("PUT", "/api/conversations/c/members/{}"),
    ("DELETE", "/api/conversations/c/members/{}"),
    ("PUT", "/api/conversations/{}/members/bob"),
    ("GET", "/api/users/{}/presence"),
    ("DELETE", "/api/users/{}/connections"),
    ("POST", "/{}/typing"),
    ("POST", "/{}/messages/000000000001/read"),
    ("POST", "/c/messages/{}/read"),
)


@pytest.mark.parametrize(("method", "template"), PATHS)
async def test_a_bad_id_in_a_path_names_nothing(hostile: Hostile, method: str, template: str) -> None:
    """Refused by its alphabet; a slash or nothing at all is an address that does not exist."""
    async with Rest(hostile.serving, hostile.user(), is_admin=True) as rest:
        for name, bad in BAD_IDS.items():
            body = {"json": MESSAGE} if method in ("POST", "PATCH") else {}
            answer = await rest.request(method, template.format(_in_path(bad)), **body)
            if name in ("slash", "empty"):
                assert answer.status_code in (404, 405), (name, answer.text)
                assert_problem(answer, answer.json()["code"])
            else:
                assert_problem(answer, "invalid_request")
                assert answer.status_code == 400


@pytest.mark.parametrize("name", BAD_IDS)
async def test_a_bad_id_in_a_body_creates_nothing(hostile: Hostile, name: str) -> None:
    """In every field of a body that is an id."""
    bad, user = BAD_IDS[name], hostile.user()
    for field, body in (("members", {"members": [bad]}), ("conversation_id", {"members": [], "conversation_id": bad})):
        await refused_by_rest(hostile, user, "POST", CREATE, "invalid_request", field=field, json=body)
    message = {"client_message_id": bad, "body": "x"}
    await refused_by_rest(hostile, user, "POST", SEND, "invalid_request", field="client_message_id", json=message)
    async with Rest(hostile.serving, user, is_admin=True) as rest:
        assert_problem(await rest.post(SEND, json=MESSAGE | {"sender": bad}), "invalid_request", "sender")


def _key(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


BAD_CURSORS = {
    "empty": "",
    "no base64": "!!!",
    "no text": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    "no colon": _key("5"),
    "no number": _key("x:c"),
    "no id": _key("5:"),
    "bad id": _key("5:a/b"),
    "2**64": _key(f"{2**64}:c"),
    "4,000 digits": _key("1" * 4_000 + ":c"),
    "5,000 digits": _key("1" * 5_000 + ":c"),
    "negative": _key("-1:c"),
    "underscores": _key("1_0:c"),
    "accent": "é",
}


@pytest.mark.parametrize("name", BAD_CURSORS)
async def test_a_cursor_that_is_none_of_ours(hostile: Hostile, name: str) -> None:
    """Opaque to clients, and no way into the store's query."""
    path = f"/api/conversations?cursor={quote(BAD_CURSORS[name])}"
    await refused_by_rest(hostile, hostile.user(), "GET", path, "invalid_request", field="cursor")


@pytest.mark.parametrize("value", ["", "-1", "x", "1.5", "1e3", "٣", " 1", "+1", "0x10", "1" * 13, "1" * 4_000, "true", "NaN"])
async def test_numbers_in_a_query_are_whole_and_not_negative(hostile: Hostile, value: str) -> None:
    """Absurd ones are refused by name; none is guessed."""
    user = hostile.user()
    c = await hostile.conversation(user)
    for path, field in (
        (f"/api/conversations/{c}/messages", "limit"),
        (f"/api/conversations/{c}/messages", "after_seq"),
        (f"/api/conversations/{c}/messages", "before_seq"),
        ("/api/conversations", "limit"),
    ):
        await refused_by_rest(hostile, user, "GET", f"{path}?{field}={quote(value)}", "invalid_request", field=field)


async def test_limits_of_a_page(hostile: Hostile) -> None:
    """1 to 200; a position beyond the end is an empty page, not an error."""
    user = hostile.user()
    c = await hostile.conversation(user)
    for path in (f"/api/conversations/{c}/messages", "/api/conversations"):
        for limit in (0, 201, 10**11):
            await refused_by_rest(hostile, user, "GET", f"{path}?limit={limit}", "invalid_request", field="limit")
    async with Rest(hostile.serving, user) as rest:
        page = (await rest.get(f"/api/conversations/{c}/messages?after_seq=999999999999&limit=200")).json()
        assert page == {"messages": [], "has_more": False, "last_seq": 0}
        page = (await rest.get(f"/api/conversations/{c}/messages?before_seq=0")).json()
        assert page["messages"] == []


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
async def test_another_media_type(hostile: Hostile, media_type: str | None) -> None:
    """A form of a foreign page must not become a command."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    for path in (CREATE, SEND):
        await refused_by_rest(
            hostile, hostile.user(), "POST", path, "unsupported_media_type", content=b'{"members":[]}', headers=headers
        )


async def test_wrong_methods_and_unknown_paths(hostile: Hostile) -> None:
    """FastAPI's own answers are problems like all others; 405 says what is allowed."""
    user = hostile.user()
    for method, path in (("PUT", CREATE), ("DELETE", CREATE), ("GET", "/api/conversations/c/typing"), ("POST", "/api/health")):
        answer = await refused_by_rest(hostile, user, method, path, "method_not_allowed")
        assert answer.headers["allow"]
    for path in (
        "/api",
        "/api/",
        "/nothing",
        "/api/conversations/",
        "/api/conversations/c/",
        "/api/users/x",
        "//",
        "/API/health",
    ):
        await refused_by_rest(hostile, user, "GET", path, "not_found")
    await refused_by_rest(hostile, None, "GET", "/ws", "upgrade_required")
    await refused_by_rest(hostile, None, "POST", "/ws", "method_not_allowed")


NOT_HTTP = {
    "no http": b"hello\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "bad header": b"GET /api/health HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    "bad length": b"POST /api/conversations HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"POST /api/conversations HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": (
        b"POST /api/conversations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "raw bytes in the path": b"GET /api/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "line feed in a header": b"GET /api/health HTTP/1.1\r\nHost: x\r\nX: a\nb\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_not_http_is_refused_and_closed(hostile: Hostile, name: str) -> None:
    """A problem document even then, and never a request smuggled behind another."""
    async with Raw(hostile.serving) as client:
        client.send(NOT_HTTP[name])
        answered = await client.answer()
        assert answered.status == 400
        assert answered.problem["code"] == "invalid_request"
        await client.ended()


async def test_an_escaped_byte_that_is_no_utf8_in_a_path(hostile: Hostile) -> None:
    """`%FF` is no character: it cannot be an id."""
    async with Raw(hostile.serving) as client:
        head = f"GET /api/conversations/a%FFb HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(hostile.user())}\r\n\r\n"
        client.send(head.encode())
        answered = await client.answer()
        assert (answered.status, answered.problem["code"]) == (400, "invalid_request")


async def test_a_client_that_leaves_within_its_body(hostile: Hostile) -> None:
    """Careless, not an error of ours: no traceback (the fixture looks)."""
    for rest_of_body in (b"", b'{"members":'):
        async with Raw(hostile.serving) as client:
            head = f"POST /api/conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(hostile.user())}\r\n"
            client.send(f"{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n".encode() + rest_of_body)
            await client.writer.drain()
            client.writer.write_eof()
    await asyncio.gather(*(hostile.assert_alive() for _ in range(2)))


async def test_what_is_told_without_a_token(hostile: Hostile) -> None:
    """Counts, no names and no addresses; with a token the caller's own connections, and no others."""
    alice, bob = hostile.user(), hostile.user()
    async with Chatter(hostile.serving, alice) as client, Chatter(hostile.serving, bob), Rest(hostile.serving, None) as anybody:
        for path in ("/api/connections/stats", "/api/connections/info", "/api/health"):
            text = (await anybody.get(path)).text
            for secret in (alice, bob, "127.0.0.1", str(hostile.redis.port), "holdfast.db", "redis://"):
                assert secret not in text, (path, secret)
        async with Rest(hostile.serving, alice) as rest:
            info = (await rest.get("/api/connections/info")).json()
        own = (await client.receive("welcome"))["connection_id"]
        assert (info["user_id"], [each["connection_id"] for each in info["connections"]]) == (alice, [own])
