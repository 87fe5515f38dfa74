"""`holdfast up` as a thing under test: started like a user would, its parts killed and started again by its own scripts."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from holdfast.launcher.ports import is_free
from holdfast.launcher.redis import program
from support.eventually import eventually

_INTERNAL_OFFSET = 1_000
_READY_SECONDS = 60.0  # two cores shared with other tests
_END_SECONDS = 30.0


def require_redis() -> None:
    """`holdfast up` needs a Redis program; without one its tests are skipped, loudly, and fail in CI."""
    require(program("redis-server") is not None, "no redis-server here: apt-get install redis-server")


def require(condition: bool, reason: str) -> None:
    """Skip with the reason, or fail with it when CI=true: a pipeline must not pass by testing nothing."""
    if not condition:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def free_block(instances: int) -> int:
    """A port P such that the front's, the instances' and their internal ports are all free now.

    Below those that `free_port` gives, and in a range of this worker's own: they are listened on a little later only.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 3
    first = 10_000 + worker * 3 * _INTERNAL_OFFSET
    for _ in range(100):
        port = random.randrange(first, first + _INTERNAL_OFFSET)
        wanted = [
            port,
            *(port + n for n in range(1, instances + 1)),
            *(port + n + _INTERNAL_OFFSET for n in range(instances + 1)),  # the first may be a Prometheus's
        ]
        if all(is_free(each) for each in wanted):
            return port
    raise AssertionError("no free ports")


class Up:
    """One `holdfast up` in a directory of its own. `stop` ends it; the caller of `start` also calls `stop`.

    Attributes:
        environ: settings that it is started with; none of the test's own reach it.
    """

    def __init__(self, data: Path, instances: int = 2, *arguments: str) -> None:
        """`arguments`: more of them for the command."""
        self.data = data
        self.environ: dict[str, str] = {}
        self.instances = instances
        self._arguments = arguments
        self.port = free_block(instances)
        self.url = f"http://localhost:{self.port}"
        self._output_path = data.with_name(f"{data.name}.out")
        self._process: subprocess.Popen[bytes] | None = None
        self._by_hand: list[subprocess.Popen[bytes]] = []
        self._ended: set[str] = set()

    @property
    def output(self) -> str:
        """The output in its terminal."""
        return self._output_path.read_text(encoding="utf-8")

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    async def start(self) -> None:
        """Run it; returns when it says that it is up."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | self.environ
        command = [sys.executable, "-m", "holdfast", "up", "--port", str(self.port), "--data", str(self.data)]
        with self._output_path.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - forking a small process takes a millisecond
                [*command, "--instances", str(self.instances), *self._arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
            )
        await eventually(lambda: "Holdfast is up" in self.output or self.exit_code is not None, within=_READY_SECONDS)
        assert self.exit_code is None, self.output
        await eventually(lambda: "write on." in self.output)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as Ctrl-C or `kill` would; returns its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            await eventually(lambda: self.exit_code is not None, within=_END_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            for process in self._by_hand:
                process.kill()
                process.wait()
        return self._process.returncode

    def pid(self, name: str) -> int:
        """Of a part, as its start script wrote it down."""
        return int((self.data / "run" / f"{name}.pid").read_text(encoding="ascii"))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """kill -9 a part, or signal it otherwise; returns before `holdfast up` has noticed."""
        os.kill(self.pid(name), number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._ended.add(name)

    async def lose(self, *names: str) -> None:
        """kill -9 parts; returns when that was noticed."""
        seen = {name: self.output.count(f"{name} is gone") for name in names}
        for name in names:
            self.kill(name)
        for name in names:
            await eventually(lambda name=name: self.output.count(f"{name} is gone") > seen[name], within=_READY_SECONDS)  # type: ignore[misc]  # its default is typed by the value

    async def start_again(self, name: str) -> None:
        """Run the printed start command in another shell; returns when it was noticed."""
        self._ended.discard(name)
        seen = self.output.count(f"{name} is back")
        self._by_hand.append(
            subprocess.Popen([self.data / "start" / name], stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - as above
        )
        await eventually(lambda: self.output.count(f"{name} is back") > seen, within=_READY_SECONDS)

    async def restore(self) -> None:
        """Start every part that a test has ended; `holdfast up` misses it first, or it would never tell that the part is back."""
        for name in ("redis", *(f"instance-{number}" for number in range(1, self.instances + 1))):
            if name in self._ended:
                await eventually(lambda name=name: self._is_missed(name), within=_READY_SECONDS)  # type: ignore[misc]  # its default is typed by the value
                await self.start_again(name)

    def _is_missed(self, name: str) -> bool:
        return self.output.count(f"{name} is gone") > self.output.count(f"{name} is back")

    async def fetch(self, path: str) -> tuple[int, bytes]:
        """(status, body) of a GET through the front."""
        return await asyncio.to_thread(self._fetch, path)

    def _fetch(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, problem.read()
