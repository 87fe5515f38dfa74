"""What an operator sees pass through Redis."""

import asyncio
import json
from typing import Any, Self

from redis.asyncio import Redis


class Monitor:
    """`redis-cli MONITOR`: the PUBLISH commands seen, those inside scripts included."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self.published: list[tuple[str, dict[str, Any]]] = []

    async def __aenter__(self) -> Self:
        self._monitor = self._redis.monitor()
        await self._monitor.__aenter__()
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._monitor.__aexit__()

    async def _read(self) -> None:
        async for command in self._monitor.listen():
            line = command["command"]
            if line.upper().startswith("PUBLISH "):
                _, channel, payload = line.split(" ", 2)
                self.published.append((channel, json.loads(payload)))

    def kinds(self, channel: str) -> list[str]:
        return [envelope["kind"] for name, envelope in self.published if name == channel]
