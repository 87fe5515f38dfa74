"""A client that is a process of its own, so that it can be stopped as a phone that sleeps: `holdfast chat`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from holdfast.launcher.waiting import TargetFailed


class ChatProcess:
    """`start`, then `close`."""

    def __init__(self, url: str, token: str, conversation_id: str, log_path: Path) -> None:
        """Starts nothing yet."""
        self._command = [sys.executable, "-m", "holdfast", "chat", conversation_id, "--url", url]
        self._environ = os.environ | {"HOLDFAST_TOKEN": token}
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; its output is in its log."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environ, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def is_connected(self) -> bool:
        """Whether it says so.

        Raises:
            TargetFailed: it has ended.
        """
        said = self._log_path.read_text(errors="replace")
        if self._process is None or self._process.poll() is not None:
            raise TargetFailed(f"holdfast chat ended: {said[-1000:]}")
        return "connected to" in said

    def freeze(self) -> None:
        """SIGSTOP: the kernel still takes incoming data, no process reads it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        """End it, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdin is not None
            self._process.stdin.close()
