"""Where it was measured: the machine and the versions, for the report."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from holdfast import __version__
from holdfast.launcher.redis import require_server


def describe(store: Path, client: str, peers: Mapping[str, str]) -> dict[str, object]:
    """`store`: the folder of the store's file; `client`: the kind of the load client; `peers`: their versions."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "kernel": platform.release(),
        "file_system": file_system(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), store.resolve()),
        "python": platform.python_version(),
        "holdfast": __version__,
        "redis": redis_version(),
        "load_client": client,
        "peers": dict(peers),
    }


def cpu_model(cpuinfo: str) -> str:
    """From the text of /proc/cpuinfo; some architectures have no name there."""
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def file_system(mounts: str, path: Path) -> str:
    """The type of the file system that holds `path` (ext4, overlay …), from the text of /proc/self/mountinfo."""
    best, kind = -1, "unknown"
    for line in mounts.splitlines():
        fields = line.split()
        point = Path(fields[4].replace("\\040", " "))
        if len(point.parts) >= best and path.is_relative_to(point):  # a later mount on the same point covers the earlier one
            best, kind = len(point.parts), fields[fields.index("-") + 1]
    return kind


def redis_version() -> str:
    """Of the server that is started here."""
    command = [str(require_server()), "--version"]
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 - what is started anyway
    match = re.search(r"v=(\S+)", told.stdout)
    return match[1] if match else "unknown"
