"""REST through a pool that keeps its connections, while the instance behind it is stopped."""

import asyncio
import signal

import httpx

from support.instances import Instances, Serving

_POOLS = 8


async def _told(instance: Serving, is_begun: asyncio.Event) -> None:
    """Call over one kept connection, as a ClusterIP's client does, until an answer says that the connection closes."""
    async with httpx.AsyncClient(verify=False, trust_env=False, limits=httpx.Limits(max_connections=1)) as client:
        while (await client.get(f"{instance.url}/api/connections/stats")).headers.get("connection") != "close":
            is_begun.set()


async def test_each_call_over_a_kept_connection_is_answered_until_it_is_told_to_leave(sqlite_instances: Instances) -> None:
    """A rollout cut pooled connections without a notice: the call that was on its way ended without a status."""
    (one,) = await sqlite_instances.start("one", HOLDFAST_DRAIN__WINDOW_SECONDS="10")
    async with asyncio.TaskGroup() as pools:
        begun = [asyncio.Event() for _ in range(_POOLS)]
        for is_begun in begun:
            pools.create_task(_told(one, is_begun))
        for is_begun in begun:
            await is_begun.wait()
        one.signal(signal.SIGTERM)
