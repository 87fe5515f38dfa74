"""A Redis that Sentinels watch: a primary, its replica, and the Sentinels."""

from collections.abc import Iterable
from pathlib import Path

from holdfast.adapters.redis.link import RedisLink
from holdfast.bootstrap import redis_link
from holdfast.launcher.redis import RedisServer
from holdfast.launcher.waiting import until
from holdfast.settings import RedisSettings

_IN_STEP_SECONDS = 10.0


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
