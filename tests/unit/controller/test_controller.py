"""The controller's loop: it passes on what it sees while it leads, and keeps quiet otherwise."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self

from holdfast.controller.controller import Controller
from holdfast.domain.ids import InstanceId
from holdfast.errors import OrchestratorUnavailable, RedisUnavailable
from holdfast.loops import Loops
from holdfast.ports import Pod, PodCondition, PodHealth
from holdfast.telemetry import Telemetry
from support.virtual_time import LoopClock, in_virtual_time, passed

A, B = InstanceId("a"), InstanceId("b")
OnPod = Callable[[Pod], Awaitable[None]]


def _health(state: str = "healthy", **conditions: bool) -> PodHealth:
    return PodHealth(state, {name: PodCondition(name, status, "Because", "") for name, status in conditions.items()})


class FakeOrchestrator:
    """Two pods, and a Lease that the test gives."""

    def __init__(self) -> None:
        self.found = {name: Pod(name, f"uid-{name}", f"{name}:9000", True, False) for name in (A, B)}
        self.healths: dict[InstanceId, PodHealth | None] = {name: _health(BusLive=True, Draining=False) for name in (A, B)}
        self.conditions: list[tuple[str, str, bool | None]] = []
        self.costs: dict[str, int] = {}
        self.told: list[tuple[str | None, str]] = []
        self.is_given = True
        self.is_away = False
        self.resigned: list[str] = []
        self.events: asyncio.Queue[tuple[str, Pod]] = asyncio.Queue()

    def _answer(self) -> None:
        if self.is_away:
            raise OrchestratorUnavailable("503")

    async def watch(self, on_pod: OnPod, on_gone: OnPod) -> None:
        self._answer()
        for pod in self.found.values():
            await on_pod(pod)
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
        self._answer()
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
        self.telemetry = Telemetry("test")
        self.loops = Loops(asyncio.get_running_loop().time, self.telemetry)
        self.controller = Controller(self.kubernetes, self.fates, LoopClock(), "me", self.loops)

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.controller.run())
        await passed(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@in_virtual_time
async def test_what_pods_say_of_themselves_becomes_conditions_and_only_changes_are_written() -> None:
    async with Scene() as scene:
        await passed(10)
        assert sorted(scene.kubernetes.conditions) == [
            ("a", "holdfast.dev/BusLive", True),
            ("a", "holdfast.dev/Draining", False),
            ("b", "holdfast.dev/BusLive", True),
            ("b", "holdfast.dev/Draining", False),
        ]
        scene.kubernetes.conditions.clear()
        scene.kubernetes.healths[A] = _health("degraded", BusLive=False, Draining=False)
        await passed(4)
        assert scene.kubernetes.conditions == [("a", "holdfast.dev/BusLive", False)]
        await passed(5)
        assert scene.kubernetes.told == [("a", "Degraded")]


@in_virtual_time
async def test_an_outage_of_all_is_one_event_on_the_deployment() -> None:
    async with Scene() as scene:
        for name in (A, B):
            scene.kubernetes.healths[name] = _health("degraded", BusLive=False)
        await passed(30)
        assert scene.kubernetes.told == [(None, "FleetDegraded")]


@in_virtual_time
async def test_a_pod_that_does_not_answer_is_not_judged() -> None:
    async with Scene() as scene:
        scene.kubernetes.healths[A] = None
        await passed(30)
        assert {name for name, _, _ in scene.kubernetes.conditions} == {"b"}
        assert scene.kubernetes.told == []


@in_virtual_time
async def test_condition_of_a_pod_that_does_not_answer_becomes_unknown_and_returns() -> None:
    """A reader must not take the last word of a pod that hangs for its state of today."""
    async with Scene() as scene:
        await passed(10)
        scene.kubernetes.healths[A] = None
        scene.kubernetes.conditions.clear()
        await passed(20)
        assert [each for each in scene.kubernetes.conditions if each[0] == "a"] == []
        await passed(20)
        unknown = [("a", "holdfast.dev/BusLive", None), ("a", "holdfast.dev/Draining", None)]
        assert [each for each in scene.kubernetes.conditions if each[0] == "a"] == unknown, "once"
        scene.kubernetes.healths[A] = _health(BusLive=True, Draining=False)
        await passed(4)
        assert ("a", "holdfast.dev/BusLive", True) in scene.kubernetes.conditions


@in_virtual_time
async def test_condition_that_holds_is_observed_anew_every_minute() -> None:
    """Its time says that somebody still looks: a reader can tell it from the last word of a controller that hangs."""
    async with Scene() as scene:
        await passed(610)
        of_a = [each for each in scene.kubernetes.conditions if each[:2] == ("a", "holdfast.dev/BusLive")]
        assert 9 <= len(of_a) <= 11


@in_virtual_time
async def test_pod_that_does_not_answer_is_not_called_observed() -> None:
    """The minute of a renewal may end while its last word is not half a minute old."""
    async with Scene() as scene:
        await passed(40)
        scene.kubernetes.healths[A] = None
        scene.kubernetes.conditions.clear()
        await passed(28)
        assert [each for each in scene.kubernetes.conditions if each[0] == "a"] == []


@in_virtual_time
async def test_controller_that_takes_over_renews_what_its_predecessor_wrote() -> None:
    """Conditions that are right already would else keep the time of the controller that is gone."""
    scene = Scene()
    for name in (A, B):
        written = {each: PodCondition(each, True, "Because", "") for each in ("holdfast.dev/BusLive",)}
        scene.kubernetes.found[name] = replace(scene.kubernetes.found[name], conditions=written)
        scene.kubernetes.healths[name] = _health(BusLive=True)
    async with scene:
        await passed(10)
        assert sorted(scene.kubernetes.conditions) == [(name, "holdfast.dev/BusLive", True) for name in ("a", "b")]


@in_virtual_time
async def test_a_container_that_ended_is_told_to_those_who_reap_once() -> None:
    async with Scene() as scene:
        ended = replace(scene.kubernetes.found[A], has_ended=True)
        for event in (("is", ended), ("is", ended), ("gone", ended)):
            await scene.kubernetes.events.put(event)
        await passed(1)
        assert scene.fates.said == [("ended", A)]


@in_virtual_time
async def test_a_pod_that_is_merely_gone_proves_less() -> None:
    async with Scene() as scene:
        await scene.kubernetes.events.put(("gone", scene.kubernetes.found[B]))
        await passed(1)
        assert scene.fates.said == [("removed", B)]


@in_virtual_time
async def test_what_could_not_be_said_is_said_when_redis_is_back() -> None:
    async with Scene() as scene:
        scene.fates.is_away = True
        await scene.kubernetes.events.put(("gone", scene.kubernetes.found[B]))
        await passed(5)
        assert scene.fates.said == []
        scene.fates.is_away = False
        await passed(5)
        assert scene.fates.said == [("removed", B)]


@in_virtual_time
async def test_costs_follow_connections() -> None:
    async with Scene() as scene:
        await passed(30)
        assert scene.kubernetes.costs == {"b": 0, "a": 1}


@in_virtual_time
async def test_who_does_not_lead_says_nothing_until_it_does() -> None:
    """And what it saw meanwhile is not lost with the leader that died of the same cause."""
    scene = Scene()
    scene.kubernetes.is_given = False
    async with scene:
        await scene.kubernetes.events.put(("gone", scene.kubernetes.found[B]))
        await passed(30)
        assert (scene.kubernetes.conditions, scene.kubernetes.told, scene.fates.said) == ([], [], [])
        scene.kubernetes.is_given = True
        await passed(5)
        assert scene.fates.said == [("removed", B)]
        assert scene.kubernetes.conditions
    assert scene.kubernetes.resigned == ["me"]


@in_virtual_time
async def test_without_the_api_server_it_waits_and_goes_on() -> None:
    async with Scene() as scene:
        await passed(5)
        scene.kubernetes.is_away = True
        await passed(60)
        assert not scene.controller.is_leading
        scene.kubernetes.is_away = False
        scene.kubernetes.healths[A] = _health("degraded", BusLive=False)
        await passed(10)
        assert scene.controller.is_leading
        assert ("a", "holdfast.dev/BusLive", False) in scene.kubernetes.conditions


@in_virtual_time
async def test_a_mistake_in_one_job_ends_none_of_them() -> None:
    """It ended the process: until the restart nobody told the pods what Kubernetes knew."""
    scene = Scene()
    scene.kubernetes.health = None  # type: ignore[assignment]  # a mistake: calling it raises
    scene.kubernetes.lead = None  # type: ignore[method-assign]  # as above
    running = asyncio.create_task(scene.controller.run())
    await passed(60)
    assert not running.done()
    failures = scene.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": "controller_lead"})
    assert failures is not None
    assert failures > 10
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
