"""One run: a cluster, its people, its faults, its history, and what was wrong."""

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.drills.history import Bounds, Header, History
from simulation import verdict
from simulation.cluster import Cluster, redis_servers
from simulation.connections import check_lists
from simulation.context import Context
from simulation.failures import FAILURES, Failures, Missed
from simulation.faults import Fault
from simulation.logs import Logs, captured
from simulation.loop import START_SECONDS, SimulatedLoop, SimulatedTask
from simulation.outcome import Order, Outcome
from simulation.patching import simulated
from simulation.people import People
from simulation.profiles import PROFILES, Profile
from simulation.reading import read_store, store_of
from simulation.redis_call_failures import CALL_FAILURES
from simulation.redis_failures import REDIS_FAILURES
from simulation.restoring import restore, restore_unrenewed
from simulation.revoking import REVOKING_FAILURES
from simulation.slow_reading import READING_FAILURES
from simulation.timeline import timeline
from simulation.verdict import Finding
from simulation.wrong_hints import HINT_FAILURES

DIRECTORY: Final = Path("reports/simulation")
_OFFLINE_SECONDS: Final = 25.0  # beyond the grace: a silent end is noticed after a keepalive and its answer
_LAST_FAULT_SECONDS: Final = 120.0  # a fault that is not over so long after the end of the acts never will be
_REAL: Final = time.perf_counter


KINDS: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {
    **FAILURES,
    **REDIS_FAILURES,
    **CALL_FAILURES,
    **HINT_FAILURES,
    **READING_FAILURES,
    **REVOKING_FAILURES,
    "restore": restore,
    "restore-unrenewed": restore_unrenewed,
}
"""What each kind of fault does."""


EXPECTED: Final = {"the store was restored or renewed": "the faults of `restoring` do that"}
"""Errors that instances log where a fault of `restoring` explains them."""


def play(order: Order) -> Outcome:
    """Play and judge one order. In a process of its own: it leaves the remains of simulated processes behind."""
    _alter(order.altered)
    began = _REAL()
    run = _Run(order, PROFILES[order.profile])
    outcome = run.play()
    outcome.real_seconds = round(_REAL() - began, 2)
    return outcome


def _alter(names: tuple[str, ...]) -> None:
    if names:
        from support.altered import ALTERATIONS  # here: it changes nothing until it is called, and costs an import

        for name in names:
            ALTERATIONS[name]()


@dataclass(slots=True)
class _Scene:
    """The objects of a run while its loop runs."""

    loop: SimulatedLoop
    context: Context
    cluster: Cluster
    people: People
    failures: Failures


