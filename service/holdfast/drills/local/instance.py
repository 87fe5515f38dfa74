"""One `holdfast serve` process of a drill: started, killed, frozen and started again, by its process id."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from holdfast.client.tls import authorities
from holdfast.drills.local.waiting import TargetFailed, free_port, until

_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 20.0


class LocalInstance:
    """Its log, over all its starts, is `log_path`."""

    def __init__(self, name: str, environ: dict[str, str], directory: Path) -> None:
        """Starts nothing yet."""
        self.name = name
        self.port, self.internal_port = free_port(), free_port()
        self.log_path = directory / f"{name}.log"
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def memory_mb(self) -> float:
        """Resident memory (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    @property
    def is_running(self) -> bool:
        """Started, and not ended."""
        return self._process is not None and self._process.poll() is None

    async def start(self, module: str = "holdfast", environ: Mapping[str, str] | None = None) -> float:
        """Run it; in how many seconds it was ready.

        Args:
            module: what serves: another one breaks something in its own process first.
            environ: variables of this start alone.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        variables = inherited | self._environ | dict(environ or {})
        variables |= {
            "INSTANCE_ID": self.name,
            "HOLDFAST_HTTP__HOST": "127.0.0.1",
            "HOLDFAST_HTTP__PORT": str(self.port),
            "HOLDFAST_HTTP__INTERNAL_PORT": str(self.internal_port),
        }
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", module, "serve"], env=variables, stdout=log, stderr=log)  # noqa: ASYNC220 - takes a millisecond
        return await until(self.is_ready, _START_SECONDS, f"{self.name} is ready")

    async def is_ready(self) -> bool:
        """What a probe would find."""
        if not self.is_running:
            raise TargetFailed(f"{self.name} ended: {self.log_path.read_text(errors='replace')[-2000:]}")
        try:
            return (await self._get("/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def health(self) -> dict[str, Any]:
        """`/api/health`; empty when there is no answer."""
        try:
            return dict((await self._get("/api/health")).json())
        except (httpx.HTTPError, ValueError):
            return {}

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.is_running:
            assert self._process is not None
            self._process.kill()
            self._process.wait(10)

    async def terminate(self) -> float:
        """As `kill` does; in how many seconds it was gone."""
        assert self._process is not None
        self._process.terminate()
        return await until(lambda: not self.is_running, _END_SECONDS, f"{self.name} ends")

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.is_running:
            self.thaw()
            self.kill()

    async def _get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
            return await client.get(self.url + path, timeout=2)
