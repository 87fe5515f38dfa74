"""Helm and kubectl: the machine's own, or those of the test cluster's kit beside this checkout."""

import lzma
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "holdfast"
KIT = Path(os.environ.get("HOLDFAST_CLUSTER_KIT", ROOT.parent / "shared" / "cluster"))
_UNPACKED = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "holdfast-cluster" / "bin"


@cache
def helm_binary() -> str:
    """Its path, or the end of the test that needs it: loudly, and with `CI=true` as a failure."""
    return _found("helm", "helm")


@cache
def kubectl_binary() -> str:
    """The same for kubectl."""
    return _found("kubectl", "kube")  # the kit's is one program under many names


def _found(name: str, packed_as: str) -> str:
    for found in (_UNPACKED / name, shutil.which(name)):
        if found and Path(found).exists():
            return str(found)
    packed = KIT / "bin" / f"{packed_as}.xz"
    if packed.exists():
        path = Path(tempfile.mkdtemp(prefix="holdfast-tools-")) / name
        path.write_bytes(lzma.decompress(packed.read_bytes()))
        path.chmod(0o755)
        return str(path)
    missing(f"no {name} here: install it, or name a test cluster's kit in HOLDFAST_CLUSTER_KIT")
    raise AssertionError


def missing(reason: str) -> None:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def helm(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run([helm_binary(), *arguments], capture_output=True, text=True, check=False, timeout=seconds)


def render(*arguments: str, release: str = "holdfast") -> list[dict[str, Any]]:
    """The chart's objects under these values."""
    done = helm("template", release, str(CHART), "--kube-version", "1.34.0", *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]
