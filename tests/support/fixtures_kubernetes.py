"""A real cluster and a release on it: the test kit's (`up` beside this checkout), started here unless one is up already."""

import asyncio
import base64
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from holdfast.drills.kubernetes.run import Place
from holdfast.launcher.emulator import Emulator
from holdfast.launcher.ports import free_port
from support.emulator import require_emulator
from support.eventually import eventually
from support.helm import CHART, KIT, ROOT, helm, kubectl_binary, missing
from support.kit import HOST, NAMESPACE, SECRET, STATE, in_namespace, kit, kubectl, tag_image
from support.kit_drills import NEXT_IMAGE

IMAGE = "docker.io/library/holdfast:dev"
_NODE = "10.88.0.1{}"  # node1 is 10.88.0.11
_PROJECT = "holdfast-test"


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster with the images loaded, and `kubectl` for it on the path."""
    if not (KIT / "up").exists():
        missing("no test cluster's kit beside this checkout, nor in HOLDFAST_CLUSTER_KIT")
    if os.geteuid():
        missing("a test cluster needs root")
    is_ours = not _is_up()
    if is_ours:
        kit("up")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "holdfast-cluster"
    before = {name: os.environ.get(name) for name in ("PATH", "KUBECONFIG")}
    os.environ |= {"PATH": f"{cache / 'bin'}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": str(STATE / "kubeconfig")}
    try:
        images = tmp_path_factory.mktemp("images")
        kit("build-image", str(ROOT), IMAGE, str(images / "holdfast.tar"))
        kit("build-image", str(KIT / "images" / "redis"), "docker.io/library/redis:7", str(images / "redis.tar"))
        kit("load-image", str(images / "holdfast.tar"), str(images / "redis.tar"))
        tag_image(IMAGE, NEXT_IMAGE)
        shutil.rmtree(images)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        if is_ours:
            kit("down")


def _is_up() -> bool:
    """Whether a cluster answers; the remains of a killed one do not, and `up` clears them away."""
    asked = [kubectl_binary(), "--kubeconfig", str(STATE / "kubeconfig"), "--request-timeout", "5s", "get", "--raw", "/readyz"]
    return subprocess.run(asked, capture_output=True, check=False, timeout=30).returncode == 0


@dataclass(frozen=True)
class Release:
    """The installed release. `took`: seconds from `helm install` to ready; `environ`: what names its store from here."""

    took: float
    environ: dict[str, str]

    @property
    def url(self) -> str:
        """Its Service, by the node on which Redis is: the one that no test takes away."""
        node = in_namespace("get", "pod", "holdfast-redis-0", "-o", "jsonpath={.spec.nodeName}")
        port = in_namespace("get", "service", "holdfast", "-o", "jsonpath={.spec.ports[0].nodePort}")
        return f"http://{_NODE.format(node.removeprefix('node'))}:{port}"

    @property
    def place(self) -> Place:
        """For drills."""
        return Place("holdfast", NAMESPACE, "holdfast", self.url, self.environ["HOLDFAST_STORE__URL"])


@pytest.fixture(scope="session")
def release(kubernetes: None) -> Iterator[Release]:
    """The chart on an empty namespace that enforces the restricted standard; Firestore's emulator outside the cluster."""
    emulator = Emulator(require_emulator(), HOST, is_lasting=True)
    asyncio.run(emulator.start())
    try:
        kubectl("create", "namespace", NAMESPACE)
        labels = "pod-security.kubernetes.io/enforce=restricted", "holdfast.dev/drills=allowed"
        kubectl("label", "namespace", NAMESPACE, *labels)
        values = f"firestore.emulatorHost={emulator.address},auth.secret={SECRET}"
        chart = (str(CHART), "-n", NAMESPACE, "-f", str(CHART / "ci" / "cluster-values.yaml"), "--set", values)
        began = time.monotonic()
        done = helm("install", "holdfast", *chart, "--wait", "--timeout", "60s", seconds=90)
        took = time.monotonic() - began
        assert done.returncode == 0, done.stderr + in_namespace("get", "pods", "-o", "wide")
        yield Release(took, {"HOLDFAST_STORE__URL": f"firestore://{_PROJECT}", "FIRESTORE_EMULATOR_HOST": emulator.address})
        assert helm("uninstall", "holdfast", "-n", NAMESPACE, "--wait", "--timeout", "120s", seconds=150).returncode == 0
        asyncio.run(eventually(lambda: not _left_behind(), within=60))
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        emulator.close()


def _left_behind() -> list[str]:
    """The objects of the release: of every kind that the namespace can hold, Events aside."""
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    lasting = ",".join(kind for kind in kinds if not kind.startswith("events"))
    found = in_namespace("get", lasting, "-o", "name", "--ignore-not-found").split()
    return [each for each in found if "holdfast" in each]


@dataclass(frozen=True)
class Front:
    """The address for clients; they cannot choose their pod."""

    name: str
    url: str

    @property
    def ws_url(self) -> str:
        """The socket."""
        return self.url.replace("http://", "ws://") + "/ws"


@pytest.fixture(params=["service", "haproxy"])
async def front(request: pytest.FixtureRequest, release: Release, tmp_path: Path) -> AsyncIterator[Front]:
    """The Service itself, and an edge in front of the pods that spreads by the fewest connections."""
    if request.param == "service":
        yield Front("service", release.url)
        return
    if shutil.which("haproxy") is None:
        missing("no haproxy here: apt-get install haproxy")
    port, config = free_port(), tmp_path / "haproxy.cfg"
    config.write_text(_recipe().replace("bind :8000", f"bind 127.0.0.1:{port}").replace("NAMESPACE", NAMESPACE))
    with (tmp_path / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-f", str(config)], stdout=log, stderr=log)  # noqa: ASYNC220 - takes a millisecond
    try:
        found = Front("haproxy", f"http://127.0.0.1:{port}")
        await eventually(lambda: _serves(found), within=15)
        yield found
    finally:
        process.kill()
        process.wait(10)


def _recipe() -> str:
    """As the documentation has it."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    return page.partition("```haproxy\n")[2].partition("```")[0]


async def _serves(front: Front) -> bool:
    try:
        async with httpx.AsyncClient(verify=False) as client:
            return (await client.get(f"{front.url}/readyz", timeout=2)).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
async def cluster_redis(release: Release) -> AsyncIterator["Redis"]:
    """What an operator with `redis-cli` sees, by the Service's address."""
    address = in_namespace("get", "service", "holdfast-redis", "-o", "jsonpath={.spec.clusterIP}")
    password = base64.b64decode(in_namespace("get", "secret", "holdfast-redis-operator", "-o", "jsonpath={.data.password}"))
    client = Redis(host=address, password=password.decode(), decode_responses=True, socket_timeout=None)
    yield client
    await client.aclose()
