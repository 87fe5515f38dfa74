"""The server's end of a connection: what leaves it, in which order, and when it ends."""

import asyncio

import hiredis
import pytest

from simulation.redis import RedisServer
from simulation.redis.protocol import RedisProtocol
from simulation.redis.state import Client
from support.fakes import ManualClock

MEBIBYTE = 1024 * 1024


class Line(asyncio.Transport):
    """What the server wrote, and whether it ended the connection."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 5000)})
        self.written = b""
        self.unsent_bytes = 0
        self.is_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.is_ended = True

    def close(self) -> None:
        self.is_ended = True


def connect(server: RedisServer) -> tuple[RedisProtocol, Line]:
    """A connection, and the other side of it."""
    protocol, line = server.protocol(), Line()
    protocol.connection_made(line)
    return protocol, line


def packed(*commands: str) -> bytes:
    return b"".join(hiredis.pack_command(tuple(command.split())) for command in commands)  # type: ignore[arg-type]  # its stub


def test_pipelined_commands_that_come_byte_by_byte_are_answered_in_order(server: RedisServer) -> None:
    """TCP knows no commands."""
    protocol, line = connect(server)
    for byte in packed("SET a 1", "GET", "GET a", "DEL a b"):
        protocol.data_received(bytes([byte]))
    assert line.written == (b"+OK\r\n-ERR wrong number of arguments for 'get' command\r\n$1\r\n1\r\n:1\r\n")


def test_confirmations_replies_and_messages_keep_their_order(server: RedisServer) -> None:
    """The bus counts confirmations, and probes on the connection that it hears on."""
    protocol, line = connect(server)
    protocol.data_received(packed("SUBSCRIBE a b", "PING", "UNSUBSCRIBE a"))
    assert server.run("PUBLISH", "a", "x") == 0
    assert server.run("PUBLISH", "b", "y") == 1
    assert line.written == (
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
        b"*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"
        b"*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\ny\r\n"
    )


@pytest.mark.parametrize(("unsent_bytes", "seconds"), [(33 * MEBIBYTE, 0.0), (9 * MEBIBYTE, 61.0)])
def test_a_subscriber_that_does_not_read_is_cut(
    server: RedisServer, clock: ManualClock, unsent_bytes: int, seconds: float
) -> None:
    """`client-output-buffer-limit`: messages are lost without a word to the publisher, only the connection tells."""
    protocol, line = connect(server)
    protocol.data_received(packed("SUBSCRIBE a"))
    line.unsent_bytes = unsent_bytes
    server.run("PUBLISH", "a", "x")
    clock.now += seconds
    server.run("PUBLISH", "a", "x")
    assert line.is_ended
    assert server.run("PUBLISH", "a", "x") == 0


def test_a_subscriber_that_reads_in_time_is_kept(server: RedisServer, clock: ManualClock) -> None:
    """A burst alone is no reason."""
    protocol, line = connect(server)
    protocol.data_received(packed("SUBSCRIBE a"))
    for unsent_bytes in (9 * MEBIBYTE, 0, 9 * MEBIBYTE):
        line.unsent_bytes = unsent_bytes
        server.run("PUBLISH", "a", "x")
        clock.now += 50
    assert not line.is_ended


def test_a_frozen_server_answers_when_it_thaws(server: RedisServer) -> None:
    """Commands that were sent to it meanwhile are carried out late, not never."""
    protocol, line = connect(server)
    server.freeze()
    protocol.data_received(packed("SET a 1"))
    assert (line.written, server.run("GET", "a")) == (b"", None)
    server.thaw()
    assert (line.written, server.run("GET", "a")) == (b"+OK\r\n", b"1")


def test_bytes_that_are_no_command_end_the_connection_after_an_error(server: RedisServer) -> None:
    """As with Redis, the commands before them are answered."""
    protocol, line = connect(server)
    protocol.data_received(packed("PING") + b"GET / HTTP/1.1\r\n\r\n")
    assert line.written.startswith(b"+PONG\r\n-ERR Protocol error")
    assert line.is_ended


def test_a_killed_server_ends_all_connections_and_takes_none_until_it_starts(server: RedisServer) -> None:
    """Nothing that subscribed before hears what is published after."""
    protocol, line = connect(server)
    protocol.data_received(packed("SUBSCRIBE a"))
    server.stop()
    assert line.is_ended
    assert connect(server)[1].is_ended
    server.start()
    assert (server.run("PUBLISH", "a", "x"), connect(server)[1].is_ended) == (0, False)


def test_subscriptions_can_be_killed_while_other_connections_stay(server: RedisServer) -> None:
    """Publishing goes on, and nothing is heard."""
    (subscribed, hearing), (_, other) = connect(server), connect(server)
    subscribed.data_received(packed("SUBSCRIBE a"))
    assert server.run("CLIENT", "KILL", "TYPE", "pubsub") == 1
    assert (hearing.is_ended, other.is_ended) == (True, False)


def test_what_is_not_authenticated_is_refused_until_it_is(server: RedisServer) -> None:
    """A new password denies later connections; connections that are authenticated stay so."""
    before, line_before = connect(server)
    server.run("CONFIG", "SET", "requirepass", "pw")
    after, line_after = connect(server)
    before.data_received(packed("PING"))
    after.data_received(packed("PING", "AUTH no", "AUTH pw", "PING"))
    assert line_before.written == b"+PONG\r\n"
    lines = line_after.written.split(b"\r\n")
    assert [line[:9] for line in lines] == [b"-NOAUTH A", b"-WRONGPAS", b"+OK", b"+PONG", b""]


class _AtCommand:
    """Implements `Watch`: ends the connection at the commands of that name, before or after."""

    def __init__(self, name: bytes, *, is_before: bool) -> None:
        self._name = name
        self._is_before = is_before

    def before(self, client: Client, words: list[bytes]) -> bool:
        if self._is_before and words[0] == self._name:
            client.drop()
            return False
        return True

    def after(self, client: Client, words: list[bytes]) -> None:
        if not self._is_before and words[0] == self._name:
            client.drop()


@pytest.mark.parametrize(("is_before", "stored"), [(True, None), (False, b"1")])
def test_connection_that_ends_at_one_of_its_commands_loses_the_command_or_its_reply(
    server: RedisServer, is_before: bool, stored: bytes | None
) -> None:
    """Faults fall between two calls; commands that were pipelined behind it are lost either way."""
    protocol, line = connect(server)
    server.watch = _AtCommand(b"SET", is_before=is_before)

    protocol.data_received(packed("PING", "SET a 1", "SET b 2"))

    assert line.is_ended
    assert line.written == b""
    assert server.run("GET", "a") == stored
    assert server.run("GET", "b") is None
