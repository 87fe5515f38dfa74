"""A Redis whose process is frozen inside its container: only a liveness probe ends it."""

import os
import signal
from functools import partial

import httpx
import pytest

from support.eventually import eventually
from support.fixtures_kubernetes import Release
from support.kit import in_namespace, process_of

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]


def test_a_normal_start_makes_no_warning_events(release: Release) -> None:
    """An Event `Unhealthy` at every start trains its readers to ignore the ones that matter."""
    told = in_namespace("get", "events", "--field-selector", "type=Warning,reason=Unhealthy", "-o", "name")
    assert not told, in_namespace("get", "events")


async def test_frozen_redis_is_restarted_and_instances_return_to_healthy(release: Release) -> None:
    """Its port still takes connections, so that without an answer to a `PING` the release would stay degraded."""
    uid = in_namespace("get", "pod", "holdfast-redis-0", "-o", "jsonpath={.metadata.uid}")
    before = _restarts()
    os.kill(process_of(uid, b"redis-server"), signal.SIGSTOP)
    await eventually(lambda: _restarts() == before + 1, within=90)
    in_namespace("wait", "pod/holdfast-redis-0", "--for=condition=Ready", "--timeout=60s")
    await eventually(partial(_is_healthy, release.url), within=60)


def _restarts() -> int:
    return int(in_namespace("get", "pod", "holdfast-redis-0", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"))


async def _is_healthy(url: str) -> bool:
    async with httpx.AsyncClient(verify=False) as client:
        answer = await client.get(f"{url}/api/health")
    return answer.status_code == 200 and answer.json()["status"] == "healthy"
