"""The wheel, and an environment in which nothing else is installed than what its base requirements lead to."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from zipfile import Path as ZipPath
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.helm import ROOT

_BUILD = """
import sys
from hatchling.builders.wheel import WheelBuilder
print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2]))
"""
_SECONDS = 60


def build_wheel(folder: Path) -> Path:
    """Built by the locked build backend, without a network."""
    command = [sys.executable, "-c", _BUILD, str(ROOT), str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=_SECONDS)
    (built,) = folder.glob("*.whl")
    return built


def metadata_of(wheel: Path) -> Distribution:
    """What an installer reads of it."""
    (folder,) = (each for each in ZipPath(wheel).iterdir() if each.name.endswith(".dist-info"))
    return PathDistribution(folder)


def base_requirements(of: Distribution) -> set[str]:
    """The packages that come along without an extra."""
    required = map(Requirement, of.requires or [])
    return {canonicalize_name(each.name) for each in required if each.marker is None or each.marker.evaluate({"extra": ""})}


def install_light(wheel: Path, folder: Path) -> None:
    """What `pip install` of the wheel would bring, into a folder, from this environment and without a network."""
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    for name in _closure(base_requirements(metadata_of(wheel))):
        for file in distribution(name).files or []:
            here = folder / file.parts[0]
            if here.name not in ("..", "__pycache__") and not here.exists():
                here.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / here.name)


def run_light(folder: Path, *arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """A program that finds this folder and the standard library, and no other package."""
    command = [sys.executable, "-S", "-P", *arguments]
    environ = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environ}
    return subprocess.run(command, env=environ, input=stdin, capture_output=True, check=False, text=True, timeout=_SECONDS)


def _closure(names: set[str]) -> Iterator[str]:
    """They, and all that they need."""
    waiting, seen = list(names), set(names)
    while waiting:
        yield (name := waiting.pop())
        new = base_requirements(distribution(name)) - seen
        waiting += new
        seen |= new
