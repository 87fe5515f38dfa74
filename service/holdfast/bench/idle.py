"""The memory of idle connections of a running instance. Once: an instance does not give back what it had at its peak."""

import asyncio
from collections.abc import Sequence

from holdfast.bench.holdfast import HoldfastServer
from holdfast.client.raw import RawClient, connect
from holdfast.launcher.costs import memory_kb

_AT_ONCE = 64


async def kb_per_connection(server: HoldfastServer, count: int) -> float:
    """After all are caught up."""
    warm = await _open(server, [f"warm{n}" for n in range(50)])
    await asyncio.sleep(1)
    before = memory_kb(server.pid)
    clients = await _open(server, [f"idle{n}" for n in range(count)])
    await asyncio.sleep(2)
    after = memory_kb(server.pid)
    for client in clients + warm:
        client.close()
    return (after - before) / count


async def _open(server: HoldfastServer, users: Sequence[str]) -> list[RawClient]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(user: str) -> RawClient:
        async with gate:
            return await connect("127.0.0.1", server.port, server.token(user))

    return list(await asyncio.gather(*(one(user) for user in users)))
