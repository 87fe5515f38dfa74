"""The first request head of a connection: parsed as far as the front must understand it, and no further.

Pure: bytes in, a `Head` out. Whatever the front passes on, it passes on as it came, except that a plain request is told
`Connection: close`: a browser that kept its connection would send all later requests to the same instance.
"""

import re
from dataclasses import dataclass

from holdfast.errors import HoldfastError

MAX_BYTES = 16_384  # larger headers are refused at the instances, too
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings"})


class HeadRefused(HoldfastError):
    """The front does not accept this request head; `status` is the HTTP answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Head:
    """A request head; `raw` ends with the empty line."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def is_websocket(self) -> bool:
        """Whether this asks for a WebSocket."""
        connection, upgrade = self._options("connection"), self._options("upgrade")
        return "upgrade" in connection and "websocket" in upgrade

    def _options(self, name: str) -> set[str]:
        return {option.strip().lower() for option in self.header(name).split(",")}

    def header(self, name: str) -> str:
        """The value of `name` (lower case), several joined by a comma; empty when there is none."""
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    def for_instance(self) -> bytes:
        """What to send on: an upgrade as it came, anything else with `Connection: close`."""
        if self.is_websocket:
            return self.raw
        kept = [f"{name}: {value}" for name, value in self.headers if name.lower() not in _HOP_BY_HOP]
        lines = [f"{self.method} {self.target} {self.version}", *kept, "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1")


def parse(raw: bytes) -> Head:
    """Parse a head that ends with an empty line.

    Raises:
        HeadRefused: it is too large or not HTTP/1.x.
    """
    if len(raw) > MAX_BYTES:
        raise HeadRefused(431, f"a request head has at most {MAX_BYTES} bytes")
    request_line, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    match request_line.split(" "):
        case [method, target, ("HTTP/1.1" | "HTTP/1.0") as version] if _TOKEN.fullmatch(method) and target:
            return Head(method, target, version, tuple(_header(line) for line in lines), raw)
    raise HeadRefused(400, "not an HTTP/1.1 request")


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or _TOKEN.fullmatch(name) is None or "\n" in value or "\r" in value or "\0" in value:
        raise HeadRefused(400, "a malformed header")
    return name, value.strip(" \t")
