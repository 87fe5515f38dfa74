"""The load client as a process: compiled on demand, told its load, followed by its lines."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from holdfast.bench.load import Heard, Load, decode
from holdfast.launcher.waiting import TargetFailed

_SOURCE: Final = Path(__file__).with_name("load.c")
_COMPILE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class LoadClient:
    """How the load client is run, and what it is, for the report."""

    command: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class Played:
    """One load.

    `connect_seconds` until all connections were ready, `seconds` of the load until the last delivery or acknowledgement; how many
    deliveries were `received` and sends `acked` in these; the CPU time of the load client as a share of one core, in each of
    both parts; `server_cpu`: CPU seconds of the server in each. `closed`: connections that the server closed.
    """

    connect_seconds: float
    seconds: float
    received: int
    acked: int
    connect_share: float
    share: float
    server_cpu: tuple[float, float]
    closed: int
    heard: tuple[Heard, ...]


def build(directory: Path) -> LoadClient:
    """The compiled client; the Python one where there is no C compiler, or it cannot compile this."""
    compiler = shutil.which("cc")
    program = directory / "load"
    if compiler is not None:
        command = [compiler, "-O2", "-o", str(program), str(_SOURCE)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=_COMPILE_SECONDS)  # noqa: S603 - our own source
        if done.returncode == 0:
            return LoadClient((str(program),), "C")
    return python_client()


def python_client() -> LoadClient:
    """The one that needs no compiler; slower."""
    return LoadClient((sys.executable, "-m", "holdfast.bench.python_load"), "Python")


def play(client: LoadClient, load: Load, server_cpu: Callable[[], float]) -> Played:
    """Run one load to its end; removes its log. `server_cpu`: the CPU seconds that the server has used.

    Raises:
        TargetFailed: the server refused connections, or the load client ended.
    """
    with subprocess.Popen(client.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own program
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101 - both are pipes
        try:
            return _follow(process.stdin, process.stdout, load, server_cpu)
        finally:
            process.kill()
            load.log.unlink(missing_ok=True)


def _follow(to: IO[bytes], out: IO[bytes], load: Load, server_cpu: Callable[[], float]) -> Played:
    moments = [server_cpu()]
    _say(to, load.encode() + b"connect\n")
    connect_seconds = float(_line(out, "ready"))
    moments.append(server_cpu())
    connect_share = float(_line(out, "used"))
    moments.append(server_cpu())
    _say(to, b"go\n")
    _line(out, "end")
    moments.append(server_cpu())
    told = json.loads(_line(out, "done"))
    return Played(
        connect_seconds=connect_seconds,
        seconds=told["elapsed"],
        received=told["received"],
        acked=told["acked"],
        connect_share=connect_share,
        share=told["cpu"] / told["elapsed"] if told["elapsed"] else 0.0,
        server_cpu=(moments[1] - moments[0], moments[3] - moments[2]),
        closed=told["closed"],
        heard=tuple(decode(load.log.read_bytes())),
    )


def _say(to: IO[bytes], what: bytes) -> None:
    try:
        to.write(what)
        to.flush()
    except BrokenPipeError as error:
        raise TargetFailed("the load client ended") from error


def _line(out: IO[bytes], word: str) -> str:
    first, _, rest = out.readline().decode(errors="replace").strip().partition(" ")
    if first != word:
        raise TargetFailed(f"the load client: {first} {rest}" if first else "the load client ended")
    return rest
