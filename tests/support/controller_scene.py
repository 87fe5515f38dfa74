"""A controller that runs, with two pods, and a Kubernetes and a Redis that do what the test says."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self

from holdfast.controller.calls import counted
from holdfast.controller.controller import Controller
from holdfast.domain.ids import InstanceId
from holdfast.errors import OrchestratorUnavailable, RedisUnavailable
from holdfast.loops import Loops
from holdfast.ports import Pod, PodCondition, PodHealth
from holdfast.telemetry import ControllerTelemetry
from support.virtual_time import LoopClock, passed

A, B = InstanceId("a"), InstanceId("b")
OnPod = Callable[[Pod], Awaitable[None]]


def health_of(state: str = "healthy", **conditions: bool) -> PodHealth:
    """What a pod says of itself."""
    return PodHealth(state, {name: PodCondition(name, status, "Because", "") for name, status in conditions.items()})


class FakeOrchestrator:
    """Two pods, and a Lease that the test gives."""

    def __init__(self) -> None:
        self.found = {name: Pod(name, f"uid-{name}", f"{name}:9000", True, False) for name in (A, B)}
        self.healths: dict[InstanceId, PodHealth | None] = {name: health_of(BusLive=True, Draining=False) for name in (A, B)}
        self.conditions: list[tuple[str, str, bool | None]] = []
        self.costs: dict[str, int] = {}
        self.told: list[tuple[str | None, str]] = []
        self.is_given = True
        self.is_away = False
        self.is_mistaken = False
        self.hang = asyncio.Event()
        self.hang.set()
        self.resigned: list[str] = []
        self.events: asyncio.Queue[tuple[str, Pod]] = asyncio.Queue()

    def _answer(self) -> None:
        if self.is_away:
            raise OrchestratorUnavailable("503")

    async def watch(self, on_listed: Callable[[Sequence[Pod]], Awaitable[None]], on_pod: OnPod, on_gone: OnPod) -> None:
        self._answer()
        await on_listed(list(self.found.values()))
        with suppress(TimeoutError):
            async with asyncio.timeout(45):  # as the server ends it
                while True:
                    kind, pod = await self.events.get()
                    await (on_gone if kind == "gone" else on_pod)(pod)

    async def pods(self) -> Sequence[Pod]:
        return list(self.found.values())

    async def health(self, pod: Pod) -> PodHealth | None:
        return self.healths[pod.name]

    async def set_conditions(self, pod: Pod, conditions: Sequence[PodCondition]) -> None:
        self._answer()
        self.conditions += [(pod.name, each.type, each.status) for each in conditions]
        if pod.name not in self.found:
            return  # 404: the adapter takes no notice
        known = {**self.found[pod.name].conditions, **{each.type: each for each in conditions}}
        self.found[pod.name] = replace(self.found[pod.name], conditions=known)
        await self.events.put(("is", self.found[pod.name]))

    async def set_deletion_cost(self, pod: Pod, cost: int) -> None:
        self._answer()
        self.costs[pod.name] = cost

    async def tell(self, pod: Pod | None, reason: str, message: str, *, is_warning: bool) -> None:
        self._answer()
        self.told.append((None if pod is None else pod.name, reason))

    async def lead(self, identity: str, seconds: int) -> bool:
        await self.hang.wait()
        self._answer()
        if self.is_mistaken:
            raise ValueError("a mistake of ours")
        return self.is_given

    async def resign(self, identity: str) -> None:
        self.resigned.append(identity)

    async def close(self) -> None:
        """Nothing is held."""


class FakeFates:
    """Writes down what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, InstanceId]] = []
        self.is_away = False

    async def ended(self, instance_id: InstanceId) -> bool:
        return self._say("ended", instance_id)

    async def removed(self, instance_id: InstanceId) -> None:
        self._say("removed", instance_id)

    async def connections(self) -> dict[InstanceId, int]:
        return {A: 7, B: 3}

    def _say(self, what: str, instance_id: InstanceId) -> bool:
        if self.is_away:
            raise RedisUnavailable("down")
        self.said.append((what, instance_id))
        return True


class Scene:
    """A controller that runs."""

    def __init__(self) -> None:
        self.kubernetes, self.fates = FakeOrchestrator(), FakeFates()
        self.telemetry = ControllerTelemetry()
        self.loops = Loops(asyncio.get_running_loop().time, self.telemetry)
        orchestrator = counted(self.kubernetes, self.telemetry)
        self.controller = Controller(orchestrator, self.fates, LoopClock(), "me", self.loops, self.telemetry)

    def value(self, name: str, **labels: str) -> float:
        """What a scrape says now."""
        found = self.telemetry.registry.get_sample_value(f"holdfast_controller_{name}", labels)
        assert found is not None, name
        return found

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.controller.run())
        await passed(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
