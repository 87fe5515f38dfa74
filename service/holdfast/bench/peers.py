"""The servers beside Holdfast: read from a folder's `peers.toml`, asked for their versions, started, ended.

A peer that cannot be run here (no Node, a package that is not installed) stays in the report, with the reason.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.bench.dialects import DIALECTS, Dialect
from holdfast.bench.holdfast import sign
from holdfast.errors import ConfigurationError
from holdfast.launcher.ports import free_port
from holdfast.launcher.process import LocalProcess
from holdfast.launcher.waiting import TargetFailed, accepts, until

_MANIFEST: Final = "peers.toml"
_PACKAGES: Final = Path(sys.prefix) / "bench-peers"  # what Python peers need beside our own packages: `make bench-compare`
_VERSION_SECONDS: Final = 30.0
_START_SECONDS: Final = 20.0
_END_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Peer:
    """One entry of the manifest, which says what each of these is."""

    name: str
    dialect: str
    command: tuple[str, str]
    checks_tokens: bool
    lacks: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a peer said of itself: its versions, or why it cannot be run here."""

    peer: Peer
    versions: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PeerServer:
    """A running peer; see `play.Server`."""

    name: str
    dialect: Dialect
    port: int
    pid: int
    checks_tokens: bool
    secret: str
    acknowledges: bool = False
    has_one_order: bool = False

    def token(self, user: str) -> str:
        """Of that user; where tokens are not checked, no work is spent on one."""
        return sign(self.secret, user) if self.checks_tokens else "none"

    def new_room(self, users: Sequence[str]) -> str:
        """A room comes into being when it is joined."""
        return f"room-of-{users[0]}"


def read_peers(folder: Path) -> list[Peer]:
    """The entries of the manifest.

    Raises:
        ConfigurationError: there is none, or it is not as it must be.
    """
    path = folder / _MANIFEST
    try:
        entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["peer"]
        peers = [Peer(**{**entry, "command": _pair(*entry["command"])}) for entry in entries]
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"--peers: {path}: {error}") from error
    for peer in peers:
        if peer.dialect not in DIALECTS:
            raise ConfigurationError(f"--peers: {path}: no such dialect: {peer.dialect}")
    return peers


def look_for(peer: Peer, folder: Path) -> Found:
    """Ask its program for its versions."""
    command = _command(peer, folder)
    if shutil.which(command[0]) is None:
        return Found(peer, problem=f"{peer.command[0]} is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - a program that the user named
            [*command, "--version"], env=_environ(), check=False, capture_output=True, text=True, timeout=_VERSION_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Found(peer, problem=str(error))
    if done.returncode != 0:
        return Found(peer, problem=_reason(done.stderr))
    return Found(peer, versions=done.stdout.strip())


@contextmanager
def running(found: Sequence[Found], folder: Path, directory: Path) -> Iterator[list[PeerServer]]:
    """Those that can be run, until the block ends; logs are in `directory`.

    Raises:
        TargetFailed: one does not start.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(_running(each.peer, folder, directory)) for each in found if not each.problem]


@contextmanager
def _running(peer: Peer, folder: Path, directory: Path) -> Iterator[PeerServer]:
    port, secret = free_port(), secrets.token_hex(16)
    process = LocalProcess(peer.name, directory / f"{peer.name}.log")
    process.run([*_command(peer, folder), str(port)], _environ() | {"PEER_SECRET": secret})
    try:
        asyncio.run(_until_it_listens(process, port))
        yield PeerServer(peer.name, DIALECTS[peer.dialect], port, process.pid, peer.checks_tokens, secret)
    finally:
        process.stop(_END_SECONDS)


async def _until_it_listens(process: LocalProcess, port: int) -> None:
    def listens() -> bool:
        if not process.is_running:
            raise TargetFailed(f"{process.name} ended with {process.exit_code}:\n{process.log()[-2000:]}")
        return accepts(port)

    await until(listens, _START_SECONDS, f"{process.name} listens")


def _command(peer: Peer, folder: Path) -> list[str]:
    """`python` is our own interpreter: peers run on the same one, with the same uvicorn."""
    program, file = peer.command
    return [sys.executable if program == "python" else program, str(folder.resolve() / file)]


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_PACKAGES)}


def _pair(program: str, file: str) -> tuple[str, str]:
    return program, file


def _reason(stderr: str) -> str:
    """The line that tells most: that of the error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["it gives no reason"])[-1][:200]
