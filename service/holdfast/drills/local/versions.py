"""Versions of the code that instances of a drill run: this one, and that of an older commit of the same checkout.

An older version runs on the libraries of this environment. It gets only the settings that it knows, because it does not start
with others.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.errors import ConfigurationError

_CHECKOUT: Final = Path(__file__).resolve().parents[4]
_LIBRARIES: Final = "locks/runtime.txt"
_REMEDY: Final = "where its history is shallow (`git clone --depth`), `git fetch --unshallow` fetches the rest"
_SECONDS: Final = 60.0
_PREFIX: Final = "HOLDFAST_"

_ASK: Final = """
import json
from inspect import signature
from holdfast import __file__ as source
from holdfast.adapters.sqlite.schema import VERSION
from holdfast.domain.conversations import Conversation
from holdfast.domain.notifications import flagged_since
from holdfast.protocol.frames import Send
from holdfast.settings import Settings
groups = {name: getattr(field.annotation, "model_fields", {}) for name, field in Settings.model_fields.items()}
names = [f"HOLDFAST_{group}__{name}".upper() for group, fields in groups.items() for name in fields]
has = {
    "joined_seq": hasattr(Conversation, "joined_seq"),
    "read_seq": "read_seq" in Send.__struct_fields__,
    "latest_heard": "last_seen_at_ms" in signature(flagged_since).parameters,
}
lacks = [name for name, is_there in has.items() if not is_there]
print(json.dumps({"source": source, "settings": names, "sqlite_layout": VERSION, "lacks": lacks}))
"""
"""Asked of the older code itself, in a process of its own."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the code.

    Attributes:
        name: the commit as git abbreviates it; empty for the code of this process.
        source: the folder from which an instance imports the package; None for the code of this process.
        settings: the variables that it knows.
        sqlite_layout: of the files that it writes.
        lacks: the features of `history` that it does not have.
        other_libraries: those of its lock that this environment has in another version, each as `name installed (locked)`.
    """

    name: str = ""
    source: Path | None = None
    settings: frozenset[str] = frozenset()
    sqlite_layout: int = 0
    lacks: frozenset[str] = frozenset()
    other_libraries: tuple[str, ...] = ()

    def environ(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables of an instance of this version, of those of an instance of this code."""
        if self.source is None:
            return dict(variables)
        known = {name: value for name, value in variables.items() if not name.startswith(_PREFIX) or name in self.settings}
        return known | {"PYTHONPATH": str(self.source)}


THIS: Final = Version()
"""The code of this process."""


@contextlib.contextmanager
def checked_out(commit: str, checkout: Path = _CHECKOUT) -> Iterator[Version]:
    """The code of that commit, in a directory of its own as long as the context.

    Raises:
        ConfigurationError: the checkout has no such commit, or its code does not run on the libraries of this environment.
    """
    known = _git(checkout, ["rev-parse", "--short", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"])
    if known is None:
        raise ConfigurationError(f"{commit!r} is no commit of {checkout}; {_REMEDY}")
    name = known.decode().strip()
    archive = _git(checkout, ["archive", name, "service", "locks"])
    if archive is None:
        raise ConfigurationError(f"{name} has no folders `service` and `locks`")
    with tempfile.TemporaryDirectory(prefix="holdfast-version-") as directory:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(directory, filter="data")
        yield _version(name, Path(directory))


def other_libraries(lock: str, installed: Mapping[str, str]) -> tuple[str, ...]:
    """The libraries that the lock names and that are installed in another version. Others are left out."""
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE))
    return tuple(
        f"{name} {installed[name]} ({version})"
        for name, version in sorted(locked.items())
        if installed.get(name, version) != version
    )


def _version(name: str, directory: Path) -> Version:
    source = directory / "service"
    environ = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIX)} | {"PYTHONPATH": str(source)}
    asked = subprocess.run([sys.executable, "-c", _ASK], cwd=directory, env=environ, capture_output=True, timeout=_SECONDS)
    if asked.returncode:
        last = asked.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ConfigurationError(f"the code of {name} does not run on the libraries of this environment: {''.join(last)}")
    answer = json.loads(asked.stdout)
    if not Path(answer["source"]).is_relative_to(source):
        raise ConfigurationError(f"the code of {name} is not what a process imports, but {answer['source']}")
    installed = {each.name.lower().replace("_", "-"): each.version for each in importlib.metadata.distributions()}
    lock = (directory / _LIBRARIES).read_text()
    return Version(
        name=name,
        source=source,
        settings=frozenset(answer["settings"]),
        sqlite_layout=answer["sqlite_layout"],
        lacks=frozenset(answer["lacks"]),
        other_libraries=other_libraries(lock, installed),
    )


def _git(checkout: Path, arguments: list[str]) -> bytes | None:
    """The output; None where the command fails."""
    if (git := shutil.which("git")) is None:
        raise ConfigurationError("git is not installed: an older version is taken from the history")
    done = subprocess.run([git, "-C", str(checkout), *arguments], capture_output=True, timeout=_SECONDS)
    return None if done.returncode else done.stdout