class _Run:
    def __init__(self, order: Order, profile: Profile) -> None:
        self._order = order
        self._profile = profile
        self._faults = order.faults if order.faults is not None else profile.plan(order.seed, order.seconds)
        self._path = DIRECTORY / f"{order.profile}-{order.seed}.jsonl"
        self._broken: list[Finding] = []

    def play(self) -> Outcome:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        with simulated(self._order.seed) as loop, captured(loop) as logs:
            scene = self._scene(loop)
            try:
                loop.run(self._whole(scene), within_seconds=3_600)
            except Exception as error:  # noqa: BLE001 - whatever ends a run before its time is what is wrong with it
                self._broken.append(Finding("run", round(loop.now - START_SECONDS, 3), f"{type(error).__name__}: {error}"))
            scene.context.history.close()
            loop.collect()
            findings = [*self._broken, *verdict.thrown(loop.failures), *self._ended_well(scene)]
            simulated_seconds, turns = loop.now - START_SECONDS, loop.turns
        return self._outcome(findings, logs, simulated_seconds, turns, scene)

    def _scene(self, loop: SimulatedLoop) -> _Scene:
        size, order = self._profile.size, self._order
        cluster = Cluster(
            loop,
            redis_servers(loop),
            instances=size.instances,
            settings={"presence": {"grace_seconds": size.grace_seconds}},
            store=order.store,
        )
        bounds = Bounds(grace_s=size.grace_seconds, offline_s=size.grace_seconds + _OFFLINE_SECONDS)
        header = Header(name=order.profile, seed=order.seed, instances=size.instances, clients=size.users, bounds=bounds)
        history = History(self._path, header, clock=loop.time)
        context = Context(loop=loop, history=history, seed=order.seed, size=size, urls=lambda: cluster.urls, token=cluster.token)
        people = People(context)
        return _Scene(loop, context, cluster, people, Failures(context, cluster, people))

    async def _whole(self, scene: _Scene) -> None:
        await scene.cluster.start()
        scene.people.start()
        playing = [scene.loop.root.spawn(self._fail(scene.failures, fault)) for fault in self._faults]
        await asyncio.sleep(max(0.0, self._order.seconds - scene.context.history.now))
        await self._all_over(playing)
        scene.context.is_stopping = True
        await asyncio.sleep(self._profile.size.settle_seconds)
        scene.context.history.record("settled")
        await self._read(scene)
        scene.context.history.record("end")

    async def _fail(self, failures: Failures, fault: Fault) -> None:
        """One fault, when its time has come."""
        await asyncio.sleep(max(0.0, fault.at - failures.context.history.now))
        with contextlib.suppress(Missed):
            await KINDS[fault.kind](failures, fault)
            failures.happened += 1

    async def _all_over(self, playing: "list[asyncio.Task[None]]") -> None:
        if playing:
            done, late = await asyncio.wait(playing, timeout=_LAST_FAULT_SECONDS)
            for task in done:
                task.result()
            for task, fault in zip(playing, self._faults, strict=True):
                if task in late:
                    raise TimeoutError(f"the fault {fault} does not end")

    async def _read(self, scene: _Scene) -> None:
        is_spoiled = any(fault.kind == "redis-garbage" for fault in self._faults)
        await check_lists(scene.context, scene.people, is_spoiled=is_spoiled)
        scene.people.stop()
        await read_store(store_of(scene.cluster), scene.people.rooms, scene.people.users, scene.context.history)

    def _ended_well(self, scene: _Scene) -> list[Finding]:
        """The tasks and the logs of the instances after the run."""
        t = round(scene.context.history.now, 3)
        tasks: Counter[str] = Counter()
        for task in asyncio.all_tasks(scene.loop):
            if isinstance(task, SimulatedTask) and not task.process.is_dead and task.process.name in scene.cluster.instances:
                tasks[task.process.name] += 1
        found = verdict.grown(tasks, t)
        for name, instance in scene.cluster.instances.items():
            if instance.gate is None or not instance.is_running:
                found.append(Finding("health", t, f"{name} does not run at the end"))
            elif (status := instance.gate.node.health.state) != "healthy":
                wrong = [
                    f"{each.reason} {each.message}" for each in instance.gate.node.health.conditions.values() if each.message
                ]
                found.append(Finding("health", t, f"{name} is {status} at the end: {'; '.join(wrong)}"))
        return found

    def _outcome(self, findings: list[Finding], logs: Logs, simulated_seconds: float, turns: int, scene: _Scene) -> Outcome:
        outcome = Outcome(profile=self._order.profile, seed=self._order.seed, turns=turns)
        outcome.simulated_seconds = round(simulated_seconds, 1)
        outcome.fingerprint = hashlib.sha256(self._path.read_bytes()).hexdigest()[:16]
        expected = EXPECTED if any(fault.kind.startswith("restore") for fault in self._faults) else {}
        judgement, failures = verdict.judged(self._path), scene.failures
        outcome.findings = [*findings, *verdict.logged(logs.lines, expected), *judgement.findings]
        outcome.findings += verdict.silent(judgement, simulated_seconds)
        outcome.counts = {"faults": len(self._faults), "happened": failures.happened}
        outcome.counts |= {"aimed at events": failures.aimed_at, "met them": failures.met}
        outcome.counts |= {"acknowledged": judgement.acknowledged, "between faults": judgement.between_faults}
        if outcome.findings:
            outcome.story = timeline(self._path, logs.lines, outcome.findings[0])
        return outcome


def planned(order: Order) -> tuple[Fault, ...]:
    """The faults that an order means."""
    return order.faults if order.faults is not None else PROFILES[order.profile].plan(order.seed, order.seconds)
