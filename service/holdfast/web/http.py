"""uvicorn's HTTP protocol with guards where bytes come in, and a hand-over of upgrades that leaves nothing behind.

A request head has 16 KB and 3 s, a body 10 s. Trailers and chunk extensions have 16 KB and are not kept. A few requests may wait
for their answers. A client that reads nothing of its answers for 10 s is cut off: what it does not read is in our memory. So many
connections are kept between requests; beyond that they close with their answer. A request names one host (RFC 9112 §3.2); checks
of health may use any name.

uvicorn's protocol and its parser form a cycle that would survive the upgrade (4.7 KB a connection until the collector comes
by): it is broken here.
"""

import asyncio
import logging
import re
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from holdfast.web.handshake import Refusal, UpgradeRequest, refused
from holdfast.web.refusals import Refusals
from holdfast.web.websocket import reset

MAX_HEAD_BYTES: Final = 16 * 1024
HEAD_SECONDS: Final = 3.0
BODY_SECONDS: Final = 10.0  # a hundred kilobytes, over the worst line
UNREAD_SECONDS: Final = 10.0  # answers go out in parts of 64 KB: a line of 7 KB a second is fast enough
MAX_KEPT: Final = 500  # connections of one port that are kept between requests; `launcher.open_files` leaves room for them
MAX_WAITING: Final = 8  # requests sent before the answer to the previous one: legitimate clients do not pipeline this deeply


_PROBES: Final = (b"/readyz", b"/livez", b"/api/health")
_HOST: Final = re.compile(rb"([A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Za-z:.%_~-]+\])(:[0-9]{0,5})?")  # RFC 3986 §3.2.2
_NO_HTTP: Final = "not HTTP/1.1"
_MISTAKES: Final = logging.getLogger("uvicorn.error.http")
_MISTAKES.setLevel(logging.ERROR)  # uvicorn warns of every malformed request; that is ours to limit


