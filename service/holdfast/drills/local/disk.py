"""A disk that can be full: a small file system in memory, of its own. To mount one takes root."""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from holdfast.launcher.waiting import TargetFailed

_CHUNK_BYTES: Final = 65_536
_CALL_SECONDS: Final = 10.0


class SmallDisk:
    """`mount`, then `close`. `path`: where it is."""

    def __init__(self, size_mb: int) -> None:
        """Mounts nothing yet."""
        self.path = Path(tempfile.mkdtemp(prefix="holdfast-disk-"))
        self._size_mb = size_mb
        self._is_mounted = False

    def mount(self) -> None:
        """Make it.

        Raises:
            TargetFailed: this user, or this container, may not.
        """
        _call("mount", "-t", "tmpfs", "-o", f"size={self._size_mb}m,mode=0700", "tmpfs", str(self.path))
        self._is_mounted = True

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._filler.open("wb", buffering=0) as file:
            for size in (_CHUNK_BYTES, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:  # no room for a piece of that size
                    continue

    def empty(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, also while processes have files open on it."""
        if self._is_mounted:
            _call("umount", "--lazy", str(self.path))
            self._is_mounted = False
        if self.path.exists():
            self.path.rmdir()

    @property
    def _filler(self) -> Path:
        return self.path / "filler"


def missing_mount() -> str:
    """Why no disk can be mounted here; empty where one can."""
    disk = SmallDisk(1)
    try:
        disk.mount()
    except TargetFailed as error:
        return str(error)
    finally:
        disk.close()
    return ""


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetFailed(f"a small disk cannot be mounted here: {error}") from None
    if done.returncode:
        raise TargetFailed(f"a small disk cannot be mounted here (it takes root): {done.stderr.strip()}")
