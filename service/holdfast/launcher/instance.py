"""One `holdfast serve` process on this machine."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx

from holdfast.client.tls import authorities
from holdfast.launcher.costs import memory_kb
from holdfast.launcher.ports import free_port
from holdfast.launcher.process import LocalProcess
from holdfast.launcher.waiting import TargetFailed, until

_END_SECONDS: Final = 20.0


class LocalInstance(LocalProcess):
    """Has the same ports, and the same log, over all its starts."""

    READY_SECONDS: ClassVar[float] = 30.0

    def __init__(self, name: str, environ: Mapping[str, str], directory: Path) -> None:
        """Starts nothing yet. `environ`: its settings; those in the environment of this process do not count."""
        super().__init__(name, directory / f"{name}.log")
        self.environ = dict(environ)
        self.port, self.internal_port = free_port(), free_port()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        """Metrics and probes."""
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def memory_mb(self) -> float:
        """Resident memory (Linux)."""
        try:
            return memory_kb(self.pid) / 1024
        except ProcessLookupError:  # it ended since it was looked at
            return 0.0

    async def start(self, module: str = "holdfast", environ: Mapping[str, str] | None = None) -> float:
        """Run it; in how many seconds it was ready. For the arguments see `launch`.

        Raises:
            TargetFailed: it ended, or is not ready after `READY_SECONDS`.
        """
        self.launch(module, environ)
        return await until(self.is_ready, self.READY_SECONDS, f"{self.name} is ready")

    def launch(self, module: str = "holdfast", environ: Mapping[str, str] | None = None) -> None:
        """Run it, and return at once.

        Args:
            module: what serves: another one breaks something in its own process first.
            environ: variables of this start alone.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        variables = inherited | {"HOLDFAST_HTTP__HOST": "127.0.0.1"} | self.environ | dict(environ or {})
        variables |= {
            "INSTANCE_ID": self.name,
            "HOLDFAST_HTTP__PORT": str(self.port),
            "HOLDFAST_HTTP__INTERNAL_PORT": str(self.internal_port),
        }
        self.run([sys.executable, "-m", module, "serve"], variables)

    async def is_ready(self) -> bool:
        """What a probe would find.

        Raises:
            TargetFailed: it has ended.
        """
        if not self.is_running:
            raise TargetFailed(f"{self.name} ended with {self.exit_code}:\n{self.log()[-4000:]}")
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

    async def terminate(self) -> float:
        """As `kill` does; in how many seconds it was gone."""
        self.request_end()
        return await until(lambda: not self.is_running, _END_SECONDS, f"{self.name} ends")

    async def _get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
            return await client.get(self.url + path, timeout=2)
