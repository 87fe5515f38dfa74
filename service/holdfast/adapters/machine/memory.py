"""How much memory the process has, and may have: its own resident size, and the limit of its cgroup (v2 or v1).

Files of `/proc` and `/sys/fs/cgroup` are answered by the kernel from memory: reading them does not block. A value that cannot be
read is not known (another system than Linux, a sandbox). Then there is no memory mark, and the limit of connections remains.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from holdfast.ports import MemoryUse

_NO_LIMIT: Final = 1 << 60
"""cgroup v1 has no word for "no limit": it answers with the largest number of pages there is (Linux, memory.txt §2.2)."""


class ProcessMemory:
    """Implements `ports.Memory`. `limit_bytes`: the setting, which replaces the cgroup's limit."""

    def __init__(self, limit_bytes: int | None = None, root: Path = Path("/")) -> None:
        """Finds out where the limit stands; a limit that is changed later (a pod that is resized) is seen."""
        self._limit_bytes = limit_bytes
        self._resident = root / "proc/self/statm"
        self._limits = tuple(_limit_files(root))
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def read(self) -> MemoryUse:
        """See `ports.Memory`."""
        try:
            resident = int(self._resident.read_text().split()[1]) * self._page_bytes
        except (OSError, ValueError, IndexError):
            return MemoryUse(0, None)
        return MemoryUse(resident, self._limit_bytes or self._limit_of_cgroup())

    def _limit_of_cgroup(self) -> int | None:
        """The smallest on the way up: each cgroup is held to those of its parents as well."""
        found = [limit for path in self._limits if (limit := _number(path)) is not None]
        return min(found, default=None)


def _limit_files(root: Path) -> Iterator[Path]:
    """Where a limit may stand. In a container of its own cgroup namespace that is the top; the path is the host's word for it."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))
        yield from (base / folder / name for folder in (own, *own.parents) if (base / folder / name).exists())


def _number(path: Path) -> int | None:
    try:
        limit = int(path.read_text())
    except (OSError, ValueError):
        return None  # `max`
    return limit if limit < _NO_LIMIT else None
