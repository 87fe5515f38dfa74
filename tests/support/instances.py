"""Real `holdfast serve` processes for tests: started, killed, frozen and started again, each by its process id."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from holdfast.drills.local.waiting import free_port
from holdfast.web.auth import issue
from support.eventually import eventually

SECRET = "a-secret-of-tests-that-is-long-enough"


def token(
    user_id: str, ttl_seconds: float = 3600, *, is_admin: bool = False, secret: str = SECRET, ahead_seconds: float = 0.0
) -> str:
    """A token that the instances of tests believe; `ahead_seconds`: how wrong the clock of its issuer is."""
    issued_at = time.time() + ahead_seconds
    return issue(secret, user_id, ttl_seconds, issuer="holdfast", audience="holdfast", is_admin=is_admin, issued_at=issued_at)


@dataclass
class Serving:
    """One instance; its log is kept in a file and read by tests that care what was said."""

    name: str
    environ: dict[str, str]
    directory: Path
    port: int = field(default_factory=free_port)
    internal_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """REST."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The socket."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def internal_url(self) -> str:
        """Metrics and probes."""
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def log_path(self) -> Path:
        """Everything it said, over all its starts."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    async def start(self, *, until_ready: bool = True) -> "Serving":
        """Start it; returns when `/readyz` says so."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")}
        environ |= {"HOLDFAST_HTTP__HOST": "127.0.0.1"} | self.environ
        environ |= {
            "INSTANCE_ID": self.name,
            "HOLDFAST_HTTP__PORT": str(self.port),
            "HOLDFAST_HTTP__INTERNAL_PORT": str(self.internal_port),
        }
        program = "holdfast"
        if "ALTERED" in environ:  # see support.altered
            program = "support.altered"
            environ["PYTHONPATH"] = str(Path(__file__).parents[1])
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", program, "serve"], env=environ, stdout=log, stderr=log)  # noqa: ASYNC220 - takes a millisecond
        if until_ready:
            await eventually(self.is_ready, within=60)  # a busy machine starts several at once
        return self

    async def is_ready(self) -> bool:
        """What a probe would find."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{self.url}/readyz", timeout=2)).status_code == 200
        except httpx.HTTPError:
            return False

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def stop(self, timeout_seconds: float = 15) -> int:
        """As `kill` does; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        return self.process.returncode

    def log(self) -> str:
        """Everything it said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Instances:
    """The instances of one test, on one Redis and one store. `close` ends what still runs."""

    def __init__(self, directory: Path, redis_url: str, store_url: str, **environ: str) -> None:
        self.directory = directory
        self.environ = {
            "HOLDFAST_REDIS__URL": redis_url,
            "HOLDFAST_STORE__URL": store_url,
            "HOLDFAST_AUTH__SECRET": SECRET,
            "HOLDFAST_DRAIN__WINDOW_SECONDS": "1",
            "HOLDFAST_LOG__FORMAT": "text",
            **environ,
        }
        self.all: list[Serving] = []

    async def start(self, *names: str, **environ: str) -> list[Serving]:
        """Start instances, at the same time."""
        serving = [Serving(name, self.environ | environ, self.directory) for name in names]
        self.all += serving
        await asyncio.gather(*(each.start() for each in serving))
        return serving

    def close(self) -> None:
        """End everything, by process id."""
        for each in self.all:
            if each.process is not None and each.process.poll() is None:
                each.signal(signal.SIGCONT)
                each.process.terminate()
        deadline = time.monotonic() + 10
        for each in self.all:
            if each.process is not None:
                try:
                    each.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    each.process.kill()
                    each.process.wait(10)

    def assert_quiet(self) -> None:
        """No instance logged a traceback."""
        for each in self.all:
            assert "Traceback" not in each.log(), each.log()[-6000:]
