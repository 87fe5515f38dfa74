"""`holdfast controller` as Kubernetes runs it, with an API server that knows a Lease and no pods: its port, and how it hangs."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.launcher.ports import free_port
from support.eventually import eventually

LEASE = "/apis/coordination.k8s.io/v1/namespaces/chat/leases/holdfast-controller"
PODS = "/api/v1/namespaces/chat/pods"


class Api(ThreadingHTTPServer):
    """An API server with one Lease, without a holder at first, as the chart makes it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.lease: dict[str, Any] = {"metadata": {"name": "holdfast-controller", "resourceVersion": "1"}, "spec": {}}
        self.closing = threading.Event()


class _Answer(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        if self.path.startswith(LEASE):
            self._say(self.server.lease)
        elif self.path.startswith(PODS) and "watch=" in self.path:
            self.server.closing.wait(20)
            self._say(None)
        else:
            self._say({"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": []})

    def do_PUT(self) -> None:
        self.server.lease = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._say(self.server.lease)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by its base
        """Not in the output of tests."""

    def _say(self, content: Any) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def api() -> Any:
    """It serves in a thread."""
    server = Api()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@asynccontextmanager
async def controller(api: Api, directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """(the process, a client of its port); killed afterwards if need be."""
    clusters = [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{api.server_address[1]}"}}]
    contexts = [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
    users = [{"name": "u", "user": {"token": "t"}}]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "contexts": contexts,
        "users": users,
        "current-context": "c",
    }
    (directory / "kubeconfig").write_text(json.dumps(config), encoding="utf-8")
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "KUBERNETES_"))} | {
        "KUBECONFIG": str(directory / "kubeconfig"),
        "INSTANCE_ID": "controller-1",
        "HOLDFAST_REDIS__URL": "redis://127.0.0.1:1/0",
        "HOLDFAST_KUBERNETES__NAMESPACE": "chat",
        "HOLDFAST_KUBERNETES__SELECTOR": "a=b",
        "HOLDFAST_KUBERNETES__METRICS_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "holdfast", "controller", env=environ)
    try:
        async with httpx.AsyncClient(verify=False, base_url=f"http://127.0.0.1:{port}", timeout=5, trust_env=False) as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _status(client: httpx.AsyncClient, path: str) -> int:
    """Of the answer; 0 without one."""
    try:
        return (await client.get(path)).status_code
    except httpx.HTTPError:
        return 0


async def test_a_controller_tells_of_itself_and_one_that_is_stopped_does_not(api: Api, tmp_path: Path) -> None:
    """The kubelet asks `/livez`: what hangs is restarted. Prometheus asks `/metrics`: what does not lead is told."""
    async with controller(api, tmp_path) as (process, client):

        async def leads() -> bool:
            return (
                await _status(client, "/readyz") == 200
                and "holdfast_controller_is_leader 1.0" in (await client.get("/metrics")).text
            )

        await eventually(leads, within=60)
        assert api.lease["spec"]["holderIdentity"] == "controller-1"
        assert await _status(client, "/livez") == 200
        text = (await client.get("/metrics")).text
        assert 'holdfast_controller_api_requests_total{request="lead",result="failed"} 0.0' in text
        assert 'holdfast_loop_failures_total{loop="controller_watch"} 0.0' in text
        assert "holdfast_connections" not in text, "a controller that is counted among the instances spoils every average"
        assert await _status(client, "/api/health") == 404

        process.send_signal(signal.SIGSTOP)
        client.timeout = httpx.Timeout(1)
        assert await _status(client, "/livez") == 0
        process.send_signal(signal.SIGCONT)
        client.timeout = httpx.Timeout(5)
        await eventually(leads, within=60)

        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert api.lease["spec"]["holderIdentity"] == "", "given back"
