"""The test kit's cluster: its commands, and the processes of its pods, which are on this machine."""

import os
import subprocess
from pathlib import Path

from support.helm import KIT

STATE = Path(os.environ.get("HOLDFAST_CLUSTER_DIR", "/tmp/holdfast-cluster"))
HOST = "10.88.0.1"  # this machine, as pods see it
NAMESPACE = "chat-test"
SECRET = "a-secret-of-tests-that-is-long-enough"


def kit(*command: str) -> None:
    """One of the kit's commands."""
    done = subprocess.run([str(KIT / command[0]), *command[1:]], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def kubectl(*arguments: str) -> str:
    """As an operator."""
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout


def in_namespace(*arguments: str) -> str:
    """As an operator, where the release is."""
    return kubectl("-n", NAMESPACE, *arguments)


def tag_image(image: str, other: str) -> None:
    """The same image under a second name, on every node."""
    for socket in sorted(STATE.glob("node*/containerd.sock")):
        command = ["ctr", "-a", str(socket), "-n", "k8s.io", "images", "tag", "--force", image, other]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


def process_of(pod_uid: str, program: bytes) -> int:
    """The process id, on this machine, of that program in a pod."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            is_it = program in (entry / "cmdline").read_bytes() and f"pod{pod_uid}" in (entry / "cgroup").read_text()
        except OSError:
            continue  # it ended while we looked
        if is_it:
            return int(entry.name)
    raise AssertionError(f"{program!r} runs in no container of {pod_uid}")
