"""HTTP as an attacker writes it: one identity, one host, answers that a browser cannot be talked into misreading."""

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.web.protocols import internal_protocols, public_protocols
from support.eventually import eventually
from support.instances import token
from support.pipe import Pipe, not_started

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
HOST = "Host: chat.example\r\n"


def _request(path: str, headers: str = HOST, *, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\n{headers}\r\n".encode("latin-1")


async def _answers(directory: Path, data: bytes, count: int = 1, *, is_internal: bool = False) -> list[tuple[int, str]]:
    """The status and the head of each answer to what is sent on one connection."""
    gate = not_started(directory).gate
    gate.node.users.revocations.is_loaded = True  # else no token is accepted yet
    pipe = Pipe((internal_protocols if is_internal else public_protocols)(gate)())
    pipe.receive(data)
    await eventually(lambda: len(_heads(pipe.written)) >= count)
    return _heads(pipe.written)


def _heads(written: bytes) -> list[tuple[int, str]]:
    return [
        (int(found[1]), found[0].lower())
        for found in re.finditer(r"HTTP/1\.1 (\d{3}) .*?\r\n\r\n", written.decode("latin-1"), re.DOTALL)
    ]


async def test_two_authorization_headers_are_no_identity(tmp_path: Path) -> None:
    """A proxy that checks the one, and an instance that believes the other, would be of two minds about who calls."""
    one, two = (f"Authorization: Bearer {token(user)}\r\n" for user in ("alice", "mallory"))
    for path in ("/api/conversations", "/api/connections/stats", "/api/connections/info"):
        ((status, head),) = await _answers(tmp_path, _request(path, HOST + one + two))
        assert (status, "www-authenticate: bearer" in head) == (401, True), path
    offered = f"Sec-WebSocket-Protocol: holdfast.v1, bearer.{token('mallory')}\r\n"
    assert [status for status, _ in await _answers(tmp_path, _request("/ws", HOST + UPGRADE + one + two + offered))] == [401]


@pytest.mark.parametrize(
    "headers",
    [
        "",
        HOST + HOST,
        HOST + "Host: evil.example\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a@b\r\n",
        "Host: \r\n",
        "Host: a:port\r\n",
        "Host: a,b\r\n",
    ],
)
async def test_a_request_without_one_valid_host_is_refused(tmp_path: Path, headers: str) -> None:
    """RFC 9112 §3.2: a cache or a proxy in front would file the answer under another name than ours."""
    assert [status for status, _ in await _answers(tmp_path, _request("/api/openapi.json", headers))] == [400]
    assert [status for status, _ in await _answers(tmp_path, _request("/ws", headers + UPGRADE))] == [400]


async def test_hosts_that_clients_write(tmp_path: Path) -> None:
    """Names, addresses of both families, ports; balancers that check health in HTTP/1.0 send none."""
    for host in (
        "chat.example",
        "localhost:8000",
        "10.0.0.1",
        "[::1]:8000",
        "[fe80::1%25eth0]",
        "my_pod.svc",
        "xn--bcher-kva.de:",
    ):
        assert [status for status, _ in await _answers(tmp_path, _request("/api/openapi.json", f"Host: {host}\r\n"))] == [200], (
            host
        )
    assert [status for status, _ in await _answers(tmp_path, _request("/api/openapi.json", "", version="1.0"))] == [200]


@pytest.mark.parametrize("headers", ["Host: \r\n", "Host: outbound|8000||holdfast\r\n", ""])
async def test_checks_of_health_may_name_any_host(tmp_path: Path, headers: str) -> None:
    """Balancers send an empty one, or the name of their cluster: to refuse it takes all instances out of them."""
    for path in ("/readyz", "/livez", "/api/health?verbose"):
        assert 400 not in [status for status, _ in await _answers(tmp_path, _request(path, headers))], path
    assert [status for status, _ in await _answers(tmp_path, _request("/readyz", HOST + HOST))] == [400], "two are no host"


async def test_http_1_0_cannot_be_upgraded(tmp_path: Path) -> None:
    """RFC 9110 §7.8: the server ignores the header; a proxy of that age would take frames for the next answer."""
    authorization = f"Authorization: Bearer {token('alice')}\r\n"
    request = _request("/ws", HOST + UPGRADE + authorization, version="1.0")
    ((status, head),) = await _answers(tmp_path, request)
    assert (status, "upgrade: websocket" in head) == (426, True)


ANSWERS: dict[str, tuple[bytes, int]] = {
    "a document": (_request("/api/openapi.json"), 200),
    "the page of the documents": (_request("/api/docs"), 200),
    "health": (_request("/api/health"), 200),
    "a probe": (_request("/livez"), 200),
    "an unknown path": (_request("/nothing"), 404),
    "another method": (_request("/api/health", method="DELETE"), 405),
    "no token": (_request("/api/conversations"), 401),
    "no upgrade": (_request("/ws"), 426),
    "an upgrade that is refused": (_request("/ws", HOST + UPGRADE), 401),
    "no http": (b"hello\r\n\r\n", 400),
    "headers without end": (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_answer_forbids_a_browser_to_guess_and_to_run(tmp_path: Path, name: str) -> None:
    """Text of other users may be in an answer: it is never sniffed, framed, or taken for a page with scripts."""
    request, expected = ANSWERS[name]
    ((status, head),) = await _answers(tmp_path, request)
    _check(head, name)
    assert name == "health" or status == expected


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/nothing", "/api/health"])
async def test_answers_of_the_internal_port_forbid_it_too(tmp_path: Path, path: str) -> None:
    """It is a port like any other to a browser within the network."""
    ((_, head),) = await _answers(tmp_path, _request(path), is_internal=True)
    _check(head, path)


async def test_an_answer_to_a_mistake_of_ours_forbids_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of the outermost handler passes no other middleware."""

    async def fails(_self: Any) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("holdfast.web.rest._Rest.health", fails)
    ((status, head),) = await _answers(tmp_path, _request("/api/health"))
    assert status == 500
    _check(head, "a mistake")


def _check(head: str, name: str) -> None:
    assert head.count("x-content-type-options: nosniff") == 1, (name, head)
    (policy,) = re.findall(r"content-security-policy: (.*)\r\n", head)
    directives = dict(each.strip().partition(" ")[::2] for each in policy.split(";"))
    assert directives["default-src"] == "'none'", (name, policy)
    assert directives["frame-ancestors"] == directives["base-uri"] == directives["form-action"] == "'none'", (name, policy)
    assert "unsafe" not in policy, (name, policy)


UPGRADED = _request("/ws", f"{HOST}{UPGRADE}Authorization: Bearer {token('alice')}\r\n")
PIPELINES = {
    "an upgrade behind a request": _request("/api/openapi.json") + UPGRADED,
    "an upgrade behind two": 2 * _request("/readyz") + UPGRADED + _request("/readyz"),
    "garbage behind a request": _request("/api/openapi.json") + b"garbage\r\n\r\n",
    "no host behind a request": _request("/api/openapi.json") + _request("/readyz", ""),
    "a request behind h2c": _request("/readyz", HOST + "Connection: Upgrade\r\nUpgrade: h2c\r\n") + _request("/readyz"),
    "too many": 40 * _request("/readyz"),
    "a body that is not read": _request("/readyz", HOST + "Content-Length: 5\r\n") + b"hello" + _request("/readyz"),
    "a request behind an end": _request("/readyz", HOST + "Connection: close\r\n") + _request("/readyz"),
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("has_left", [False, True])
async def test_pipelined_requests_never_end_in_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, *, has_left: bool
) -> None:
    """One line of a client would fill the log with ours; and no upgrade overtakes the answers before it."""
    mistakes: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: mistakes.append(context))
    gate = not_started(tmp_path).gate
    gate.node.users.revocations.is_loaded = True
    pipe = Pipe(public_protocols(gate)())
    pipe.receive(PIPELINES[name])
    if has_left:
        pipe.is_closed = True
        pipe.protocol.connection_lost(None)
    else:
        await eventually(lambda: len(_heads(pipe.written)) >= 1)
        pipe.receive(_request("/readyz"))
    await eventually(lambda: len(asyncio.all_tasks()) == 1)
    assert not mistakes
    assert not [record for record in caplog.records if record.exc_info]
    assert not [status for status, _ in _heads(pipe.written) if status in (101, 500)]


async def test_malformed_requests_are_counted_in_a_line_now_and_then(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Anonymous clients must not be able to fill a disk with one line for each packet."""
    make = public_protocols(not_started(tmp_path).gate)
    with caplog.at_level(logging.INFO), caplog.at_level(logging.INFO, "holdfast"):  # commands make that one silent
        for data in (
            b"hello\r\n\r\n",
            _request("/readyz", ""),
            _request("/readyz", HOST + "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        ):
            for _ in range(100):
                Pipe(make()).receive(data)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO and record.name != "asyncio"]
    assert 1 <= len(lines) <= 3, lines
    assert "hello" not in str(lines)
