"""The memory limit as the kernel tells it: cgroup v2, v1, none, and a machine that has nothing of the kind."""

import os
from pathlib import Path

import pytest

from holdfast.adapters.machine.memory import ProcessMemory
from holdfast.ports import Memory, MemoryUse

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which this process has 3 pages."""
    _put(tmp_path / "proc/self/statm", "10 3 1 1 0 5 0")
    return tmp_path


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _cgroup(root: Path, line: str, **limits: str) -> None:
    _put(root / "proc/self/cgroup", f"{line}\n")
    for path, limit in limits.items():
        _put(root / "sys/fs/cgroup" / path.replace("__", "/").replace("_DOT_", "."), f"{limit}\n")


def _limit(root: Path, setting: int | None = None) -> int | None:
    memory: Memory = ProcessMemory(setting, root)
    use = memory.read()
    assert use.resident_bytes == 3 * os.sysconf("SC_PAGE_SIZE")
    return use.limit_bytes


def test_version_2_in_a_container(root: Path) -> None:
    """The container sees its own cgroup as the top, or by the host's path, which is not there."""
    for line in ("0::/", "0::/kubepods/pod1"):
        _cgroup(root, line, memory_DOT_max=str(64 * MIB))
        assert _limit(root) == 64 * MIB


def test_version_2_beside_others(root: Path) -> None:
    """A service of systemd: the smallest limit on the way up holds."""
    _cgroup(root, "0::/a/b", a__b__memory_DOT_max="max", a__memory_DOT_max=str(32 * MIB))
    assert _limit(root) == 32 * MIB


def test_version_1(root: Path) -> None:
    """Its word for no limit is a number."""
    line = "12:memory:/docker/1\n0::/"
    _cgroup(root, line, memory__memory_DOT_limit_in_bytes=str(9223372036854771712))
    assert _limit(root) is None
    _cgroup(root, line, memory__docker__1__memory_DOT_limit_in_bytes=str(48 * MIB))
    assert _limit(root) == 48 * MIB


def test_a_resized_pod_is_seen(root: Path) -> None:
    """Kubernetes changes the limit of a running container."""
    _cgroup(root, "0::/", memory_DOT_max=str(64 * MIB))
    memory = ProcessMemory(None, root)
    assert memory.read().limit_bytes == 64 * MIB
    _cgroup(root, "0::/", memory_DOT_max=str(128 * MIB))
    assert memory.read().limit_bytes == 128 * MIB


def test_the_setting_replaces_the_limit(root: Path) -> None:
    """An instance outside of any container has no limit of its own."""
    _cgroup(root, "0::/", memory_DOT_max=str(64 * MIB))
    assert _limit(root, 16 * MIB) == 16 * MIB


def test_no_limit_and_no_such_machine(root: Path, tmp_path: Path) -> None:
    """No mark then."""
    _cgroup(root, "0::/", memory_DOT_max="max")
    assert _limit(root) is None
    (root / "proc/self/cgroup").unlink()
    assert _limit(root) is None
    assert ProcessMemory(MIB, tmp_path / "nowhere").read() == MemoryUse(0, None)


def test_this_process_has_some() -> None:
    """On the real machine."""
    assert ProcessMemory().read().resident_bytes > MIB
