"""The loop of the controller: follow the pods, and while leading pass on what one side knows and the other does not."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.controller.costs import Costs
from holdfast.controller.observations import Observations
from holdfast.controller.transitions import Transition, Transitions
from holdfast.domain.ids import InstanceId
from holdfast.errors import OrchestratorUnavailable, RedisUnavailable
from holdfast.loops import Loop, Loops
from holdfast.ports import Clock, Fates, Orchestrator, Pod, PodHealth
from holdfast.telemetry import ControllerTelemetry

LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 2.0
_RENEW_WITHIN_SECONDS: Final = 10.0  # a leader that could not renew for so long stops acting before another one starts
_LOOK_SECONDS: Final = 2.0
_COST_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
_MAX_UNSAID: Final = 1_000
_WATCH_SECONDS: Final = 120.0  # a watch ends within a minute, and the pods are listed before it
_READY_SECONDS: Final = 30.0
_LIVE_SECONDS: Final = 300.0  # an API server that is away is no fault of the controller; its client may be stuck, though

_log = logging.getLogger(__name__)


class Controller:
    """Lives in the loop: `run` until cancelled."""

    def __init__(
        self, orchestrator: Orchestrator, fates: Fates, clock: Clock, identity: str, loops: Loops, telemetry: ControllerTelemetry
    ) -> None:
        """`identity`: the holder of the Lease; the controller's own pod."""
        self._orchestrator = orchestrator
        self._fates = fates
        self._clock = clock
        self._identity = identity
        self._loops = loops
        self._was_leading = False
        self._pods: dict[InstanceId, Pod] = {}
        self._told_ended: set[str] = set()
        self._unsaid: dict[InstanceId, bool] = {}
        self._transitions = Transitions()
        self._costs = Costs()
        self._observations = Observations()
        self._led_at: float | None = None
        self._has_looked = False
        self._looked_at = clock.monotonic()
        self._conditions_written = telemetry.conditions_written
        telemetry.is_leader.set_function(lambda: self.is_leading)
        telemetry.lease_age.set_function(lambda: self.lease_age_seconds)
        telemetry.pods.set_function(lambda: len(self._pods))

    @property
    def is_leading(self) -> bool:
        """Whether the Lease was ours lately enough to act."""
        return self._led_at is not None and self._clock.monotonic() - self._led_at < _RENEW_WITHIN_SECONDS

    @property
    def lease_age_seconds(self) -> float:
        """Since the Lease was renewed, or seen to be another controller's; before the first time, since the start."""
        return self._clock.monotonic() - self._looked_at

    @property
    def is_ready(self) -> bool:
        """Whether it leads, or could take over: it has looked at the Lease, and lately."""
        return self._has_looked and self.lease_age_seconds < _READY_SECONDS

    @property
    def is_alive(self) -> bool:
        """Whether a restart is of no use: nothing that is vital hangs, and the Lease was looked at."""
        return not self._loops.stuck and self.lease_age_seconds < _LIVE_SECONDS

    async def run(self) -> None:
        """Until cancelled; then the Lease is given back, so that a successor need not wait for its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for loop in self._jobs:
                    tasks.create_task(self._loops.run(loop))
        finally:
            if self.is_leading:
                try:
                    await self._orchestrator.resign(self._identity)
                except OrchestratorUnavailable:
                    _log.info("the lease is not given back: it ends by itself")

    @property
    def _jobs(self) -> tuple[Loop, ...]:
        return (
            Loop("controller_lead", self._lead, RENEW_SECONDS, is_vital=True),
            Loop("controller_watch", self._watch, _RETRY_SECONDS, busy_seconds=_WATCH_SECONDS, is_vital=True),
            Loop("controller_conditions", self._look, _LOOK_SECONDS),
            Loop("controller_costs", self._weigh, _COST_SECONDS),
        )

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        try:
            began = self._clock.monotonic()
            self._led_at = began if await self._orchestrator.lead(self._identity, LEASE_SECONDS) else None
            self._looked_at, self._has_looked = began, True
        except OrchestratorUnavailable as error:
            _log.warning("the lease cannot be renewed: %s", error)
        if self._was_leading != self.is_leading:
            self._was_leading = self.is_leading
            _log.info("leading" if self._was_leading else "not leading")
        await asyncio.sleep(RENEW_SECONDS)

    async def _watch(self) -> None:
        try:
            await self._orchestrator.watch(self._pods_are, self._pod_is, self._pod_is_gone)
        except OrchestratorUnavailable as error:
            _log.warning("the pods cannot be watched: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _look(self) -> None:
        """Writes the conditions that pods report as conditions and Events of Kubernetes."""
        await asyncio.sleep(_LOOK_SECONDS)
        if not self.is_leading:
            self._observations = Observations()  # a new leader has not watched meanwhile: no instance is known to be silent
            return
        try:
            await self._say_what_was_not()
            pods = [pod for pod in self._pods.values() if pod.address and not pod.has_ended]
            healths = await asyncio.gather(*(self._orchestrator.health(pod) for pod in pods))
            known = {pod.name: health for pod, health in zip(pods, healths, strict=True) if health is not None}
            await self._pass_on(known)
        except OrchestratorUnavailable as error:
            _log.warning("nothing can be told to Kubernetes: %s", error)

    async def _weigh(self) -> None:
        await asyncio.sleep(_COST_SECONDS)
        if not self.is_leading:
            return
        try:
            connections = await self._fates.connections()
            current = {name: pod.deletion_cost for name, pod in self._pods.items() if not pod.has_ended}
            for name, cost in self._costs.due(connections, current, self._clock.monotonic()).items():
                if (pod := self._pods.get(name)) is not None:  # it may be removed while the others are written
                    await self._orchestrator.set_deletion_cost(pod, cost)
        except (OrchestratorUnavailable, RedisUnavailable) as error:
            _log.info("deletion costs stay as they are: %s", error)

    # --- pods ---------------------------------------------------------------------------------------------------------

    async def _pods_are(self, pods: Sequence[Pod]) -> None:
        """A known pod that is not among them was removed while nothing was watched: no event tells of it."""
        living = {pod.uid for pod in pods}
        for known in tuple(self._pods.values()):
            if known.uid not in living:
                await self._pod_is_gone(known)
        for pod in pods:
            await self._pod_is(pod)

    async def _pod_is(self, pod: Pod) -> None:
        self._pods[pod.name] = pod
        if pod.has_ended and pod.uid not in self._told_ended:
            self._told_ended.add(pod.uid)
            await self._say(pod.name, has_ended=True)

    async def _pod_is_gone(self, pod: Pod) -> None:
        self._pods.pop(pod.name, None)
        if pod.uid not in self._told_ended:
            await self._say(pod.name, has_ended=pod.has_ended)
        self._told_ended.discard(pod.uid)

    async def _say(self, instance_id: InstanceId, *, has_ended: bool) -> None:
        """Every controller sees it, the leader reports it; a report that fails now is made later."""
        self._unsaid[instance_id] = has_ended or self._unsaid.get(instance_id, False)
        if len(self._unsaid) > _MAX_UNSAID:
            self._unsaid.pop(next(iter(self._unsaid)))  # leases and beats have found it out by now
        if self.is_leading:
            await self._say_what_was_not()

    async def _say_what_was_not(self) -> None:
        for instance_id, has_ended in tuple(self._unsaid.items()):
            try:
                if not has_ended:
                    await self._fates.removed(instance_id)
                elif await self._fates.ended(instance_id):
                    _log.info("ended", extra={"fields": {"instance_id": instance_id}})
            except RedisUnavailable as error:
                _log.info("the end of %s is not told: %s", instance_id, error)
                return
            self._unsaid.pop(instance_id, None)

    # --- telling Kubernetes -------------------------------------------------------------------------------------------

    async def _pass_on(self, healths: Mapping[InstanceId, PodHealth]) -> None:
        if self.is_leading:  # still: a process that was stopped while it asked has lost the Lease
            await self._write_conditions(healths)
            await self._tell({name: health.state for name, health in healths.items()})

    async def _write_conditions(self, healths: Mapping[InstanceId, PodHealth]) -> None:
        now = self._clock.monotonic()
        self._observations.note(self._pods, healths, now)
        for pod in tuple(self._pods.values()):
            if due := self._observations.due(pod, now):
                await self._orchestrator.set_conditions(pod, due)
                for each in due:
                    self._conditions_written.labels("Unknown" if each.status is None else str(each.status)).inc()
                self._observations.written(pod, now)

    async def _tell(self, states: Mapping[InstanceId, str]) -> None:
        for transition in self._transitions.look(states, self._clock.monotonic()):
            pod = self._pods.get(transition.instance_id) if transition.instance_id is not None else None
            if transition.instance_id is None or pod is not None:
                message = _MESSAGES.get(transition.state, transition.state)
                await self._orchestrator.tell(pod, _reason(transition), message, is_warning=transition.is_warning)


_MESSAGES: Final = {
    "healthy": "everything it needs is reachable",
    "degraded": "it works without Redis or the store as far as that goes: see its /api/health",
    "saturated": "it has nearly as many connections, or as much in memory, as it may have",
    "draining": "it lets its clients go to other instances",
}


def _reason(transition: Transition) -> str:
    reason = transition.state.capitalize()
    return f"Fleet{reason}" if transition.instance_id is None else reason
