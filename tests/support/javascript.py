"""Node and the tools of the JavaScript client, which `make javascript` installs into clients/javascript/node_modules."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from support.up import require

CLIENT = Path(__file__).parents[2] / "clients" / "javascript"
MODULES = CLIENT / "node_modules"
TOOLS = MODULES / ".bin"
_SECONDS = 100  # below the limit of a test: a hang names its program


def require_tool(name: str) -> Path:
    """A program of the client's development dependencies; without it the test is skipped, loudly, and fails in CI."""
    require((TOOLS / name).exists(), f"no {name} here: make javascript (needs npm)")
    return TOOLS / name


def require_node() -> Path:
    """Node of the version that the client supports at least, whichever one the machine has."""
    return require_tool("node")


def run(*command: str | Path, cwd: Path = CLIENT, text: str | None = None) -> str:
    """What a program prints that ends well; `text` is its standard input."""
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def pack(directory: Path) -> Path:
    """The archive of the client that npm would publish."""
    packed = json.loads(run(_npm(), "pack", "--json", "--silent", "--pack-destination", directory))
    return directory / packed[0]["filename"]


def install(archive: Path, directory: Path) -> None:
    """An empty application gets the client from its archive, without any network."""
    (directory / "package.json").write_text('{"type": "module", "private": true}', encoding="utf-8")
    quiet = ("--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier")
    run(_npm(), "install", "--offline", *quiet, archive, cwd=directory)


def described(directory: Path = CLIENT) -> dict[str, Any]:
    """The package.json of the client in this directory."""
    return json.loads((directory / "package.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]  # an object of JSON


def subpaths() -> list[str]:
    """What an application may import: `@holdfast/client` and whatever it exports below."""
    return sorted(described()["exports"])


def module_of(subpath: str) -> str:
    """The name by which an application imports it."""
    return "@holdfast/client" + subpath.removeprefix(".")


def _npm() -> str:
    npm = shutil.which("npm")
    require(npm is not None, "no npm here: apt-get install npm")
    return str(npm)
