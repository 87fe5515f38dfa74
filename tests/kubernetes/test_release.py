"""The chart and the image on a real cluster: installed from empty, talked to, broken, upgraded, and gone without a trace.

The cluster is the test kit's (`up` beside this checkout), started here unless one is up already; root, and Debian's packages.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.cli.drill.play import tell
from holdfast.drills.kubernetes.run import Place, run_on_kubernetes
from holdfast.drills.kubernetes.scenarios import CATALOGUE
from holdfast.drills.local.emulator import Emulator
from holdfast.drills.run import Options
from support.emulator import require_emulator
from support.helm import CHART, KIT, ROOT, helm, missing

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]

HOST = "10.88.0.1"  # of the machine, as pods see it
NODE = "10.88.0.11"
NAMESPACE = "chat-test"
SECRET = "a-secret-of-tests-that-is-long-enough"
STATE = Path(os.environ.get("HOLDFAST_CLUSTER_DIR", "/tmp/holdfast-cluster"))


def kit(*command: str) -> None:
    """One of the kit's commands."""
    done = subprocess.run([str(KIT / command[0]), *command[1:]], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def kubectl(*arguments: str) -> str:
    """As an operator."""
    return subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster with the images loaded, and `kubectl` for it on the path."""
    if not (KIT / "up").exists():
        missing("no test cluster's kit beside this checkout, nor in HOLDFAST_CLUSTER_KIT")
    if os.geteuid():
        missing("a test cluster needs root")
    is_ours = not (STATE / "kubeconfig").exists()
    if is_ours:
        kit("up")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "holdfast-cluster"
    before = {name: os.environ.get(name) for name in ("PATH", "KUBECONFIG")}
    os.environ |= {"PATH": f"{cache / 'bin'}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": str(STATE / "kubeconfig")}
    try:
        images = tmp_path_factory.mktemp("images")
        kit("build-image", str(ROOT), "docker.io/library/holdfast:dev", str(images / "holdfast.tar"))
        kit("build-image", str(KIT / "images" / "redis"), "docker.io/library/redis:7", str(images / "redis.tar"))
        kit("load-image", str(images / "holdfast.tar"), str(images / "redis.tar"))
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
        if is_ours:
            kit("down")


@dataclass(frozen=True)
class Release:
    """What was installed. `took`: seconds from `helm install` to ready."""

    url: str
    took: float


@pytest.fixture(scope="session")
def release(cluster: None) -> Iterator[Release]:
    """The chart on an empty namespace that enforces the restricted standard; Firestore's emulator outside the cluster."""
    emulator = Emulator(require_emulator(), HOST)
    asyncio.run(emulator.start())
    labels = "pod-security.kubernetes.io/enforce=restricted", "holdfast.dev/drills=allowed"
    kubectl("create", "namespace", NAMESPACE)
    try:
        kubectl("label", "namespace", NAMESPACE, *labels)
        began = time.monotonic()
        values = f"firestore.emulatorHost={emulator.address},auth.secret={SECRET}"
        chart = (str(CHART), "-n", NAMESPACE, "-f", str(CHART / "ci" / "cluster-values.yaml"), "--set", values)
        done = helm("install", "holdfast", *chart, "--wait", "--timeout", "60s")
        assert done.returncode == 0, done.stderr + kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide")
        port = kubectl("-n", NAMESPACE, "get", "service", "holdfast", "-o", "jsonpath={.spec.ports[0].nodePort}")
        yield Release(f"http://{NODE}:{port}", time.monotonic() - began)
        assert helm("uninstall", "holdfast", "-n", NAMESPACE, "--wait", "--timeout", "120s").returncode == 0
        kinds = "deployments,statefulsets,services,secrets,serviceaccounts,poddisruptionbudgets,leases"
        left = kubectl("-n", NAMESPACE, "get", kinds, "-o", "name").split()
        assert [each for each in left if "holdfast" in each] == [], "helm uninstall leaves nothing"
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        emulator.close()


def test_it_is_ready_within_a_minute_and_helm_test_passes(release: Release) -> None:
    """Two people, through the Service, at two pods."""
    assert release.took < 60
    done = helm("test", "holdfast", "-n", NAMESPACE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Succeeded" in done.stdout


def test_pods_have_no_rights_and_write_nowhere(release: Release) -> None:
    """As the kernel says it."""
    inside = ("-n", NAMESPACE, "exec", "deploy/holdfast", "--", "sh", "-c")
    assert "CapEff:\t0000000000000000" in kubectl(*inside, "cat /proc/1/status")
    assert "uid=10001" in kubectl(*inside, "id")
    assert kubectl(*inside, "touch /x 2>/dev/null || echo refused").strip() == "refused"
    assert kubectl(*inside, "ls /var/run/secrets/kubernetes.io 2>/dev/null || echo none").strip() == "none"


@pytest.mark.parametrize("name", ["pod-delete", "pod-kill", "redis-delete", "rolling-restart", "scale-in", "node-drain"])
async def test_a_drill_on_the_cluster(release: Release, tmp_path: Path, name: str) -> None:
    """Nothing lost, nothing doubled; the drill's own expectations are met."""
    place = Place("holdfast", NAMESPACE, "holdfast", release.url)
    outcome = await run_on_kubernetes(CATALOGUE[name], Options(rate=30.0, directory=tmp_path), place, print)
    tell(Console(), outcome)
    assert outcome.exit_code == 0, outcome.problem
