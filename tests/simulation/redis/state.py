"""What a server knows: its data, its clients, its users, its place in a replication. No command, no I/O."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from simulation.redis.keyspace import Keyspace, Snapshot
from simulation.redis.lua import Interpreter
from simulation.redis.replies import Reply, encode
from simulation.redis.users import DEFAULT, User

VERSION: Final = "7.0.15"
NO_REPLICATION_ID: Final = "0" * 40
PORT: Final = 6379
_MEBIBYTE: Final = 1024 * 1024


class Client:
    """A connection, as commands see it. Subclasses send and close."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.address = address
        self.number = 0
        self.name = b""
        self.user = DEFAULT
        self.is_authenticated = False
        self.opened_at = 0.0
        self.last_command = ""
        self.channels: dict[bytes, None] = {}
        self.has_quit = False
        self.is_operator = False  # no password, no ACL

    def send(self, data: bytes) -> None:
        """Bytes for the other end, after all that were sent before."""
        raise NotImplementedError

    def drop(self) -> None:
        """End the connection; unsent bytes may be lost."""
        raise NotImplementedError

    def push(self, reply: Reply) -> None:
        """A message that no command asked for, or one of several replies to one command."""
        self.send(encode(reply))


@dataclass
class Running:
    """The script under way: on whose behalf, and what is decided once for all its commands."""

    client: Client
    is_out_of_memory: bool
    has_written: bool = False


@dataclass
class Replication:
    """Whose data this is, and where it comes from. `upstream`: (host, port) of the primary of a replica."""

    ids: tuple[str, str]
    upstream: tuple[str, int] | None = None
    is_linked: bool = False
    has_backlog: bool = False


Write = tuple[int, list[list[bytes]]]
"""When (ms of the primary's clock), and the commands that were carried out as one step."""


class Feed:
    """The way to one replica."""

    is_cut = False

    def hear(self, write: Write) -> None:
        """The primary wrote this."""
        raise NotImplementedError


class State:
    """One server. Used from one thread.

    Attributes:
        keyspace: the data.
        clients: by number, in the order of their connecting.
        subscribers: the clients of each channel.
        on_disk: the snapshot that a restart finds; None where none was saved.
        is_loading: it answers LOADING.
        is_out_of_memory: it answers OOM to writes, whatever `maxmemory` says.
        calls: how often each command was called since `CONFIG RESETSTAT`.
        unsupported: what was asked of it that it cannot do as Redis does; a test that finds something here proves nothing.
        feeds: the ways to its replicas.
        script: None while none runs.
    """

    def __init__(self, clock: Callable[[], float], randomness: random.Random, run_script: Callable[[list[bytes]], Reply]) -> None:
        self.clock = clock
        self.randomness = randomness
        self.started_at = clock()
        self.keyspace = Keyspace(salt=randomness.getrandbits(32), now_ms=self.now_ms())
        self.run_id = self.random_id()
        self.replication = Replication((self.random_id(), NO_REPLICATION_ID))
        self.scripts = Interpreter(run_script)
        self.clients: dict[int, Client] = {}
        self.subscribers: dict[bytes, dict[Client, None]] = {}
        self.users: dict[bytes, User] = {DEFAULT: User(DEFAULT)}
        self.config: dict[bytes, bytes] = defaults()
        self.feeds: list[Feed] = []
        self.on_disk: Snapshot | None = None
        self.is_loading = False
        self.is_out_of_memory = False
        self.calls: Counter[str] = Counter()
        self.unsupported: list[str] = []
        self.script: Running | None = None
        self.port = PORT
        self._clients_made = 0

    def now_ms(self) -> int:
        """The server's clock in milliseconds."""
        return int(self.clock() * 1000)

    def random_id(self) -> str:
        """40 hexadecimal digits."""
        return f"{self.randomness.getrandbits(160):040x}"

    def fractions(self) -> Iterator[float]:
        """Random numbers below 1, without end."""
        while True:
            yield self.randomness.random()

    @property
    def is_replica(self) -> bool:
        """It follows another server, and refuses writes."""
        return self.replication.upstream is not None

    @property
    def has_too_little_memory(self) -> bool:
        """Writes that need memory are refused (`noeviction`)."""
        limit = int(self.config[b"maxmemory"])
        return self.is_out_of_memory or (limit > 0 and _MEBIBYTE + self.keyspace.used_bytes() > limit)

    def change_replication_id(self, *, keeps_the_old: bool) -> None:
        """A new history begins; the old id is remembered as the second one after a promotion."""
        second = self.replication.ids[0] if keeps_the_old else NO_REPLICATION_ID
        self.replication.ids = (self.random_id(), second)

    # --- clients ------------------------------------------------------------------------------------------------------

    def enter(self, client: Client) -> None:
        """A connection was made."""
        self._clients_made += 1
        client.number = self._clients_made
        client.opened_at = self.clock()
        client.is_authenticated = self.users[DEFAULT].needs_no_password
        self.clients[client.number] = client

    def leave(self, client: Client) -> None:
        """A connection ended. Idempotent."""
        self.clients.pop(client.number, None)
        for channel in list(client.channels):
            self.forget(client, channel)

    def hear(self, client: Client, channel: bytes) -> None:
        """SUBSCRIBE."""
        client.channels[channel] = None
        self.subscribers.setdefault(channel, {})[client] = None

    def forget(self, client: Client, channel: bytes) -> None:
        """UNSUBSCRIBE."""
        client.channels.pop(channel, None)
        listening = self.subscribers.get(channel)
        if listening is not None:
            listening.pop(client, None)
            if not listening:
                del self.subscribers[channel]


def defaults() -> dict[bytes, bytes]:
    """The settings of Redis that anything here asks for."""
    return {
        b"save": b"",
        b"appendonly": b"no",
        b"maxmemory": b"0",
        b"maxmemory-policy": b"noeviction",
        b"requirepass": b"",
        b"client-output-buffer-limit": b"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        b"repl-diskless-sync-delay": b"5",
        b"timeout": b"0",
        b"databases": b"1",
    }
