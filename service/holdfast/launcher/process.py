"""One process of this machine: started, frozen, ended by its process id."""

import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

_KILL_SECONDS: Final = 10.0
_LAST_SECONDS: Final = 0.1


class LocalProcess:
    """May be started again after its end. Its output, over all its starts, is appended to `log_path`.

    Its creator ends it, by `stop` or `kill`.
    """

    def __init__(self, name: str, log_path: Path) -> None:
        """Starts nothing yet."""
        self.name = name
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str], environ: Mapping[str, str] | None = None, *, has_group: bool = False) -> None:
        """Start it; returns at once.

        Args:
            command: the program and its arguments.
            environ: all its variables; None for those of this process.
            has_group: it leads a process group of its own.
        """
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=has_group)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Started, and not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and before."""
        return None if self._process is None else self._process.poll()

    def log(self) -> str:
        """Its output so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens where the process has ended."""
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, it answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """As `kill -9` does, frozen or not."""
        if self.is_running:
            assert self._process is not None
            self.signal(signal.SIGKILL)
            self._process.wait(_KILL_SECONDS)

    def stop(self, within_seconds: float = 15.0) -> int:
        """End it as `kill` does, and kill it if it still runs after `within_seconds`; its exit status."""
        self.request_end()
        return self.wait(within_seconds)

    def wait(self, within_seconds: float) -> int:
        """Wait for its end, and kill it if it still runs after `within_seconds`; its exit status."""
        assert self._process is not None
        try:
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._process.returncode

    def request_end(self) -> None:
        """SIGTERM; a frozen one is thawed to hear it."""
        if self.is_running:
            self.thaw()
            self.signal(signal.SIGTERM)


def stop_all(processes: Iterable[LocalProcess], within_seconds: float) -> None:
    """End those that run, all at the same time; those that still run after `within_seconds` are killed."""
    running = [process for process in processes if process.is_running]
    for process in running:
        process.request_end()
    deadline = time.monotonic() + within_seconds
    for process in running:
        process.wait(max(_LAST_SECONDS, deadline - time.monotonic()))
