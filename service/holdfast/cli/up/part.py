"""One part of the cluster: a process of its own, started by a script that the user can run again.

The script is the one way a part is started, by `holdfast up` and by hand alike, so the printed command is the tested
one. It writes the part's pid and hands over to the program (`exec`), hence a part that came back in another shell is
known, too. Parts have sessions of their own: Ctrl-C in the terminal reaches `holdfast up` only, which ends them in order.
For these two reasons a part is no `launcher.process.LocalProcess`.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
# Starts {name} of this Holdfast, as `holdfast up` did. Its output goes to the log. Stop it with Ctrl-C or kill.
for variable in $(env | sed -n 's/^\\(HOLDFAST_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset "$variable"; done
{exports}
echo $$ > {pid_file}
echo "{name}: pid $$, log {log}"
exec {command} >> {log} 2>&1
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a part is started.

    Attributes:
        environment: the variables of its process beyond the environment of its starter.
        mark: appears in the command line of its process and of no other: guards against a pid that was given away anew.
        stop: the command that ends it in order, `{pid}` left open.
    """

    name: str
    port: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mark: str
    stop: str


class Part:
    """A part's files below `data` and its process, when this `holdfast up` started it."""

    def __init__(self, recipe: Recipe, data: Path) -> None:
        self.recipe = recipe
        self.name = recipe.name
        self.port = recipe.port
        self.script = data / "start" / recipe.name
        self.log = data / "logs" / f"{recipe.name}.log"
        self._pid_file = data / "run" / f"{recipe.name}.pid"
        self._process: asyncio.subprocess.Process | None = None

    def write_script(self) -> None:
        """Write the start script (0700: the environment it repeats may hold passwords)."""
        for path in (self.script, self.log, self._pid_file):
            path.parent.mkdir(parents=True, exist_ok=True)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.recipe.environment.items())]
        text = _SCRIPT.format(
            name=self.name,
            exports="\n".join(exports),
            pid_file=shlex.quote(str(self._pid_file)),
            log=shlex.quote(str(self.log)),
            command=shlex.join(self.recipe.command),
        )
        self.script.unlink(missing_ok=True)
        descriptor = os.open(self.script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    async def start(self) -> None:
        """Run the script; the process is ended by `end`."""
        self._process = await asyncio.create_subprocess_exec(
            self.script, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def pid(self) -> int | None:
        """The running process of this part, also when the user started it."""
        if self._process is not None and self._process.returncode is None:
            return self._process.pid
        pid = self._last_pid
        return pid if pid is not None and self.recipe.mark in _command_line(pid) else None

    @property
    def is_frozen(self) -> bool:
        """Its process was stopped by a signal, and can be continued."""
        pid = self.pid
        return pid is not None and _state(pid) == "T"

    @property
    def _last_pid(self) -> int | None:
        """Of the process that the script started last."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._pid_file.read_text(encoding="ascii"))
        return None

    @property
    def ending(self) -> str:
        """How its last process ended, for people, as far as we can know."""
        code = None if self._process is None or self._process.pid != self._last_pid else self._process.returncode
        if code is None:
            return "it was started by hand" if self._last_pid else "it never ran"
        if code == 0:
            return "it was stopped in order"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def tell(self, number: signal.Signals) -> bool:
        """Send a signal; False when no process is there to receive it."""
        pid = self.pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid is not None:
                os.kill(pid, number)
                return True
        return False

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""


def _command_line(pid: int) -> str:
    """What `pid` runs, or '' when there is no such process (a zombie runs nothing)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    return _ps(pid, "command")


def _state(pid: int) -> str:
    """The letter that the system has for what a process does; '' when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].strip()[:1]
    except FileNotFoundError:
        return "" if Path("/proc/self").exists() else _ps(pid, "stat")[:1]


def _ps(pid: int, column: str) -> str:
    """What the system tells of a process; '' when there is none."""
    found = subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - ps of this machine, a number as its argument
    return found.stdout.strip()
