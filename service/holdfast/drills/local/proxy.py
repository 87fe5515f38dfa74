"""A TCP proxy whose owner decides what becomes of the bytes: the network's faults, without a network to break."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

from holdfast.launcher.ports import free_port

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER without a wait: closing sends a reset instead of the end of the stream

_Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """Forwards to a port of this machine. Use it as a context in one event loop; leaving it ends every connection.

    Attributes:
        delay_seconds: each piece waits that long, both ways.
    """

    def __init__(self, target_port: int | Callable[[], int], marker: bytes = b"", *, tls: ssl.SSLContext | None = None) -> None:
        """Listens nowhere yet.

        Args:
            target_port: where to, or a function that gives it for each connection.
            marker: `deafen` and `reset` concern the connections whose requests contain it.
            tls: ends here, where it is given; the way on is plain.
        """
        self.port = free_port()
        self._tls = tls
        self.delay_seconds = 0.0
        self._target_port = target_port if callable(target_port) else lambda: target_port
        self._may_flow = asyncio.Event()
        self._may_flow.set()
        self._is_swallowing = False
        self._trigger = b""
        self._marker = marker
        self._marked: set[asyncio.StreamWriter] = set()
        self._is_deaf = False
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection, and what carried it."""
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Accept connections (again)."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)

    async def refuse(self) -> None:
        """End what is open and accept nothing, until `listen`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Reset what is open; new connections are welcome."""
        for pair in self._pairs:
            for writer in pair:
                writer.transport.abort()

    def swallow_replies(self, after: bytes = b"") -> None:
        """Requests arrive, their answers never do; beginning with the first request that contains `after`."""
        self._is_swallowing = not after
        self._trigger = after

    def deafen(self) -> None:
        """The marked connections get no more answers and are not closed; the others go on."""
        self._is_deaf = True

    def reset(self) -> int:
        """Reset the marked connections; how many there were."""
        found = [each for each in self._marked if not each.is_closing()]
        for to_client in found:
            to_client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            to_client.transport.abort()
        return len(found)

    def stall(self) -> None:
        """Nothing moves in either direction; nothing is closed."""
        self._may_flow.clear()

    def flow(self) -> None:
        """As a network should be. Stalled data goes on; swallowed data is lost, so cut such connections first."""
        self._is_swallowing = self._is_deaf = False
        self._trigger = b""
        self._may_flow.set()

    async def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target_port())
        except OSError:
            to_client.transport.abort()
            return
        pair = (to_client, to_target)
        self._pairs.add(pair)
        pumps = [self._pump(from_client, pair, is_reply=False), self._pump(from_target, pair, is_reply=True)]
        for pump in pumps:
            task = asyncio.ensure_future(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._forget(pair))

    def _forget(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        self._marked.discard(pair[0])

    async def _pump(self, source: asyncio.StreamReader, pair: _Pair, *, is_reply: bool) -> None:
        to_client, to_target = pair
        sink = to_client if is_reply else to_target
        with contextlib.suppress(OSError), contextlib.closing(sink):
            while data := await source.read(_CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._may_flow.wait()
                if is_reply and (self._is_swallowing or (self._is_deaf and to_client in self._marked)):
                    continue
                if not is_reply:
                    self._look_at(data, to_client)
                sink.write(data)
                await sink.drain()

    def _look_at(self, request: bytes, to_client: asyncio.StreamWriter) -> None:
        if self._trigger and self._trigger in request:
            self.swallow_replies()
        if self._marker and self._marker in request:
            self._marked.add(to_client)
