"""A whole `Node` over fakes, in virtual time: what runs in the background of an instance, and how its health sees that."""

import asyncio
from typing import Any

from holdfast.domain.notifications import CatchUp, Notification
from holdfast.node.foundation import Foundation
from holdfast.node.health.dependencies import Dependency
from holdfast.node.node import Node
from holdfast.settings import Settings
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus, FakeRegistry
from support.fake_rosters import FakeRosters
from support.fakes import FakeMemory, FakeStore
from support.virtual_time import LoopClock, VirtualLoop


class NodeStore(FakeStore):
    """The calls of a node to its store without any connections."""

    stored_generation = "g1"

    async def open(self) -> None:
        await self._enter("open")

    async def close(self) -> None:
        return

    async def generation(self) -> str:
        await self._enter("generation")
        return self.stored_generation

    async def renew(self, expected: str | None = None) -> str:
        await self._enter("renew")
        if expected is None or expected == self.stored_generation:
            self.stored_generation += "+"
        return self.stored_generation

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        await self._enter("catch_ups")
        return []

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        await self._enter("claim_notifications")
        return []

    async def note_activity(self, conversation_id: str, last: object) -> None:
        return

    async def read_revocations(self, since_ms: int) -> dict[Any, int]:
        await self._enter("read_revocations")
        return {}

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        await self._enter("read_revoked_tokens")
        return {}


class _Notifier:
    async def push(self, record: Notification) -> None:
        return

    async def close(self) -> None:
        return


class NodeScene:
    """One instance; `start` it, and `close` it at the end."""

    def __init__(self) -> None:
        clock, self.telemetry = LoopClock(), Telemetry("test")
        self.store, self.bus, self.registry, self.cache = NodeStore(), FakeBus(), FakeRegistry(), FakeRosters()
        self.dependencies = [Dependency(name, clock, self.telemetry) for name in ("sqlite", "redis")]
        self.node = Node(
            Foundation(
                settings=Settings.model_validate({"instance_id": "one"}),
                version="1",
                store=self.store,  # type: ignore[arg-type]  # the part that is used without clients
                bus=self.bus,
                marks=self.bus,
                recent_messages=self.bus,
                registry=self.registry,
                roster_cache=self.cache,
                notifier=_Notifier(),
                clock=clock,
                memory=FakeMemory(),
                telemetry=self.telemetry,
            ),
            *self.dependencies,
        )
        self._answering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Everything that a node starts; both dependencies answer."""
        self._answering = asyncio.create_task(self._answer())
        await self.node.start()

    async def close(self) -> None:
        """The end."""
        assert self._answering is not None
        self._answering.cancel()
        await self.node.stop()

    @staticmethod
    def freeze(seconds: float) -> None:
        """The whole process stands still for so long, beginning now."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.selector.now += seconds

    def failures(self, loop: str) -> float:
        """As counted in `holdfast_loop_failures_total`."""
        return self.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": loop}) or 0.0

    async def _answer(self) -> None:
        while True:
            for dependency in self.dependencies:
                dependency.succeeded(0.001)
            await asyncio.sleep(0.5)
