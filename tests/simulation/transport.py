"""One end of a simulated TCP connection, as asyncio's protocols see it.

What a process writes goes to its kernel while the peer's process has not taken 256 KB; the rest waits in the process, which is
told to pause, and is lost with it. A connection that is reset loses some of the bytes under way as well.
"""

import asyncio
import contextvars
import errno
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from simulation.process import Process

if TYPE_CHECKING:
    from simulation.network import Network

KERNEL_BYTES: Final = 256 * 1024
_HIGH_BYTES: Final = 64 * 1024  # asyncio's default
_DATA, _FIN, _RST = range(3)

Address = tuple[str, int]


class _Socket:
    """The answers to questions of protocols about the socket below."""

    family = socket.AF_INET

    def __init__(self, here: Address, there: Address) -> None:
        self._here = here
        self._there = there
        self.is_reset_on_close = False

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if option == socket.SO_LINGER and level == socket.SOL_SOCKET:
            self.is_reset_on_close = bytes(value) == struct.pack("ii", 1, 0)

    def getsockopt(self, *_: Any) -> int:
        return 0

    def getsockname(self) -> Address:
        return self._here

    def getpeername(self) -> Address:
        return self._there

    def fileno(self) -> int:
        return -1


class SimulatedTransport(asyncio.Transport):
    """Made in pairs by `Network`.

    Attributes:
        process: whose end it is.
        peer: the other end.
        remote: the address of the other end.
        has_vanished: its machine died with it, and its kernel answers nothing.
    """

    peer: "SimulatedTransport"

    def __init__(
        self,
        network: "Network",
        process: Process,
        context: contextvars.Context,
        addresses: tuple[Address, Address],
        user_timeout_seconds: float,
    ) -> None:
        """`addresses`: of this end and of the other. `user_timeout_seconds`: unacknowledged so long, the connection is lost."""
        local, self.remote = addresses
        self._socket = _Socket(local, self.remote)
        super().__init__({"peername": self.remote, "sockname": local, "socket": self._socket})
        self.process = process
        self.has_vanished = False
        self._network = network
        self._loop = network.loop
        self._context = context
        self._user_timeout_seconds = user_timeout_seconds
        self._protocol: asyncio.BaseProtocol | None = None
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._untaken_bytes = 0  # sent, and not yet taken by the peer's process
        self._wire: deque[tuple[float, int, bytes]] = deque()  # when it arrives, what, its bytes
        self._arrives_at = 0.0
        self._held_since: float | None = None
        self._inbox: deque[tuple[int, bytes]] = deque()
        self._high_bytes, self._low_bytes = _HIGH_BYTES, _HIGH_BYTES // 4
        self._is_paused = False  # its protocol was told to write no more
        self._is_reading = True
        self._is_taking = False
        self._is_pumping = False
        self._is_closing = False
        self._is_lost = False

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """The connection is there; in its process."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._take_soon()

    def accept(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """The server takes the connection; in its process."""
        if not self._is_lost:
            self.begin(factory())

    # --- what protocols call -----------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See asyncio."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See asyncio."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._is_closing

    def is_reading(self) -> bool:
        """See asyncio."""
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        """See asyncio: the peer's bytes stay in the kernel, and at last in the peer."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """See asyncio."""
        self._is_reading = True
        self._take_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio."""
        if high is None:
            high = _HIGH_BYTES if low is None else 4 * low
        self._high_bytes, self._low_bytes = high, high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See asyncio."""
        return self._low_bytes, self._high_bytes

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._unsent_bytes

    def can_write_eof(self) -> bool:
        """No: nothing here closes one direction."""
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See asyncio."""
        if self._is_closing or not data:
            return
        data = bytes(data)
        if self._untaken_bytes < KERNEL_BYTES and not self._unsent:
            self._send(_DATA, data)
            return
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if not self._is_paused and self._unsent_bytes > self._high_bytes:
            self._is_paused = True
            cast("asyncio.Protocol", self._protocol).pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See asyncio."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """See asyncio: what was written is sent before."""
        if not self._is_closing:
            self._is_closing = True
            if not self._unsent:
                self._finish()

    def abort(self) -> None:
        """See asyncio: what the kernel has not taken is lost; with a reset, some of what it has as well."""
        if self._is_lost:
            return
        self._is_closing = True
        self._unsent.clear()
        self._unsent_bytes = 0
        is_reset = self._socket.is_reset_on_close or bool(self._inbox) or self._network.randomness.random() < 0.5
        self._end_wire(is_reset=is_reset)
        self._loop.call_soon(self._lose, None, context=self._context)

    # --- what happens to it ------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Both ends are reset, by something between them."""
        for end in (self, self.peer):
            if not end._is_lost:
                end._wire.clear()
                end._is_closing = True
                self._loop.call_soon(end._lose, _reset_by_peer(), context=end._context)

    def owner_died(self) -> None:
        """Its process was killed: the kernel closes its sockets."""
        is_reset = bool(self._inbox) or self._network.randomness.random() < 0.5
        self._is_lost = self._is_closing = True
        self._end_wire(is_reset=is_reset)
        self._network.ended(self)

    def vanish(self) -> None:
        """Its machine is gone: nothing is sent any more."""
        self._is_lost = self._is_closing = self.has_vanished = True
        self._wire.clear()
        self._network.ended(self)

    def send_again(self) -> None:
        """Something has healed: what was held is on its way again, if it is reached now."""
        if self._wire:
            self._arrives_at = max(self._arrives_at, self._loop.now + self._latency())
            self._pump_at(self._loop.now + self._latency())

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _latency(self) -> float:
        return self._network.latency(self.process.name, self.peer.process.name)

    def _send(self, kind: int, data: bytes) -> None:
        self._untaken_bytes += len(data)
        self._arrives_at = max(self._arrives_at, self._loop.now + self._latency())
        self._wire.append((self._arrives_at, kind, data))
        self._pump_at(self._arrives_at)

    def _pump_at(self, when: float) -> None:
        if not self._is_pumping:
            self._is_pumping = True
            self._loop.world_at(when, self._pump)

    def _pump(self) -> None:
        """Deliver the bytes that are due. In no process: kernels and cables go on while processes stand still."""
        self._is_pumping = False
        if not self._wire:
            return
        if not self._network.reaches(self):
            self._hold()
            return
        self._held_since = None
        while self._wire and self._wire[0][0] <= self._loop.now:
            _, kind, data = self._wire.popleft()
            self.peer._arrive(kind, data)
        if self._wire:
            self._pump_at(self._wire[0][0])

    def _hold(self) -> None:
        self._network.hold(self)
        if self._held_since is None:
            self._held_since = self._loop.now
            self._loop.world_at(self._loop.now + self._user_timeout_seconds, self._give_up, self._held_since)

    def _give_up(self, held_since: float) -> None:
        if self._held_since == held_since and not self._is_lost:
            self._is_closing = True
            self._wire.clear()
            error = TimeoutError(errno.ETIMEDOUT, "Connection timed out")
            self._loop.call_soon(self._lose, error, context=self._context)

    def _arrive(self, kind: int, data: bytes) -> None:
        if kind == _RST and not self._is_reading and not self._is_lost:  # else the next write would find it
            self._is_closing = True
            self._loop.call_soon(self._lose, _reset_by_peer(), context=self._context)
        elif not self._is_lost:
            self._inbox.append((kind, data))
            self._take_soon()
        elif kind == _DATA:  # of a connection that this kernel does not know any more
            self.has_vanished = False
            self._send(_RST, b"")

    def _take_soon(self) -> None:
        if self._inbox and self._is_reading and not self._is_taking and self._protocol is not None:
            self._is_taking = True
            self._loop.call_soon(self._take, context=self._context)

    def _take(self) -> None:
        """The process reads what has arrived; in it."""
        self._is_taking = False
        while self._inbox and self._is_reading and not self._is_lost:
            kind, data = self._inbox.popleft()
            if kind == _DATA:
                self._take_data(data)
            elif kind == _RST:
                self._is_closing = True
                self._lose(_reset_by_peer())
            elif not self._is_closing and not cast("asyncio.Protocol", self._protocol).eof_received():
                self.close()

    def _take_data(self, data: bytes) -> None:
        if self._inbox and self._inbox[0][0] == _DATA:
            parts = [data]
            while self._inbox and self._inbox[0][0] == _DATA:
                parts.append(self._inbox.popleft()[1])
            data = b"".join(parts)
        self.peer._was_taken(len(data))
        if not self._is_closing:
            cast("asyncio.Protocol", self._protocol).data_received(data)

    def _was_taken(self, size: int) -> None:
        """The peer's process has taken that many bytes."""
        self._untaken_bytes -= size
        if self._unsent and self._untaken_bytes < KERNEL_BYTES:
            self._loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        """The kernel has room again; in the process."""
        while self._unsent and self._untaken_bytes < KERNEL_BYTES:
            data = self._unsent.popleft()
            self._unsent_bytes -= len(data)
            self._send(_DATA, data)
        if self._is_lost:
            return
        if self._is_closing and not self._unsent:
            self._finish()
        if self._is_paused and self._unsent_bytes <= self._low_bytes:
            self._is_paused = False
            cast("asyncio.Protocol", self._protocol).resume_writing()

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end_wire(self, *, is_reset: bool) -> None:
        """Say that this end is closed; a reset overtakes some of what is under way."""
        if is_reset:
            kept = int(self._network.randomness.random() * (len(self._wire) + 1))
            while len(self._wire) > kept:
                self._wire.pop()
        self._send(_RST if is_reset else _FIN, b"")

    def _finish(self) -> None:
        self._end_wire(is_reset=self._socket.is_reset_on_close)
        self._loop.call_soon(self._lose, None, context=self._context)

    def _lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = self._is_closing = True
            self._unsent.clear()
            self._unsent_bytes = 0
            self._network.ended(self)
            if self._protocol is not None:
                self._protocol.connection_lost(error)


def _reset_by_peer() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
