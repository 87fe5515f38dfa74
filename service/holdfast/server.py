"""One `holdfast serve`: uvicorn on two ports, our protocols in it, and the drain before anything closes.

uvicorn would close every socket within 0.1 s of SIGTERM; so the signals are ours, and uvicorn stops when the drain is over.
"""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import uvicorn

from holdfast.errors import ConfigurationError, RedisDenied
from holdfast.loops import Loop
from holdfast.node.node import DECLARED_DEAD, STORE_REPLACED, Node
from holdfast.node.sessions.drain import Drain
from holdfast.waiting import is_set_within
from holdfast.web.gate import Gate, ticking
from holdfast.web.protocols import GRACEFUL_SECONDS, Protocols, internal_protocols, public_protocols

_BACKLOG: Final = 2_048
_ALL_NOTICED_SECONDS: Final = 4.0  # each looks once a second; its runs end within two or three
_START_SECONDS: Final = 10.0  # as long as a start waits for Redis
_DECISION_SECONDS: Final = 20.0  # what others see is known 8 s after the store was reached
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


class Run(Protocol):
    """One life of an instance in this process, put together and not started. `background`: loops that run beside its node."""

    gate: Gate
    background: tuple[Loop, ...]

    async def denied_by_redis(self) -> str:
        """Wait until Redis refuses the user, the password or a right; the reason, with its remedy."""
        ...

    async def close(self) -> None:
        """Let go of what its node has not let go of."""
        ...


async def serve(new_run: Callable[[], Run]) -> None:
    """Run one instance until a signal ends it. When its store is replaced, or another instance declared the run dead, the run
    ends and the next one begins at once.

    The ports stay open between two runs: a client that connects meanwhile waits for the next one.

    Raises:
        ConfigurationError: a setting is wrong, or a port cannot be had.
        StoreDenied: the store refuses us for good.
        RedisDenied: Redis refuses the user, the password or a right within the first seconds of the process.
    """
    run = new_run()
    http = run.gate.node.settings.http
    public_socket = _listen(http.host, http.port, "HOLDFAST_HTTP__PORT")
    internal_socket = _listen(http.host, http.effective_internal_port, "HOLDFAST_HTTP__INTERNAL_PORT")
    stop, denial, reasons = asyncio.Event(), _Denial(), list[str]()
    run.gate.node.tasks.start(denial.watch(run))  # not of later runs: a renewed password ends no running instance
    while not stop.is_set():
        reasons.append(await _serve_run(run, (public_socket, internal_socket), stop, denial))
        await run.close()
        if denial.reason:
            raise RedisDenied(denial.reason)
        if not stop.is_set():
            run = new_run()
            telemetry = run.gate.node.telemetry
            telemetry.store_replacements.inc(reasons.count(STORE_REPLACED))
            telemetry.declared_dead.inc(reasons.count(DECLARED_DEAD))
            run.gate.node.tasks.start(_compare_later(run.gate.node))


class _Denial:
    """The refusal of Redis while this process started. Only then: waiting would not help, and no client depends on it yet.

    Not where Redis refuses the instances that serve, too: then this one is needed, and goes on without Redis as they do.
    """

    def __init__(self) -> None:
        self.happened = asyncio.Event()
        self.reason = ""

    async def watch(self, run: Run) -> None:
        isolation = run.gate.node.cluster.redis_trust.isolation
        try:
            async with asyncio.timeout(_START_SECONDS):
                reason = await run.denied_by_redis()
        except TimeoutError:
            return
        await is_set_within(isolation.decided, _DECISION_SECONDS)
        if not isolation.is_shared:
            self.reason = reason
            self.happened.set()


async def _compare_later(node: Node) -> None:
    """Others notice it a little later: what they published until then was of another generation, and dropped here."""
    await asyncio.sleep(_ALL_NOTICED_SECONDS)
    node.recovery.resync.begin("store_replaced")


async def _serve_run(run: Run, listeners: tuple[socket.socket, socket.socket], stop: asyncio.Event, denial: _Denial) -> str:
    """Run until `stop` is set, by a signal, and all is drained; or until the run has to end (`Node.ended`), or Redis denied the
    start, and all sockets are closed. The listeners, for the public and the internal port, stay open where another run follows.

    Returns why the run had to end; empty where it had not.
    """
    public_socket, internal_socket = listeners
    gate, node = run.gate, run.gate.node
    public, internal = _Server(public_protocols(gate)), _Server(internal_protocols(gate))
    drain = Drain(node.hub, node.health, node.clock, node.settings.drain.window_seconds)

    def on_signal() -> None:
        if stop.is_set():
            drain.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, on_signal)
    gc.unfreeze()  # the run before this one, if there was one
    gc.collect()
    gc.freeze()  # objects of now stay: a full collection, which stops the service, need not look at them again
    await node.start()
    for each in (ticking(gate), *run.background):
        node.tasks.start(node.loops.run(each))
    serving = [
        asyncio.create_task(public.serve(sockets=[public_socket.dup()])),  # uvicorn closes what it is given
        asyncio.create_task(internal.serve(sockets=[internal_socket.dup()])),
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
    ended = asyncio.create_task(node.ended())
    ends = [ended, *(asyncio.create_task(event.wait()) for event in (stop, denial.happened))]
    await asyncio.wait([*ends, *serving], return_when=asyncio.FIRST_COMPLETED)
    reason = ended.result() if ended.done() else ""
    if reason:
        drain.run_at_once(reason)
    elif denial.happened.is_set():
        drain.run_at_once("draining")
    else:
        stop.set()
        await _drained(drain, ended)
    for end in ends:
        end.cancel()
    public.should_exit = internal.should_exit = True
    if not reason:
        for listener in listeners:
            listener.close()  # else the kernel would go on accepting, and those clients wait for a process that ends
    await asyncio.wait([asyncio.gather(*serving, return_exceptions=True)], timeout=GRACEFUL_SECONDS + 2)
    await node.stop()
    return reason


async def _drained(drain: Drain, ended: asyncio.Future[Any]) -> None:
    """All clients have left. At once where the run has to end meanwhile: what their connections know is not valid any more."""
    draining = asyncio.create_task(drain.run())
    await asyncio.wait([draining, ended], return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        drain.hurry()
    await draining


def _listen(host: str | None, port: int, setting: str) -> socket.socket:
    """A listening socket; dead peers are noticed by the kernel.

    Without a host it listens on every address of both families, on a machine without IPv6 on every IPv4 address.
    """
    try:
        listener = _bound(host, port)
    except OSError as error:
        where = f"{host or 'all addresses'}, port {port}"
        raise ConfigurationError(f"{setting}: cannot listen on {where}: {error.strerror}") from None
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _bound(host: str | None, port: int) -> socket.socket:
    if host:
        host = host.strip("[]")
        # A name may have addresses of both families; the first is what the machine prefers.
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return _bound_to(family, address, is_dual=host == "::")
    if socket.has_dualstack_ipv6():
        try:
            return _bound_to(socket.AF_INET6, ("::", port), is_dual=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise  # the IPv4 half alone would hide it
    return _bound_to(socket.AF_INET, ("0.0.0.0", port), is_dual=False)  # noqa: S104 - a container serves on all its addresses


def _bound_to(family: socket.AddressFamily, address: Any, *, is_dual: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not is_dual)  # whatever the machine's default is
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
