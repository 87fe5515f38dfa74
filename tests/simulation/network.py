"""The network between simulated processes: their listeners, the partitions between them, the latency of bytes.

A partition holds bytes back, as TCP does: they arrive after it, unless the connection has ended meanwhile. A host that died
silently answers nothing until a process listens there again, which then resets what it does not know.
"""

import asyncio
import contextvars
import errno
import itertools
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulation.process import Process, bury, current_process
from simulation.transport import SimulatedTransport

if TYPE_CHECKING:
    from simulation.loop import SimulatedLoop

SERVER_USER_TIMEOUT_SECONDS: Final = 20.0  # as instances set it on their listeners (TCP_USER_TIMEOUT)
CLIENT_USER_TIMEOUT_SECONDS: Final = 924.0  # Linux's 15 retransmissions
_SYN_AGAIN_SECONDS: Final = (0.2, 1.0)

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


@dataclass(eq=False, slots=True)
class Listener:
    """A port that is listened on; ends with `close`, or with its process."""

    network: "Network"
    host: str
    port: int
    process: Process
    factory: ProtocolFactory
    user_timeout_seconds: float

    def close(self) -> None:
        """Refuse from now on; accepted connections go on. Idempotent."""
        self.network.forget(self)


@dataclass(slots=True)
class Latency:
    """How long bytes take, one way.

    Attributes:
        usual_seconds: 0.3 to 1.7 times that.
        tail_seconds: up to so much more,
        tail_share: for this share of what is sent.
        extra_seconds: up to so much more for what a process sends or receives, by its name.
    """

    usual_seconds: float = 0.0005
    tail_seconds: float = 0.02
    tail_share: float = 0.02
    extra_seconds: dict[str, float] = field(default_factory=dict)


