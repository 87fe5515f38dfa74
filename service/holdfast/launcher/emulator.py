"""The real Firestore emulator as one process on a free loopback port.

It loses everything when it restarts, so an outage is made by freezing it or by a proxy in front of it.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from holdfast.launcher.ports import free_port
from holdfast.launcher.process import LocalProcess
from holdfast.launcher.waiting import TargetFailed, accepts, until

REMEDY = (
    "no Firestore emulator here: `gcloud components install cloud-firestore-emulator` (it needs Java), "
    "or name the script in HOLDFAST_FIRESTORE_EMULATOR"
)
_FREEZE_SECONDS = 5.0
_END_SECONDS = 10.0
# One thread for the heap, on few cores, beside those that ask it. Compiled at once instead of well: an operation takes 1.8 ms of
# processor time in the first ten seconds instead of 5 ms, and later 1.2 ms instead of 0.9 ms. But each query copies the names of
# all documents of its project: at 17,000 of them it takes 7 ms, and 4 ms compiled well.
_BRIEF = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_LASTING = "-XX:+UseSerialGC -Xmn512m"
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


class Emulator(LocalProcess):
    """One emulator: a script that starts Java, hence signals go to the process group. Closed by its creator."""

    def __init__(self, script: Path, host: str = "127.0.0.1", rules: Path | None = None, *, is_lasting: bool = False) -> None:
        """Starts nothing yet.

        Args:
            rules: for clients other than servers; without them they may do everything.
            is_lasting: one project of it grows for many minutes.
        """
        self._java = _LASTING if is_lasting else _BRIEF
        self._log = tempfile.NamedTemporaryFile(prefix="holdfast-emulator-", suffix=".log")  # noqa: SIM115 - closed by `close`
        super().__init__("the Firestore emulator", Path(self._log.name))
        self.host = host
        self.port = free_port()
        self._script = script
        self._more = ["--rules", str(rules)] if rules is not None else []

    @property
    def address(self) -> str:
        """For `FIRESTORE_EMULATOR_HOST`."""
        return f"{self.host}:{self.port}"

    async def start(self) -> "Emulator":
        """Run it; returns when it accepts connections."""
        command = [str(self._script), "start", "--host", self.host, "--port", str(self.port), *self._more]
        options = f"{self._java} {os.environ.get('JAVA_TOOL_OPTIONS', '')}"  # the user's own come last, and win
        self.run(command, os.environ | {"JAVA_TOOL_OPTIONS": options}, has_group=True)
        await until(lambda: accepts(self.port, self.host), 60, "the Firestore emulator accepts connections")
        return self

    def freeze(self) -> None:
        """It gives no answers until `thaw`; returns when each of its threads stands still."""
        super().freeze()
        deadline = time.monotonic() + _FREEZE_SECONDS
        while not self._stands_still():
            if time.monotonic() > deadline:
                raise TargetFailed("the emulator does not stand still")
            time.sleep(0.001)

    def _stands_still(self) -> bool:
        """Whether every thread of the group is stopped, as the kernel says."""
        for task in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
            try:
                state, _, group = task.read_text().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue  # it ended while we looked
            if int(group) == self.pid and state not in "TtZX":
                return False
        return True

    def close(self) -> None:
        """End it, with all it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self._process.wait(_END_SECONDS)
        self._log.close()

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the group, also when the script has ended."""
        os.killpg(self.pid, number)
