"""The wheel, which the image installs: it has everything that the package reads at run time."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.helm import ROOT
from support.wheels import build_wheel

_LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
from holdfast.adapters.redis import scripts
assert scripts.__file__.startswith(sys.argv[1])
print(sum(isinstance(each, scripts.Script) for each in vars(scripts).values()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as in the image."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """A page, a script or a rule that is missing is found by the first pod that needs it."""
    package = ROOT / "service" / "holdfast"
    there = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    client = ROOT / "clients" / "javascript" / "src"
    there |= {f"holdfast/web/page/client/{path.relative_to(client).as_posix()}" for path in client.rglob("*.js")}
    there = {name for name in there if "__pycache__" not in name}
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("holdfast/")}
    assert held == there


def test_every_script_loads_from_the_installed_package(wheel: Path, tmp_path: Path) -> None:
    """An instance whose scripts are missing would not start."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    count = len(list((ROOT / "service/holdfast/adapters/redis/lua").rglob("*.lua")))
    parts = len(list((ROOT / "service/holdfast/adapters/redis/lua/parts").glob("*.lua")))
    done = subprocess.run([sys.executable, "-c", _LOAD, str(tmp_path)], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{count - parts}\n", done.stderr
