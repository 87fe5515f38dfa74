"""The simulated network: what arrives, what waits, what is lost."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from simulation.loop import SimulatedLoop
from simulation.patching import simulated
from simulation.process import Process
from simulation.transport import KERNEL_BYTES, SimulatedTransport

HOST, PORT = "10.0.0.1", 80


class _End(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.transport: SimulatedTransport
        self.data = b""
        self.events: list[str] = []
        self.error: Exception | None = None
        self.has_ended = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        return False

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.error = exc
        self.has_ended.set()


class Scene:
    """A server process, a client process, and the ends of their connections."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.network = loop.network
        self.server, self.client = loop.process("server"), loop.process("client")
        self.accepted: list[_End] = []
        self.listener = self.listen(self.server)

    def listen(self, process: Process) -> Any:
        return self.network.listen(HOST, PORT, process, self._accept)

    def _accept(self) -> _End:
        self.accepted.append(_End())
        return self.accepted[-1]

    def connect(self) -> tuple[_End, _End]:
        """Both ends of a new connection: the client's, the server's."""
        end = self.awaited(self.client.spawn(self.connecting()))
        self.loop.run_for(0.1)
        return end, self.accepted[-1]

    async def connecting(self) -> _End:
        """The client's end of a new connection."""
        _, end = await self.loop.create_connection(_End, HOST, PORT)
        assert isinstance(end, _End)
        return end

    def awaited(self, task: "asyncio.Task[_End]", seconds: float = 60.0) -> _End:
        """The task's result."""

        async def result() -> _End:
            return await task

        return self.loop.run(result(), within_seconds=seconds)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with simulated(3) as loop:
        yield Scene(loop)


def test_bytes_arrive_in_order_and_later(scene: Scene) -> None:
    """What TCP promises, and what it takes."""
    client, server = scene.connect()
    before = scene.loop.now
    for number in range(100):
        client.transport.write(b"%d," % number)
    scene.loop.run_for(0.1)
    assert server.data == b"".join(b"%d," % number for number in range(100))
    assert scene.loop.now > before


def test_close_sends_what_was_written_and_ends_both(scene: Scene) -> None:
    """A farewell arrives."""
    client, server = scene.connect()
    client.transport.write(b"bye")
    client.transport.close()
    scene.loop.run_for(1)
    assert server.data == b"bye"
    assert server.events == ["made", "eof", "lost"]
    assert client.events == ["made", "lost"]
    assert (client.error, server.error) == (None, None)


def test_port_without_a_listener_refuses(scene: Scene) -> None:
    """An instance that is gone is noticed at once where its machine lives."""
    scene.listener.close()
    with pytest.raises(ConnectionRefusedError):
        scene.connect()


def test_host_that_is_cut_off_does_not_answer_a_connection(scene: Scene) -> None:
    """A SYN into a partition waits; it is not refused."""
    scene.network.cut("client", "server")
    task = scene.client.spawn(scene.connecting())
    scene.loop.run_for(30)
    assert not task.done()
    scene.network.heal()
    assert scene.awaited(task, 2).events == ["made"]


def test_partition_holds_bytes_until_it_heals(scene: Scene) -> None:
    """TCP sends again: a short partition loses nothing."""
    client, server = scene.connect()
    scene.network.cut("client", "server")
    client.transport.write(b"late")
    server.transport.write(b"late too")
    scene.loop.run_for(5)
    assert server.data == client.data == b""
    scene.network.heal("client", "server")
    scene.loop.run_for(0.5)
    assert (server.data, client.data) == (b"late", b"late too")


def test_one_way_partition_stops_one_direction(scene: Scene) -> None:
    """The half that still hears believes that all is well."""
    client, server = scene.connect()
    scene.network.cut("client", "server", is_one_way=True)
    client.transport.write(b"unheard")
    server.transport.write(b"heard")
    scene.loop.run_for(5)
    assert (server.data, client.data) == (b"", b"heard")


def test_long_partition_ends_the_connection_at_the_side_that_writes(scene: Scene) -> None:
    """TCP_USER_TIMEOUT of the server's listener; the client, which wrote nothing, learns of it when it does."""
    client, server = scene.connect()
    scene.network.cut("client", "server")
    server.transport.write(b"into the void")
    scene.loop.run_for(25)
    assert isinstance(server.error, TimeoutError)
    assert client.events == ["made"]
    scene.network.heal()
    client.transport.write(b"hello?")
    scene.loop.run_for(1)
    assert isinstance(client.error, ConnectionResetError)


def test_healing_another_pair_does_not_prolong_the_timeout(scene: Scene) -> None:
    """The end of another partition does not affect this connection."""
    _, server = scene.connect()
    scene.network.cut("client", "server")
    scene.network.cut("client", "another")
    server.transport.write(b"into the void")
    scene.loop.run_for(15)
    scene.network.heal("client", "another")
    scene.loop.run_for(7)
    assert isinstance(server.error, TimeoutError)


