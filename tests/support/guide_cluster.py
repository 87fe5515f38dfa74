"""The cluster that serves all guides, and the checkout in which their reader believes to have started it."""

import os
import sys
from pathlib import Path
from typing import Final

from holdfast.launcher.ports import free_port
from support.eventually import eventually
from support.guides import PAGES, ROOT, Reader, on_ports, settings_of
from support.up import Up

_INSTANCES: Final = ("instance-1", "instance-2")


class Cluster:
    """The cluster and the ports of this machine that stand for those of the guides."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.up = Up(directory / "data")
        first = self.up.port
        self.ports = {8000: first, 8001: first + 1, 8002: first + 2, 3000: free_port(), 3001: free_port()}
        self.up.environ = {name: on_ports(value, self.ports) for name, value in settings_of(PAGES).items()}

    def reader(self, directory: Path) -> Reader:
        """One with a checkout at `directory / "holdfast"`, in which this cluster was started."""
        checkout = directory / "holdfast"
        checkout.mkdir()
        (checkout / ".venv").symlink_to(Path(sys.prefix))
        (checkout / ".data").symlink_to(self.up.data)
        for part in ("clients", "examples"):
            (checkout / part).symlink_to(ROOT / part)
        return Reader(directory, self.ports)

    async def restore(self) -> None:
        """Start the instances that a guide has killed."""
        for name in _INSTANCES:
            if not _runs(self.up.pid(name)):
                gone = f"{name} is gone"
                await eventually(
                    lambda name=name, gone=gone: self.up.output.count(gone) > self.up.output.count(f"{name} is back")
                )  # type: ignore[misc]  # its defaults are typed by the values
                await self.up.start_again(name)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (ProcessLookupError, FileNotFoundError):
        return False
