"""Processes of this machine: however one behaves, its creator ends it."""

import signal
from pathlib import Path

import pytest

from holdfast.launcher.process import LocalProcess, stop_all
from support.eventually import eventually

_COUNTS = "trap 'echo told' TERM; echo up; while true; do sleep 0.2; done"
_OBEYS = "trap 'exit 3' TERM; echo up; while true; do sleep 0.2; done"


async def _started(directory: Path, name: str, script: str) -> LocalProcess:
    process = LocalProcess(name, directory / f"{name}.log")
    process.run(["sh", "-c", script])
    await eventually(lambda: "up" in process.log())
    return process


@pytest.mark.parametrize("is_frozen", [False, True])
async def test_process_that_obeys_ends_with_its_own_status(tmp_path: Path, is_frozen: bool) -> None:
    """An instance drains at SIGTERM; a frozen one hears it only after SIGCONT."""
    process = await _started(tmp_path, "obeys", _OBEYS)
    if is_frozen:
        process.freeze()
    assert process.stop(within_seconds=30) == 3
    assert (process.is_running, process.exit_code) == (False, 3)


async def test_process_that_ignores_the_signal_is_killed_and_is_told_once(tmp_path: Path) -> None:
    """No process survives its creator. A second SIGTERM would make an instance end without its drain."""
    both = [await _started(tmp_path, "obeys", _OBEYS), await _started(tmp_path, "ignores", _COUNTS)]
    stop_all(both, within_seconds=5)
    assert [process.exit_code for process in both] == [3, -signal.SIGKILL]
    assert both[1].log().count("told") == 1


async def test_log_of_a_process_has_all_its_starts(tmp_path: Path) -> None:
    """The reason of an end is looked up after the next start."""
    process = await _started(tmp_path, "twice", "echo up")
    await eventually(lambda: not process.is_running)
    process.run(["sh", "-c", "echo again"])
    await eventually(lambda: process.log() == "up\nagain\n")
    await eventually(lambda: not process.is_running)
