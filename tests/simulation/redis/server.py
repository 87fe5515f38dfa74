"""A simulated Redis and the faults that it can play. See `README.md` for what it is not.

Everything happens in one thread and at once: a command is carried out when its bytes arrive. Latency, partitions and resets are
the network's; a process that stands still is either the network's or `freeze`.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

import hiredis

from simulation.redis.administration import configure
from simulation.redis.engine import Engine
from simulation.redis.keyspace import Snapshot
from simulation.redis.protocol import RedisProtocol
from simulation.redis.replies import NO_REPLY, Refused, Reply, encode, error_line
from simulation.redis.state import NO_REPLICATION_ID, Client, Feed, Replication, Write, defaults
from simulation.redis.users import DEFAULT, User

Word = str | bytes | int | float


class Watch(Protocol):
    """Sees every command of a connection."""

    def before(self, client: Client, words: list[bytes]) -> bool:
        """Whether it is carried out; where it is not, the connection should have been dropped: no reply is sent."""
        ...

    def after(self, client: Client, words: list[bytes]) -> None:
        """It was carried out; its reply has not left."""
        ...


class _Operator(Client):
    """An operator inside the server: without a connection, with every right."""

    def __init__(self) -> None:
        super().__init__("operator")
        self.is_operator = True

    def send(self, data: bytes) -> None:
        """Nothing reads it."""

    def drop(self) -> None:
        """There is no connection."""


class RedisServer(Engine):
    """One server: an engine with connections, that may fail. Used from one thread.

    `clock` gives the seconds since 1970 of the server's own clock. `options` are settings as on its command line: a restart has
    them again, and no others.
    """

    def __init__(self, clock: Callable[[], float], randomness: random.Random, options: dict[bytes, bytes] | None = None) -> None:
        super().__init__(clock, randomness)
        self._options = dict(options or {})
        self._operator = _Operator()
        self._waiting: dict[RedisProtocol, None] = {}
        self._source: _Source | None = None
        self.is_running = True
        self.is_frozen = False
        self.watch: Watch | None = None
        self._configure()

    # --- connections ----------------------------------------------------------------------------------------------------

    def protocol(self) -> RedisProtocol:
        """The server's end of one connection, for any transport."""
        return RedisProtocol(self)

    def answer(self, client: Client, words: list[bytes]) -> bytes:
        """One command of a connection: the bytes of its reply, perhaps none. Raises `Unsupported` like `execute`."""
        watch = self.watch
        if watch is None:
            return self._reply(client, words)
        if not watch.before(client, words):
            return b""
        reply = self._reply(client, words)
        watch.after(client, words)
        return reply

    def _reply(self, client: Client, words: list[bytes]) -> bytes:
        try:
            reply = self.execute(client, words)
        except Refused as refused:
            return error_line(refused)
        return b"" if reply is NO_REPLY else encode(reply)

    def run(self, *words: Word) -> Reply:
        """One command of an operator with every right, at once: bulk and simple strings as bytes, else int, None or list.

        Raises:
            Refused: the error that Redis answers.
        """
        reader = hiredis.Reader()
        reader.feed(encode(self.execute(self._operator, [_word(each) for each in words])))
        reply = reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            raise Refused(str(reply))
        return reply

    def drop_clients(self) -> None:
        """Every connection ends."""
        for client in list(self.state.clients.values()):
            client.drop()

    # --- the process ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """`kill -9`: connections end, new ones are ended at once, what was in memory is gone."""
        self.is_running = False
        self.is_frozen = False
        self._waiting.clear()
        self.drop_clients()

    def start(self, snapshot: Snapshot | None = None) -> None:
        """Another process with another run id, holding the snapshot, or the last SAVE, or nothing. Connections of before end."""
        self.stop()
        state = self.state
        found = snapshot or state.on_disk
        state.keyspace.now_ms = state.now_ms()
        state.keyspace.salt = state.randomness.getrandbits(32)
        state.keyspace.clear()
        if found is not None:
            state.keyspace.load(found)
        self._begin_process(Replication((state.random_id(), found.replication_id if found else NO_REPLICATION_ID)))

    def restart(self, snapshot: Snapshot | None = None, *, keeps_data: bool = False) -> None:
        """`stop` and `start`. `keeps_data`: it saved before it ended, as a shutdown with persistence does."""
        self.start(self.snapshot() if keeps_data else snapshot)

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: what arrived meanwhile is answered, connection after connection."""
        self.is_frozen = False
        waiting, self._waiting = self._waiting, {}
        for protocol in waiting:
            protocol.serve()

    def wait(self, protocol: RedisProtocol) -> None:
        """Its bytes came while the server was frozen."""
        self._waiting[protocol] = None

    def _begin_process(self, replication: Replication) -> None:
        state = self.state
        state.run_id, state.replication = state.random_id(), replication
        state.started_at = state.clock()
        state.scripts.flush()
        state.calls.clear()
        state.feeds.clear()
        state.users = {DEFAULT: User(DEFAULT)}
        state.config = defaults()
        self._source = None
        self._configure()
        self.is_running = True

    def _configure(self) -> None:
        for name, value in self._options.items():
            configure(self.state, name, value)

    # --- data -----------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What an RDB file of this moment holds."""
        self.state.keyspace.now_ms = self.state.now_ms()
        return self.state.keyspace.snapshot(self.state.replication.ids[0])

    def flush_all(self) -> None:
        """FLUSHALL by an operator."""
        self.run("FLUSHALL")

    # --- refusals -------------------------------------------------------------------------------------------------------

    def set_out_of_memory(self, is_out: bool) -> None:
        """Writes that need memory are answered with OOM; those that free some are not."""
        self.state.is_out_of_memory = is_out

    def set_loading(self, is_loading: bool) -> None:
        """It reads its snapshot: almost every command is answered with LOADING."""
        self.state.is_loading = is_loading

    # --- replication ----------------------------------------------------------------------------------------------------

    def attach_replica(self, lag_seconds: float = 0.0) -> "RedisServer":
        """A replica with the same data; it applies each write `lag_seconds` later. The first one changes the replication id."""
        if not self.state.replication.has_backlog:
            self.state.replication.has_backlog = True
            self.state.change_replication_id(keeps_the_old=False)
        replica = self._copy()
        replica.state.replication = Replication(self.state.replication.ids, ("127.0.0.1", self.state.port), is_linked=True)
        replica._source = _Source(replica, replica._operator, lag_seconds)
        self.state.feeds.append(replica._source)
        return replica

    def promote(self, lost_seconds: float = 0.0) -> None:
        """A replica becomes a primary. Writes of its primary's last `lost_seconds` that it has not applied are lost."""
        if self._source is not None:
            self._source.finish(lost_seconds)
            self._source = None
        self.run("REPLICAOF", "NO", "ONE")

    def fork(self) -> "RedisServer":
        """A second primary: a replica in step was promoted while this one goes on. They differ from here."""
        other = self._copy()
        other.state.replication = Replication((other.state.random_id(), self.state.replication.ids[0]))
        return other

    def catch_up(self) -> None:
        """See `Engine`."""
        if self._source is not None:
            self._source.apply_due()

    def _copy(self) -> "RedisServer":
        other = RedisServer(self.state.clock, random.Random(self.state.randomness.getrandbits(64)), self._options)
        other.state.keyspace.now_ms = other.state.now_ms()
        other.state.keyspace.load(self.snapshot())
        return other


class _Source(Feed):
    """What a replica hears of its primary. Bounded: what is older than the lag is applied when the next write is heard."""

    def __init__(self, replica: Engine, client: Client, lag_seconds: float) -> None:
        self._replica = replica
        self._client = client
        self._lag_ms = int(lag_seconds * 1000)
        self._pending: deque[Write] = deque()

    def hear(self, write: Write) -> None:
        self._pending.append(write)
        self.apply_due()

    def apply_due(self) -> None:
        """Apply the writes that are as old as the lag."""
        self._apply_until(self._replica.state.now_ms() - self._lag_ms)

    def finish(self, lost_seconds: float) -> None:
        """Apply what was written before the last `lost_seconds`; hear nothing more."""
        self._apply_until(self._replica.state.now_ms() - int(lost_seconds * 1000))
        self._pending.clear()
        self.is_cut = True

    def _apply_until(self, last_ms: int) -> None:
        while self._pending and self._pending[0][0] <= last_ms:
            self._replica.repeat(self._client, self._pending.popleft())


def _word(value: Word) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else b"%.17g" % value
