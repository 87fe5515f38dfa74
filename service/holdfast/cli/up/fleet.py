"""How the parts of this `holdfast up` do, and orders to them, for the picture at `/fleet`.

A part that was killed stays killed until it is started here, or by its script. The store has no process: it is a file, or a
service of its own.
"""

import asyncio
import json
import signal
from collections.abc import Mapping
from typing import Any, Final

from holdfast.cli.front.backends import Backend, Backends, fetch
from holdfast.cli.front.fleet import Order
from holdfast.cli.up import monitor, redis
from holdfast.cli.up.part import Part
from holdfast.cli.up.plan import Plan

_ASK_SECONDS: Final = 0.5  # a picture is drawn each second
_SIGNALS: Final = {
    Order.KILL: signal.SIGKILL,
    Order.STOP: signal.SIGTERM,
    Order.FREEZE: signal.SIGSTOP,
    Order.THAW: signal.SIGCONT,
}


class Fleet:
    """Implements `front.fleet.Fleet`. Used from one event loop."""

    def __init__(self, plan: Plan, backends: Backends) -> None:
        self._plan = plan
        self._backends = {backend.name: backend for backend in backends.each}
        self._ordering = asyncio.Lock()  # two clicks on Start are one process

    async def state(self) -> Mapping[str, Any]:
        """`parts`: each as `_told`; `store`: where it is, and whether it is of this cluster."""
        parts = await asyncio.gather(*map(self._told, self._plan.parts))
        is_own = self._plan.has_own_store
        store = {"where": str(self._plan.data / "holdfast.db") if is_own else "HOLDFAST_STORE__URL", "is_own": is_own}
        return {"front": {"port": self._plan.port}, "parts": parts, "store": store, "has_own_redis": self._plan.redis is not None}

    async def obey(self, part: str, order: Order) -> bool:
        """See `front.fleet.Fleet`."""
        found = next((each for each in self._plan.parts if each.name == part), None)
        if found is None:
            return False
        async with self._ordering:
            if order is Order.START:
                if found.pid is None:
                    await found.start()
            elif found.tell(_SIGNALS[order]) and order is Order.STOP:
                found.tell(signal.SIGCONT)  # a frozen one hears it now
        return True

    async def _told(self, part: Part) -> dict[str, Any]:
        """A part: `state` is gone, frozen, silent, or what it says of itself; `connections` and `services` of instances only."""
        told: dict[str, Any] = {"name": part.name, "port": part.port, "pid": part.pid, "kind": self._kind(part)}
        backend = self._backends.get(part.name)
        if backend is not None:
            told["connections"] = backend.connections
        if part.pid is None:
            return told | {"state": "gone", "ending": part.ending}
        if part.is_frozen:
            return told | {"state": "frozen"}
        return told | (await _health(backend) if backend is not None else {"state": await self._answer_of(part)})

    def _kind(self, part: Part) -> str:
        if part is self._plan.redis:
            return "redis"
        return "prometheus" if part is self._plan.prometheus else "instance"

    async def _answer_of(self, part: Part) -> str:
        answers = redis.answers if part is self._plan.redis else monitor.answers
        return "healthy" if await answers(part.port) else "silent"


async def _health(backend: Backend) -> dict[str, Any]:
    """What the instance's `/api/health` says, as far as the picture shows it."""
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            _, body = await fetch(backend, "/api/health")
        health = json.loads(body)
        services = {name: str(service["status"]) for name, service in health["services"].items()}
        return {"state": str(health["status"]), "services": services}
    except (OSError, EOFError, TimeoutError, ValueError, KeyError, TypeError, AttributeError):
        return {"state": "silent"}  # it starts, or its loop stands still
