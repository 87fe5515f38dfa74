"""SIGTERM that comes while a command is still imported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

IMPORTED_FOR_EVER = """
import threading
print("importing", flush=True)
threading.Event().wait()
"""
_END_SECONDS = 20.0


@pytest.mark.parametrize("command", ["serve", "controller", "probe"])
def test_command_that_is_terminated_while_it_is_imported_ends_at_once(command: str, tmp_path: Path) -> None:
    """It needs a handler of its own: the kernel drops the signal for the first process of a container, whose pod then stayed
    for all of its grace period. A process without a handler ends with -15 here."""
    (tmp_path / "pydantic.py").write_text(IMPORTED_FOR_EVER)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | {
        "PYTHONPATH": str(tmp_path)
    }
    with subprocess.Popen([sys.executable, "-m", "holdfast", command], env=environ, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"importing\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(_END_SECONDS) == 0
        finally:
            process.kill()