class GuardedHttp(HttpToolsProtocol):
    """One HTTP connection, until it becomes a WebSocket."""

    _head_bytes = 0
    _head_end = b""
    _is_in_head = True
    _idle_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        malformed: Refusals | None = None,
    ) -> None:
        """As uvicorn's; `malformed` is told of what is no HTTP."""
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _MISTAKES
        self._malformed = malformed
        self._why = _NO_HTTP

    def connection_made(self, transport: Any) -> None:
        """For asyncio."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """For asyncio: count what belongs to a head, or to nothing, before it is parsed."""
        if self._is_in_head:
            self._expect_head()  # another one, on a connection that was kept
            if not self._is_small_head(data):
                self._refuse(431, "headers are limited to 16 KB")
                return
        else:
            self._idle_bytes += len(data)
            if self._idle_bytes > MAX_HEAD_BYTES + len(data):
                self._refuse(400, "no trailers, and no extensions of chunks")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """For httptools: another head, that came with the request before it."""
        super().on_message_begin()
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """For httptools: a header; a trailer is none of ours."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """For httptools: so the body goes on."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """For httptools: what comes next is another head, whose time begins with its first byte."""
        super().on_message_complete()
        self._stop_timer()
        self._is_in_head = True
        self._head_bytes = 0
        self._head_end = b""

    def on_headers_complete(self) -> None:
        """For httptools.

        Raises:
            ValueError: it is refused; httptools makes an error of its own of it, and uvicorn a 400.
        """
        self._why = self._fault() or _NO_HTTP
        if self._why is not _NO_HTTP:
            raise ValueError(self._why)
        self._is_in_head = False
        self._idle_bytes = 0
        self._stop_timer()
        self._start_timer(BODY_SECONDS, "a body has 10 s")
        super().on_headers_complete()
        if self.cycle is not None and len(self.connections) > MAX_KEPT:
            self.cycle.keep_alive = False  # the answer says so: no call is lost, as it would be if an idle connection were closed

    def send_400_response(self, msg: str) -> None:
        """For uvicorn: input that is not HTTP gets the same kind of answer as everything else."""
        if self._malformed is not None:
            self._malformed.note(self._why)
        self._refuse(400, self._why)

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio."""
        self._stop_timer()
        self._stop_unread_timer()
        self.pipeline.clear()
        if self._answering is not None:
            self._answering.disconnected = True  # uvicorn tells the last request that came, which may wait behind this one
            self._answering = None
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """For uvicorn: the next request is carried out."""
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """For asyncio: the client is behind. The connection may be closing already: it ends only once all is read."""
        super().pause_writing()
        self._stop_unread_timer()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self._cut)

    def resume_writing(self) -> None:
        """For asyncio: the client has read most of it."""
        self._stop_unread_timer()
        super().resume_writing()

    def _get_upgrade(self) -> bytes | None:
        """For uvicorn: `websocket` when the client lists it; both headers are lists and may stand twice (RFC 9110 §5.3).

        Not in HTTP/1.0 (§7.8), and not while answers are owed or not read: the socket would overtake them, or not know of them.
        """
        is_owing = self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete)
        if is_owing or self.parser.get_http_version() == "1.0":
            return None
        options = {name: _options(self.headers, name) for name in (b"connection", b"upgrade")}
        return b"websocket" if b"upgrade" in options[b"connection"] and b"websocket" in options[b"upgrade"] else None

    def _unsupported_upgrade_warning(self) -> None:
        """For uvicorn: a plain request that offered an upgrade. Its parser does not go on behind one."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _fault(self) -> str:
        """Why the request is refused, from its head."""
        if len(self.pipeline) >= MAX_WAITING:
            return "too many requests at once"
        hosts = [value for name, value in self.headers if name == b"host"]
        # Balancers that check health in HTTP/1.0 name none.
        is_named = _HOST.fullmatch(hosts[0]) is not None if hosts else self.parser.get_http_version() == "1.0"
        if len(hosts) > 1 or not (is_named or self._is_probe):
            return "a request has one valid Host"
        return ""

    @property
    def _is_probe(self) -> bool:
        """Balancers name the cluster, an address, or nothing; the answer is the same for every host."""
        return self.url.partition(b"?")[0] in _PROBES

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the socket's class, and let go of everything of ours."""
        self._stop_timer()
        self.connections.discard(self)
        transport = self.transport
        request = UpgradeRequest(self.scope["method"], self.url, self.headers)
        socket = self.ws_protocol_class(config=self.config, server_state=self.server_state, app_state=self.app_state)  # type: ignore[call-arg,misc]  # uvicorn declares its own classes only
        transport.set_protocol(socket)
        self.parser = self.scope = self.headers = self.flow = self._answering = None  # type: ignore[assignment]  # breaks the cycle
        socket.adopt(transport, request)  # type: ignore[union-attr]  # our class, whatever uvicorn declares

    def _is_small_head(self, data: bytes) -> bool:
        """Count what of `data` belongs to the head; its end may be split over two reads, and a body may follow it."""
        known = len(self._head_end)
        window = self._head_end + data
        end = window.find(b"\r\n\r\n")
        self._head_bytes += len(data) if end < 0 else end + 4 - known
        self._head_end = window[-3:]
        return self._head_bytes <= MAX_HEAD_BYTES

    def _expect_head(self) -> None:
        if self._timer is None:
            self._start_timer(HEAD_SECONDS, "a request head has 3 s")

    def _start_timer(self, seconds: float, detail: str) -> None:
        self._timer = self.loop.call_later(seconds, self._refuse, 408, detail)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _cut(self) -> None:
        self._unread_timer = None
        reset(self.transport)

    def _refuse(self, status: int, detail: str) -> None:
        self._stop_timer()
        if self.transport is not None and not self.transport.is_closing():
            is_answered = not self._is_in_head and self.cycle is not None and self.cycle.response_started
            if not is_answered and (self._head_bytes or status != 408):  # who sent nothing gets nothing
                self.transport.write(refused(Refusal(status, "invalid_request", detail)))
            self.transport.close()


def _options(headers: list[tuple[bytes, bytes]], wanted: bytes) -> set[bytes]:
    """The elements of a header that is a list, in lower case, however many lines it takes."""
    return {option.strip().lower() for name, value in headers if name == wanted for option in value.split(b",")}