def test_heal_of_one_process_undoes_all_its_partitions(scene: Scene) -> None:
    """And no others."""
    for pair in (("client", "server"), ("client", "store"), ("server", "store")):
        scene.network.cut(*pair)
    scene.network.heal("client")
    assert not scene.network.is_cut("client", "server")
    assert not scene.network.is_cut("store", "client")
    assert scene.network.is_cut("server", "store")


def test_reset_reaches_an_end_that_reads_nothing(scene: Scene) -> None:
    """A slow reader whose peer is gone is not kept."""
    client, server = scene.connect()
    server.transport.pause_reading()
    client.transport.write(b"never read")
    scene.loop.run_for(0.1)
    scene.client.kill()
    server.transport.write(b"hello?")
    scene.loop.run_for(1)
    assert server.events[-1] == "lost"


def test_reset_loses_bytes_under_way(scene: Scene) -> None:
    """Written is not delivered."""
    client, server = scene.connect()
    client.transport.write(b"lost")
    assert scene.network.reset("client", "server") == 1
    scene.loop.run_for(1)
    assert server.data == b""
    assert isinstance(client.error, ConnectionResetError)
    assert isinstance(server.error, ConnectionResetError)
    assert scene.network.connections("client") == []


def test_slow_reader_stops_the_writer(scene: Scene) -> None:
    """Every buffer has an end, and the writer is told."""
    client, server = scene.connect()
    server.transport.pause_reading()
    for _ in range(12):
        client.transport.write(bytes(32 * 1024))
    scene.loop.run_for(1)
    assert client.events == ["made", "pause"]
    assert client.transport.get_write_buffer_size() == 12 * 32 * 1024 - KERNEL_BYTES
    server.transport.resume_reading()
    scene.loop.run_for(1)
    assert client.events == ["made", "pause", "resume"]
    assert len(server.data) == 12 * 32 * 1024


def test_bytes_that_the_kernel_has_not_taken_die_with_their_process(scene: Scene) -> None:
    """A crash loses what waits in the process."""
    client, server = scene.connect()
    server.transport.pause_reading()
    for _ in range(12):
        client.transport.write(bytes(32 * 1024))
    scene.loop.run_for(1)
    scene.client.kill()
    server.transport.resume_reading()
    scene.loop.run_for(1)
    assert len(server.data) <= KERNEL_BYTES
    assert server.events[-1] == "lost"


def test_death_of_a_process_ends_its_connections_at_the_peer(scene: Scene) -> None:
    """The kernel closes what a process had open."""
    client, server = scene.connect()
    scene.server.kill()
    scene.loop.run_for(1)
    assert client.events[-1] == "lost"
    assert server.events == ["made"]
    with pytest.raises(ConnectionRefusedError):
        scene.connect()


def test_silent_death_is_not_noticed_until_the_host_is_back(scene: Scene) -> None:
    """A machine that loses its power sends no RST; its successor resets connections that it does not know."""
    client, _ = scene.connect()
    scene.server.kill(is_silent=True)
    client.transport.write(b"anybody?")
    scene.loop.run_for(60)
    assert client.events == ["made"]
    task = scene.client.spawn(scene.connecting())
    scene.loop.run_for(10)
    assert not task.done()
    scene.listen(scene.loop.process("server"))
    scene.loop.run_for(3)
    assert isinstance(client.error, ConnectionResetError)
    assert task.done()


def test_frozen_process_reads_later(scene: Scene) -> None:
    """Its kernel still takes bytes and connections."""
    client, server = scene.connect()
    scene.server.freeze()
    client.transport.write(b"patience")
    scene.loop.run_for(5)
    assert (server.data, client.events) == (b"", ["made"])
    scene.server.thaw()
    scene.loop.run_for(0.1)
    assert server.data == b"patience"


def test_streams_of_asyncio_run_over_it(scene: Scene) -> None:
    """redis-py and httpx use these."""
    scene.listener.close()

    async def echo() -> bytes:
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(b"line\n")
        await writer.drain()
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data.upper())

    scene.network.listen(HOST, PORT, scene.server, Echo)
    assert scene.loop.run(echo()) == b"LINE\n"


def test_name_has_the_addresses_that_it_was_given(scene: Scene) -> None:
    """A headless Service has one for each pod; another name has none."""
    scene.network.names["pods"] = ["10.0.0.1", "10.0.0.2"]

    async def resolve(name: str) -> list[str]:
        return [str(at[0]) for *_, at in await asyncio.get_running_loop().getaddrinfo(name, 80)]

    assert scene.loop.run(resolve("pods")) == ["10.0.0.1", "10.0.0.2"]
    with pytest.raises(OSError, match="not known"):
        scene.loop.run(resolve("elsewhere"))
