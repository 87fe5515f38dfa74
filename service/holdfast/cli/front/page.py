"""The files of the chat page and of the picture of the fleet, read once from the package, so that they come along everywhere.

They are the only thing a browser runs of ours: the content security policy allows nothing that is not one of them, so
that text of a message which got past the page's escaping still could not run.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from holdfast.cli.front.answers import answer, problem
from holdfast.cli.front.head import Head
from holdfast.web.shielded import POLICY

_CSP = f"{POLICY}; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. `etag`: of its content; browsers ask again each time (`no-cache`), which costs nothing on one machine."""

    content_type: str
    body: bytes
    etag: str

    def answer_to(self, head: Head) -> bytes:
        """200 with the file, or 304 when the browser has this very one."""
        headers = {
            "Cache-Control": "no-cache",
            "ETag": self.etag,
            "Content-Security-Policy": _policy(head),
            "Referrer-Policy": "no-referrer",
        }
        if head.header("if-none-match") == self.etag:
            return answer(304, headers, has_body=False)
        return answer(200, {"Content-Type": self.content_type, **headers}, self.body, has_body=head.method == "GET")


def _policy(head: Head) -> str:
    """What the page may do. Not every browser takes `'self'` for the socket's address, so that is named."""
    host = head.header("host")
    return f"{_CSP} ws://{host} wss://{host}" if _HOST.fullmatch(host) else _CSP


_UNREACHABLE = b"""<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <noscript><meta http-equiv="refresh" content="2"></noscript>
  <script src="/page/again.js"></script>
  <title>Holdfast</title>
  <h1>No instance answers</h1>
  <p>The chat page needs at least one instance. This page tries again by itself.</p>
</html>
"""


def unreachable(head: Head) -> bytes:
    """503 for the chat page while no instance is ready: in words for a browser, which tries again; as a problem for others."""
    if "text/html" not in head.header("accept"):
        return problem(503, "no instance is ready", retry_after_seconds=1)
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Security-Policy": _policy(head),
        "Retry-After": "1",
    }
    return answer(503, headers, _UNREACHABLE, has_body=head.method == "GET")


def load() -> dict[str, Asset]:
    """All files by the path they are served under; `/` is the chat page, `/fleet` the picture."""
    package = resources.files("holdfast")
    folders = {"/page/": package / "web" / "page", "/fleet/": package / "cli" / "front" / "picture"}
    assets = {prefix + path: _asset(path, file) for prefix, folder in folders.items() for path, file in _files(folder)}
    return {"/": assets["/page/index.html"], "/fleet": assets["/fleet/index.html"], **assets}


def is_of_a_page(path: str) -> bool:
    """Whether the front serves that path itself, from its files."""
    return path in ("/", "/fleet") or path.startswith(("/page/", "/fleet/"))


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif any(entry.name.endswith(suffix) for suffix in _TYPES):
            yield prefix + entry.name, entry


def _asset(path: str, file: Traversable) -> Asset:
    body = file.read_bytes()
    return Asset(_TYPES[path[path.rindex(".") :]], body, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
