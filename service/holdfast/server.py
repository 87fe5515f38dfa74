"""One `holdfast serve`: uvicorn on two ports, our protocols in it, and the drain before anything closes.

uvicorn would close every socket within 0.1 s of SIGTERM; so the signals are ours, and uvicorn stops when the drain is over.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final

import uvicorn

from holdfast.errors import ConfigurationError
from holdfast.node.drain import Drain
from holdfast.web.gate import Gate, watch
from holdfast.web.protocols import GRACEFUL_SECONDS, Protocols, internal_protocols, public_protocols

_BACKLOG: Final = 2_048
_DEAD_PEER_MS: Final = 20_000  # unacknowledged that long: the peer is gone, and its buffer with it

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn's listening and shutting down, without its signal handlers."""

    def __init__(self, protocols: Protocols) -> None:
        super().__init__(protocols.config)
        self.server_state = protocols.state

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals are handled by `serve`."""
        yield


async def serve(gate: Gate, background: Sequence[Coroutine[Any, Any, None]] = ()) -> None:
    """Run one instance until a signal ends it; `background` is run beside it.

    Raises:
        ConfigurationError: a setting is wrong, or a port cannot be had.
        StoreDenied: the store refuses us for good.
    """
    node = gate.node
    http = node.settings.http
    public_socket = _listen(http.host, http.port, "HOLDFAST_HTTP__PORT")
    internal_port = http.effective_internal_port
    internal_socket = _listen(http.host, internal_port, "HOLDFAST_HTTP__INTERNAL_PORT")
    public, internal = _Server(public_protocols(gate)), _Server(internal_protocols(gate))
    drain = Drain(node.hub, node.health, node.clock, node.settings.drain.window_seconds)
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            drain.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, on_signal)
    gc.collect()
    gc.freeze()  # what is there now stays: a full collection, in which nobody is served, need not look at it again
    await node.start()
    node.tasks.start(watch(gate))
    for work in background:
        node.tasks.start(work)
    serving = [
        asyncio.create_task(public.serve(sockets=[public_socket])),
        asyncio.create_task(internal.serve(sockets=[internal_socket])),
    ]
    _log.info(
        "serving",
        extra={
            "fields": {
                "instance_id": node.instance_id,
                "port": public_socket.getsockname()[1],
                "internal_port": internal_socket.getsockname()[1],
            }
        },
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
    await drain.run()
    public.should_exit = internal.should_exit = True
    await asyncio.wait([asyncio.gather(*serving, return_exceptions=True)], timeout=GRACEFUL_SECONDS + 2)
    await node.stop()


def _listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; dead peers are noticed by the kernel."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"{setting}: cannot listen on {host}:{port}: {error.strerror}") from None
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
