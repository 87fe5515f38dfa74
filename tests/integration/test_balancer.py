"""Behind a real balancer: HAProxy keeps idle connections to the instance for 60 s, as cloud balancers do."""

import asyncio
import contextlib
import random
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from holdfast.launcher.ports import free_port
from support.eventually import eventually
from support.instances import Instances, Serving
from support.up import require

_KEPT_SECONDS = 60
_OLD_DEFAULT_SECONDS = 5.0  # of uvicorn: what an instance kept before it was a setting
_CONFIG = """
defaults
    mode http
    timeout connect 2s
    timeout client {kept}s
    timeout server {kept}s
    timeout http-keep-alive {kept}s
    retries 0

frontend edge
    bind 127.0.0.1:{port}
    http-response set-header X-Upstream-Port %[bc_src_port]
    default_backend instances

backend instances
    http-reuse always
    server instance-1 127.0.0.1:{upstream} pool-purge-delay {kept}s
"""


@pytest.fixture
async def balanced(sqlite_instances: Instances, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an HAProxy before one instance."""
    require(shutil.which("haproxy") is not None, "no haproxy here: apt-get install haproxy")
    (serving,) = await sqlite_instances.start("instance-1")
    async with _haproxy(serving, tmp_path) as url:
        yield url


@contextlib.asynccontextmanager
async def _haproxy(serving: Serving, directory: Path) -> AsyncIterator[str]:
    port, config = free_port(), directory / "haproxy.cfg"
    config.write_text(_CONFIG.format(kept=_KEPT_SECONDS, port=port, upstream=serving.port))
    process = subprocess.Popen(["haproxy", "-db", "-f", str(config)])  # noqa: ASYNC220 - takes a millisecond
    try:
        await eventually(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _get(url: str) -> httpx.Response:
    """On a connection of its own: what a balancer answers to a client's first request is never hidden by a retry."""
    async with httpx.AsyncClient(verify=False) as client:
        return await client.get(f"{url}/readyz", timeout=10)


async def test_a_balancer_uses_its_connection_again_after_a_pause(balanced: str) -> None:
    """The balancer must be the side that closes an idle connection: an instance that does may do so while a request is under
    way."""
    first = await _get(balanced)
    await asyncio.sleep(_OLD_DEFAULT_SECONDS + 1)  # the pause is what is tested
    second = await _get(balanced)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.headers["x-upstream-port"] == second.headers["x-upstream-port"], "the instance had closed the connection"


@pytest.mark.endurance
@pytest.mark.timeout(720)
async def test_ten_idle_minutes_behind_a_balancer_bring_no_502(balanced: str) -> None:
    """Requests after pauses of all lengths up to what the balancer keeps, most at the lengths at which one side may close."""
    until = asyncio.get_running_loop().time() + 600
    answers: list[int] = []

    async def lane(pause: float) -> None:
        while asyncio.get_running_loop().time() + pause < until:
            await asyncio.sleep(max(0.0, pause + random.uniform(-0.01, 0.01)))
            answers.append((await _get(balanced)).status_code)

    pauses = [_OLD_DEFAULT_SECONDS] * 12 + [15.0, 30.0] + [_KEPT_SECONDS - 0.5, float(_KEPT_SECONDS), _KEPT_SECONDS + 0.5] * 4
    await asyncio.gather(*(lane(pause) for pause in pauses))
    assert len(answers) > 1_000
    assert set(answers) == {200}
