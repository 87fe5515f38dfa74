"""The real Firestore emulator as one process on a free loopback port.

It loses everything when it restarts, so an outage is made by freezing it or by a proxy in front of it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from holdfast.drills.local.waiting import TargetFailed, accepts, free_port, until

REMEDY = (
    "no Firestore emulator here: `gcloud components install cloud-firestore-emulator` (it needs Java), "
    "or name the script in HOLDFAST_FIRESTORE_EMULATOR"
)
_FREEZE_SECONDS = 5.0
_PLACES = ("/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/opt/google-cloud-sdk")


def find_emulator() -> Path | None:
    """The emulator's script, where there is one and Java to run it."""
    named = os.environ.get("HOLDFAST_FIRESTORE_EMULATOR")
    gcloud = shutil.which("gcloud")
    roots = [*_PLACES, *([str(Path(gcloud).resolve().parent.parent)] if gcloud else [])]
    places = [Path(root) / "platform" / "cloud-firestore-emulator" / "cloud_firestore_emulator" for root in roots]
    for place in [Path(named)] if named else places:
        if place.exists() and shutil.which("java"):
            return place
    return None


class Emulator:
    """One emulator. Closed by its creator."""

    def __init__(self, script: Path, host: str = "127.0.0.1", rules: Path | None = None) -> None:
        """Starts nothing yet. `rules`: for clients other than servers; without them they may do everything."""
        self.host = host
        self.port = free_port()
        self._script = script
        self._more = ["--rules", str(rules)] if rules is not None else []
        self._log = tempfile.NamedTemporaryFile(prefix="holdfast-emulator-", suffix=".log")  # noqa: SIM115 - closed by `close`
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For `FIRESTORE_EMULATOR_HOST`."""
        return f"{self.host}:{self.port}"

    async def start(self) -> "Emulator":
        """Run it in a process group of its own (it is a script that starts Java); returns when it accepts connections."""
        command = [str(self._script), "start", "--host", self.host, "--port", str(self.port), *self._more]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)  # noqa: ASYNC220 - takes a millisecond
        await until(lambda: accepts(self.port, self.host), 60, "the Firestore emulator accepts connections")
        return self

    def freeze(self) -> None:
        """It gives no answers until `thaw`; returns when each of its threads stands still."""
        self._tell(signal.SIGSTOP)
        deadline = time.monotonic() + _FREEZE_SECONDS
        while not self._stands_still():
            if time.monotonic() > deadline:
                raise TargetFailed("the emulator does not stand still")
            time.sleep(0.001)

    def _stands_still(self) -> bool:
        """Whether every thread of the group is stopped, as the kernel says."""
        assert self._process is not None
        for task in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
            try:
                state, _, group = task.read_text().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue  # it ended while we looked
            if int(group) == self._process.pid and state not in "TtZX":
                return False
        return True

    def thaw(self) -> None:
        """It goes on."""
        self._tell(signal.SIGCONT)

    def close(self) -> None:
        """End it, with all it started."""
        if self._process is not None:
            self._tell(signal.SIGCONT)
            self._tell(signal.SIGKILL)
            self._process.wait(10)
        self._log.close()

    def _tell(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)
