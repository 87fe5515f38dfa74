"""The chat page's files: complete, typed, and free of what its own policy forbids."""

import posixpath
import re
from pathlib import Path

from holdfast.cli.front import page
from holdfast.cli.front.head import parse

_ASSETS = page.load()


def _text(path: str) -> str:
    return _ASSETS[path].body.decode()


def _get(path: str, *headers: str, method: str = "GET") -> bytes:
    return _ASSETS[path].answer_to(parse("\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode()))


def test_everything_that_the_page_names_is_there() -> None:
    """A missing module is an empty window."""
    named = {*re.findall(r'(?:href|src)="(/page/[^"]+)"', _text("/"))}
    for path in (path for path in _ASSETS if path.endswith(".js")):
        folder = path.rpartition("/")[0]
        for module in re.findall(r'^(?:import|export)\b[^;]* from "(\.[^"]+)"', _text(path), re.MULTILINE):
            named.add(posixpath.normpath(f"{folder}/{module}"))
    assert {"/page/chat.css", "/page/view/thread.js", "/page/client/link.js", "/page/client/view/chatView.js"} <= named
    assert named <= _ASSETS.keys()


def test_the_page_is_built_on_the_javascript_client() -> None:
    """One implementation: what an application installs is what the page runs, file by file."""
    source = Path(__file__).parents[3] / "clients" / "javascript" / "src"
    there = {f"/page/client/{path.relative_to(source).as_posix()}": path.read_bytes() for path in source.rglob("*.js")}
    assert {path: asset.body for path, asset in _ASSETS.items() if path.startswith("/page/client/")} == there
    assert not [path for path in _ASSETS if re.search(r"new WebSocket\(|/api/", _text(path)) and "/client/" not in path]


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """It works on a machine without a network, and no third party learns that it is open."""
    for path in _ASSETS:
        text = re.sub(r"/\*.*?\*/", "", _text(path), flags=re.DOTALL)
        found = set(re.findall(r"https?://[^\s\"')]+", text))
        assert found <= {"http://www.w3.org/2000/svg"}, path


def test_no_text_is_ever_parsed_as_html() -> None:
    """Stored content enters the page as text only."""
    for path in _ASSETS:
        if path.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function", _text(path)
            ), path


def test_the_page_itself_keeps_its_policy() -> None:
    """Inline scripts, styles and handlers would be blocked, silently."""
    assert not re.search(r"<style|style=|\son[a-z]+=|<script>", _text("/"))


def test_answers_carry_policy_type_and_etag() -> None:
    """The policy is the second lock behind the escaping."""
    answer = _get("/").decode()
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " in answer
    assert "connect-src 'self' ws://localhost:8000 wss://localhost:8000\r\n" in _get("/", "Host: localhost:8000").decode()
    for hosts in (["Host: a; script-src *"], ["Host: a b"], ["Host: ["], ["Host: a", "Host: b"], []):
        assert "connect-src 'self'\r\n" in _get("/", *hosts).decode(), hosts
    assert "Content-Type: text/html; charset=utf-8" in answer
    assert b"Content-Type: text/javascript" in _get("/page/chat.js")


def test_an_unchanged_file_is_not_sent_again() -> None:
    """304 for the same etag; HEAD has no body."""
    etag = _ASSETS["/page/chat.js"].etag
    assert _get("/page/chat.js", f"If-None-Match: {etag}").startswith(b"HTTP/1.1 304")
    assert _get("/page/chat.js", method="HEAD").endswith(b"\r\n\r\n")
