"""An instance that has little memory left refuses new connections, and leaves the Service while others have room."""

from functools import partial

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from support.chatting import Chatter
from support.eventually import eventually
from support.instances import Instances, Serving

TOO_LITTLE = 32 * 1024 * 1024  # less than any Python process of ours has


async def _status(instance: Serving, path: str) -> int:
    async with httpx.AsyncClient(verify=False) as client:
        return (await client.get(f"{instance.url}{path}", timeout=5)).status_code


async def _answers(instance: Serving, path: str, status: int) -> bool:
    return await _status(instance, path) == status


async def test_little_memory_left(sqlite_instances: Instances) -> None:
    """Refused before memory runs out, with a time to come back; alone it stays ready, since no other instance would be."""
    (full,) = await sqlite_instances.start("instance-1", HOLDFAST_LIMITS__MEMORY_BYTES=str(TOO_LITTLE))
    with pytest.raises(InvalidStatus) as refused:
        await Chatter(full, "alice").connect()
    assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (503, "1")
    async with httpx.AsyncClient(verify=False) as client:
        body = (await client.get(f"{full.url}/api/health")).json()
        metrics = (await client.get(f"{full.internal_url}/metrics")).text
    assert body["status"] == "degraded"
    saturated = next(each for each in body["conditions"] if each["type"] == "Saturated")
    assert saturated["status"] == "True"
    assert "of 32 MiB of memory" in saturated["message"]
    assert [float(line.split()[1]) for line in metrics.splitlines() if line.startswith("holdfast_memory_limit_bytes ")] == [
        TOO_LITTLE
    ]
    (roomy,) = await sqlite_instances.start("instance-2")
    await eventually(partial(_answers, full, "/readyz", 503), within=15)
    assert await _status(full, "/livez") == 200
    async with Chatter(roomy, "alice"):
        assert await _status(roomy, "/readyz") == 200
    assert roomy.stop() == 0
    await eventually(partial(_answers, full, "/readyz", 200), within=30)
