"""`holdfast up` from start to end: ready, robust against the loss of its parts, and gone without a trace."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.up import Up, require_redis


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    """A local cluster."""
    require_redis()
    cluster = Up(tmp_path / "data")
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture(scope="module")
def up_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A local cluster, started once for the tests that leave it running."""
    require_redis()
    cluster = Up(tmp_path_factory.mktemp("up") / "data")
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        asyncio.run(cluster.stop())


@pytest.fixture
async def lasting_up(up_of_module: Up) -> Up:
    """It is whole again before each test."""
    await up_of_module.restore()
    return up_of_module


def _command_line(pid: int) -> str:
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout


def _shell(command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], cwd="/", env=environ, capture_output=True, text=True, timeout=30, check=False)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _answering(up: Up) -> set[str]:
    """Names of the instances that answer through the front."""
    names = set()
    for _ in range(4):
        status, body = await up.fetch("/api/health")
        if status == 200:
            names.add(json.loads(body)["instance_id"])
    return names


async def test_it_says_how_to_stop_and_start_each_part(up: Up) -> None:
    """A reader copies the printed commands: they stand on lines of their own, whole."""
    for name in ("redis", "instance-1", "instance-2"):
        assert f"kill -9 {up.pid(name)}\n" in up.output
        assert f"start   {up.data / 'start' / name}\n" in up.output
    assert re.search(r"redis-cli -p \d+ shutdown nosave", up.output)
    assert await _answering(up) == {"instance-1", "instance-2"}


async def test_the_printed_commands_work_in_another_shell_elsewhere(up: Up) -> None:
    """The `holdfast` of a `.venv` is not on the PATH, and a second terminal is in another directory."""
    environ = {"PATH": "/usr/bin:/bin"}
    token = re.search(r"^ +token +(.+)$", up.output, re.MULTILINE)
    redis = re.search(r"^ +redis +(.+)$", up.output, re.MULTILINE)
    assert token is not None
    assert redis is not None
    for command, expected in ((token[1], r"ey[\w-]+\.[\w-]+\.[\w-]+\n"), (f"{redis[1]} ping", r"PONG\n")):
        done = await asyncio.to_thread(_shell, command, environ)
        assert re.fullmatch(expected, done.stdout), (command, done)
    assert await up.stop(signal.SIGINT) == 0
    again = re.search(r"Messages are kept; (.+) goes on with them", up.output)
    assert again is not None
    assert f" up --port {up.port} --data {up.data}" in again[1]
    assert Path(again[1].split()[0]).is_absolute()


async def test_a_killed_instance_is_reported_and_never_restarted(lasting_up: Up) -> None:
    """The reader killed it to see the other one carry on; its return is theirs to bring about."""
    killed = lasting_up.pid("instance-1")
    lasting_up.kill("instance-1")
    await eventually(lambda: "instance-1 is gone (ended by SIGKILL)" in lasting_up.output)
    assert await _answering(lasting_up) == {"instance-2"}
    assert lasting_up.pid("instance-1") == killed
    await lasting_up.start_again("instance-1")
    await eventually(lambda: f"instance-1 is back (pid {lasting_up.pid('instance-1')})" in lasting_up.output)
    assert await _answering(lasting_up) == {"instance-1", "instance-2"}


async def test_redis_may_go_and_come_back(lasting_up: Up) -> None:
    """C10: slower, not lossy; and it is told in one line each."""
    lasting_up.kill("redis")
    await eventually(lambda: "redis is gone" in lasting_up.output)
    assert await _answering(lasting_up) == {"instance-1", "instance-2"}
    await lasting_up.start_again("redis")


async def test_ctrl_c_ends_everything_also_what_was_started_by_hand(up: Up) -> None:
    """A forgotten instance would hold its port against the next start."""
    up.kill("instance-2")
    await eventually(lambda: "instance-2 is gone" in up.output)
    await up.start_again("instance-2")
    pids = [up.pid(name) for name in ("redis", "instance-1", "instance-2")]
    assert await up.stop(signal.SIGINT) == 0
    await eventually(lambda: not any(_is_running(pid) for pid in pids))
    assert "Everything has ended" in up.output


async def test_a_second_one_in_the_same_directory_is_refused(lasting_up: Up) -> None:
    """Two clusters over one store and one set of pid files would end each other."""
    second = Up(lasting_up.data)
    second._output_path = lasting_up.data.with_name("second.out")
    with pytest.raises(AssertionError, match="another `holdfast up` uses"):
        await second.start()
    assert await second.stop() == 1


async def test_nothing_of_the_secret_is_seen(lasting_up: Up) -> None:
    """Not in the terminal, the logs, the start scripts or the process list."""
    secret = (lasting_up.data / "secret").read_text(encoding="ascii").strip()
    shown = [
        lasting_up.output,
        *(path.read_text() for folder in ("logs", "start") for path in (lasting_up.data / folder).iterdir()),
    ]
    shown += [_command_line(lasting_up.pid(name)) for name in ("instance-1", "instance-2")]
    assert not [text for text in shown if secret in text]