class Network:
    """All connections of a simulation.

    Attributes:
        delays: may be changed at any time.
        names: host name -> addresses, for names that are no addresses.
    """

    def __init__(self, loop: "SimulatedLoop", seed: int) -> None:
        self.loop = loop
        self.delays = Latency()
        self.names: dict[str, list[str]] = {}
        self.randomness = random.Random(f"network-{seed}")
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._names_of_hosts: dict[str, str] = {}
        self._hosts: dict[Process, str] = {}
        self._gone_hosts: dict[str, None] = {}
        self._cut: dict[tuple[str, str], None] = {}
        self._held: dict[SimulatedTransport, None] = {}
        self._connections: dict[SimulatedTransport, None] = {}
        self._ports = itertools.count(40_000)
        self._host_numbers = itertools.count(1)

    # --- what runs on it ---------------------------------------------------------------------------------------------

    def listen(
        self,
        host: str,
        port: int,
        process: Process,
        factory: ProtocolFactory,
        *,
        user_timeout_seconds: float = SERVER_USER_TIMEOUT_SECONDS,
    ) -> Listener:
        """Accept connections to that port, in that process.

        Args:
            host: an address. It becomes that of the process.
            port: on it.
            process: the protocols run there.
            factory: called for each connection.
            user_timeout_seconds: a connection whose bytes are not acknowledged so long is lost.

        Raises:
            OSError: the port is taken.
        """
        if (host, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{host}:{port} is listened on already")
        listener = Listener(self, host, port, process, factory, user_timeout_seconds)
        self._listeners[host, port] = listener
        self._hosts[process] = host
        self._names_of_hosts[host] = process.name
        if host in self._gone_hosts:
            del self._gone_hosts[host]
            self._release()
        return listener

    async def connect(self, factory: ProtocolFactory, host: str, port: int) -> tuple[SimulatedTransport, Any]:
        """A connection of the present process. Waits while its host does not answer.

        Raises:
            ConnectionRefusedError: nothing listens there.
        """
        process = current_process()
        await asyncio.sleep(self.latency(process.name, self.name_of(host)))
        while not self._answers(process.name, host):  # noqa: ASYNC110 - so does TCP: it sends its SYN again
            await asyncio.sleep(self.randomness.uniform(*_SYN_AGAIN_SECONDS))
        await asyncio.sleep(self.latency(self.name_of(host), process.name))
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ({host!r}, {port})")
        mine, theirs = self._pair(process, listener)
        theirs.process.call_soon(theirs.accept, listener.factory)
        protocol = factory()
        mine.begin(protocol)
        return mine, protocol

    def addresses(self, host: str) -> list[str]:
        """What a host name resolves to.

        Raises:
            OSError: nothing.
        """
        found = self.names.get(host, [host] if host.replace(".", "").isdigit() else [])
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return list(found)

    def host_of(self, process: Process) -> str:
        """Its address."""
        if process not in self._hosts:
            number = next(self._host_numbers)
            self._hosts[process] = host = f"10.1.{number // 250}.{number % 250 + 1}"
            self._names_of_hosts[host] = process.name
        return self._hosts[process]

    def name_of(self, host: str) -> str:
        """The name of the process that has, or had, this address; empty for none."""
        return self._names_of_hosts.get(host, "")

    # --- faults ------------------------------------------------------------------------------------------------------

    def cut(self, one: str, other: str, *, is_one_way: bool = False) -> None:
        """Nothing gets through between two processes, by name; `is_one_way`: from the first to the second."""
        self._cut[one, other] = None
        if not is_one_way:
            self._cut[other, one] = None

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """Undo `cut` between two processes, of one process, or all of it. Held bytes are sent again."""
        wanted = {name for name in (one, other) if name is not None}
        for pair in [pair for pair in self._cut if wanted.issubset(pair)]:
            del self._cut[pair]
        self._release()

    def reset(self, one: str, other: str | None = None, share: float = 1.0) -> int:
        """Reset a share of the connections of a process (to `other`), as a broken middlebox does: bytes under way are lost.

        Returns:
            How many.
        """
        chosen = [each for each in self.connections(one, other) if self.randomness.random() < share]
        for transport in chosen:
            transport.reset()
        return len(chosen)

    def connections(self, one: str, other: str | None = None) -> list[SimulatedTransport]:
        """The ends at a process (whose other end is at `other`), by name; oldest first."""
        return [
            transport
            for transport in self._connections
            if transport.process.name == one and (other is None or transport.peer.process.name == other)
        ]

    def is_cut(self, sender: str, receiver: str) -> bool:
        """Whether nothing gets through in that direction."""
        return (sender, receiver) in self._cut

    def latency(self, sender: str, receiver: str) -> float:
        """Seconds that something takes; drawn anew each time."""
        delays, draw = self.delays, self.randomness.random
        seconds = delays.usual_seconds * (0.3 + 1.4 * draw())
        if draw() < delays.tail_share:
            seconds += delays.tail_seconds * draw()
        if delays.extra_seconds:
            seconds += delays.extra_seconds.get(sender, 0.0) * draw() + delays.extra_seconds.get(receiver, 0.0) * draw()
        return seconds

    # --- for transports and processes --------------------------------------------------------------------------------

    def reaches(self, transport: SimulatedTransport) -> bool:
        """Whether what it sends now arrives: not through a cut, nor at a host that is gone."""
        if self._cut and (transport.process.name, transport.peer.process.name) in self._cut:
            return False
        return not (transport.peer.has_vanished and transport.remote[0] in self._gone_hosts)

    def hold(self, transport: SimulatedTransport) -> None:
        """Let it try again when something has healed."""
        self._held[transport] = None

    def forget(self, listener: Listener) -> None:
        """It was closed."""
        if self._listeners.get((listener.host, listener.port)) is listener:
            del self._listeners[listener.host, listener.port]

    def ended(self, transport: SimulatedTransport) -> None:
        """It was lost."""
        self._connections.pop(transport, None)

    def process_died(self, process: Process, *, is_silent: bool) -> None:
        """Its listeners and connections end; see `Process.kill`."""
        for listener in [each for each in self._listeners.values() if each.process is process]:
            listener.close()
        if is_silent and process in self._hosts:
            self._gone_hosts[self._hosts[process]] = None
        for transport in [each for each in self._connections if each.process is process]:
            bury(transport)
            transport.vanish() if is_silent else transport.owner_died()

    def _pair(self, process: Process, listener: Listener) -> tuple[SimulatedTransport, SimulatedTransport]:
        here, there = (self.host_of(process), next(self._ports)), (listener.host, listener.port)
        context = contextvars.copy_context()
        mine = SimulatedTransport(self, process, context, (here, there), CLIENT_USER_TIMEOUT_SECONDS)
        server = listener.process
        theirs = SimulatedTransport(self, server, server.context.copy(), (there, here), listener.user_timeout_seconds)
        mine.peer, theirs.peer = theirs, mine
        self._connections[mine] = self._connections[theirs] = None
        return mine, theirs

    def _answers(self, name: str, host: str) -> bool:
        """Whether a SYN to that host is answered, if only with a refusal."""
        other = self.name_of(host)
        return host not in self._gone_hosts and not self.is_cut(name, other) and not self.is_cut(other, name)

    def _release(self) -> None:
        held, self._held = self._held, {}
        for transport in held:
            transport.send_again()
