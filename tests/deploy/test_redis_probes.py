"""The probes of the release's own Redis: their command against a real Redis that answers, refuses and is frozen."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from holdfast.launcher.ports import free_port
from support.chart import MINIMAL, Object, only
from support.eventually import eventually
from support.helm import render

PASSWORD = "a-password-of-tests"


def container(*values: str) -> Object:
    """Redis as the chart runs it."""
    (found,) = only(render(*MINIMAL, *values), "StatefulSet", "holdfast-redis")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def start(port: int, directory: Path, secrets: dict[str, str]) -> subprocess.Popen[bytes]:
    """Redis with the chart's command and arguments, on that port."""
    found = container()
    arguments = [str(directory) if each == "/tmp" else each for each in found["args"]]
    command = [*found["command"], "--port", str(port), *arguments]
    return subprocess.Popen(command, env=secrets | {"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """(process, port) of one with the chart's arguments."""
    port = free_port()
    process = start(port, tmp_path, {"REDISCLI_AUTH": PASSWORD, "HOLDFAST_REDIS__PASSWORD": "another"})
    try:
        yield process, port
    finally:
        process.kill()
        process.wait(10)


def ask(probe: str, port: int, password: str) -> bool:
    """Whether the probe's command ends with 0. It has to end by itself: what would kill it leaves its descendants behind."""
    command = [each.replace("redis-cli", f"redis-cli -p {port}") for each in container()[probe]["exec"]["command"]]
    environ = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": password}
    return subprocess.run(command, env=environ, capture_output=True, check=False, timeout=30).returncode == 0


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe"])
def test_redis_that_answers_passes_and_a_frozen_or_closed_one_fails(
    redis: tuple[subprocess.Popen[bytes], int], probe: str
) -> None:
    """A frozen Redis takes connections for ever; only an answer shows that it lives."""
    process, port = redis
    while not ask(probe, port, PASSWORD):
        assert process.poll() is None
    assert not ask(probe, port, "wrong")
    process.send_signal(signal.SIGSTOP)
    assert not ask(probe, port, PASSWORD)
    process.send_signal(signal.SIGCONT)
    assert ask(probe, port, PASSWORD)


def test_liveness_waits_longer_than_readiness_and_neither_command_outlives_its_time() -> None:
    """A restart costs every instance its subscriptions; a command that is killed keeps the kubelet waiting."""
    redis = container()
    live, ready = redis["livenessProbe"], redis["readinessProbe"]
    patience = {name: probe["failureThreshold"] * probe["periodSeconds"] for name, probe in (("live", live), ("ready", ready))}
    assert patience == {"live": 30, "ready": 6}
    for probe in (live, ready):
        (own,) = re.findall(r"timeout (\d+) redis-cli", probe["exec"]["command"][-1])
        assert int(own) < probe["timeoutSeconds"]


def test_a_password_reaches_the_probe_by_the_environment_only() -> None:
    """A command is shown by `kubectl describe`."""
    redis = container()
    assert "REDISCLI_AUTH" in [each["name"] for each in redis["env"]]
    assert "-a" not in redis["livenessProbe"]["exec"]["command"][-1].split()


async def test_line_ends_of_the_secrets_are_no_part_of_the_passwords(tmp_path: Path) -> None:
    """Pods read theirs without; `redis-cli` in the pod of Redis sends the operators' as it is in the Secret."""
    port = free_port()
    process = start(port, tmp_path, {"REDISCLI_AUTH": f"{PASSWORD}\n", "HOLDFAST_REDIS__PASSWORD": ' it\'s "$1*" \n'})
    try:
        await eventually(lambda: ask("readinessProbe", port, f"{PASSWORD}\n"))
        assert ask("readinessProbe", port, PASSWORD)
        assert not ask("readinessProbe", port, "another")
        with Redis(port=port, username="holdfast", password='it\'s "$1*"') as pod:
            assert pod.ping()
    finally:
        process.kill()
        process.wait(10)
