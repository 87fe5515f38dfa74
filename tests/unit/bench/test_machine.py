"""Where a figure was measured."""

from pathlib import Path

import pytest

from holdfast.bench.machine import cpu_model, file_system

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:25 / /tmp rw shared:5 - tmpfs tmpfs rw
31 22 0:26 / /tmp/with\\040blank rw - xfs /dev/sdb rw
32 22 0:27 / /data rw - ext4 /dev/sdc rw
33 22 0:28 / /data rw - btrfs /dev/sdd rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/x", "ext4"), ("/tmp/x", "tmpfs"), ("/tmpx", "ext4"), ("/tmp/with blank/x", "xfs"), ("/data", "btrfs")],
    ids=["root", "mount", "similar name", "blank", "mounted over"],
)
def test_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    """Commits on tmpfs are no commits."""
    assert file_system(MOUNTS, Path(path)) == kind


def test_cpu_without_a_name_is_named_by_its_architecture() -> None:
    """Kernels for ARM give none."""
    assert cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n") == "AMD EPYC"
    assert cpu_model("processor\t: 0\n")
