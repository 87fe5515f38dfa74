"""Kubernetes, as the controller needs it: the chat pods, their reported state, and the writes about them.

Every method that waits raises `OrchestratorUnavailable` within the adapter's deadline when the API server does not answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.domain.ids import InstanceId


@dataclass(frozen=True, slots=True)
class PodCondition:
    """One entry of a pod's `status.conditions`; `type` as Kubernetes sees it (`holdfast.dev/BusLive`).

    Attributes:
        status: None is `Unknown`: the pod was not observed lately.
    """

    type: str
    status: bool | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One chat pod.

    Attributes:
        name: its INSTANCE_ID.
        address: of its internal port, `host:port`; empty before it has one.
        has_ended: the kubelet says that its container has terminated, and the pod is not started again.
        conditions: of ours, by type.
        deletion_cost: what ReplicaSets go by when they choose whom to remove; None where nothing is set.
    """

    name: InstanceId
    uid: str
    address: str
    is_ready: bool
    has_ended: bool
    conditions: Mapping[str, PodCondition] = field(default_factory=dict)
    deletion_cost: int | None = None


@dataclass(frozen=True, slots=True)
class PodHealth:
    """A pod by its own word (`/api/health`): its state, and its conditions by type (`BusLive`)."""

    state: str
    conditions: Mapping[str, PodCondition]


class Orchestrator(Protocol):
    """The chat pods of one release, and the controller's own Lease."""

    async def watch(
        self,
        on_listed: Callable[[Sequence[Pod]], Awaitable[None]],
        on_pod: Callable[[Pod], Awaitable[None]],
        on_gone: Callable[[Pod], Awaitable[None]],
    ) -> None:
        """Tell of all pods there are, then of each change, until the watch ends (within a minute); to be called again.

        `on_listed`: all of them at once. A pod that was removed between two watches is missing there, and told in no other way.
        `on_gone`: its object was removed; the pod is as it was last seen.
        """
        ...

    async def pods(self) -> Sequence[Pod]:
        """Those there are."""
        ...

    async def health(self, pod: Pod) -> PodHealth | None:
        """What the pod says of itself; None when it does not answer within a second. Never raises."""
        ...

    async def set_conditions(self, pod: Pod, conditions: Sequence[PodCondition]) -> None:
        """Write these conditions as observed now, and leave all others. The time of the last transition moves with the status."""
        ...

    async def set_deletion_cost(self, pod: Pod, cost: int) -> None:
        """Pods of a lower cost are removed first."""
        ...

    async def tell(self, pod: Pod | None, reason: str, message: str, *, is_warning: bool) -> None:
        """Record an Event on the pod; on the Deployment without one."""
        ...

    async def lead(self, identity: str, seconds: int) -> bool:
        """Take the Lease, or renew it; whether it is ours for the next `seconds`."""
        ...

    async def resign(self, identity: str) -> None:
        """Give the Lease back, if it is ours."""
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...
