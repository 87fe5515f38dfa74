"""A terminal of its own for each window that a page tells its reader to open: bash on a pty, typed into and read."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

from support.eventually import eventually

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """One window. `close` ends what runs in it."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._main, child = pty.openpty()
        modes = termios.tcgetattr(child)
        modes[3] &= ~termios.ECHO  # the typed text must not be taken for the answer
        termios.tcsetattr(child, termios.TCSANOW, modes)
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=child,
            stdout=child,
            stderr=child,
            cwd=directory,
            env={**environ, "PS1": "", "PS2": "", "TERM": "dumb", "COLUMNS": "10000"},
            start_new_session=True,
        )
        os.close(child)
        self._text = ""
        self._ended = 0
        asyncio.get_running_loop().add_reader(self._main, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._main, 65_536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._main)
        self._text += _ESCAPES.sub("", data.decode(errors="replace"))

    def type(self, text: str) -> None:
        """Type lines, and forget what was shown before."""
        self._text = ""
        os.write(self._main, text.encode() + b"\n")

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._main, b"\x03")

    async def prompt(self) -> None:
        """Ctrl-C, and wait until the shell has the terminal back."""
        self.interrupt()
        self._text = ""

        async def is_back() -> bool:
            os.write(self._main, b"echo sh''ell\n")
            return "shell" in self._text

        await eventually(is_back, within=20)

    @property
    def text(self) -> str:
        """The output since the last typing."""
        return self._text

    async def shows(self, pattern: str, within: float = 20.0) -> str:
        """Wait until what is shown matches."""
        try:
            await eventually(lambda: re.search(pattern, self._text) is not None, within=within)
        except AssertionError:
            raise AssertionError(f"not shown within {within} s: {pattern}\n{self._text[-3_000:]}") from None
        return self._text

    async def run(self, command: str, within: float = 20.0) -> str:
        """Type a command that ends by itself; returns its output."""
        self._ended += 1
        mark = f"ended-{self._ended}"
        # In the last line itself: a program like wscat would read a further line as its own input.
        self.type(f"{command.rstrip()}; echo {mark[:3]}''{mark[3:]}")
        return (await self.shows(re.escape(mark), within)).replace(mark, "")

    def close(self) -> None:
        """End it and all that runs in it."""
        asyncio.get_running_loop().remove_reader(self._main)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGHUP)
        os.close(self._main)  # a hangup, for what runs in the foreground
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
