"""The failures on a cluster; the simulated users and the judgement are the same as on one machine."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from holdfast.drills.crowd import Crowd
from holdfast.drills.drill import Drill
from holdfast.drills.history import Bounds, History
from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.eviction import drain
from holdfast.drills.kubernetes.lease import DrillLease
from holdfast.drills.kubernetes.restores import Scale, Uncordon
from holdfast.drills.stage import Stage
from holdfast.launcher.waiting import TargetFailed

_DRAINED_SECONDS: Final = 5.0
_REAPED_SECONDS: Final = 20.0  # lease and beat
_REAPED_BY_CONTROLLER_SECONDS: Final = 10.0  # a lease of 4 s, a missing beat, two looks
BACK_SECONDS: Final = 120.0
_ASKED: Final = 10
BOUNDS: Final = Bounds(grace_s=5.0, offline_s=35.0, healthy_s=2.0)


class KubernetesStage(Stage):
    """On a cluster. `cluster`: what can be broken; `lease`: by which all that is changed is restored."""

    look_seconds = 1.0  # each look is a kubectl, which costs a busy machine as much as hundreds of messages

    def __init__(self, cluster: Cluster, lease: DrillLease, crowd: Crowd, history: History, seed: int, seconds: float) -> None:
        super().__init__(crowd, history, seed, seconds)
        self.cluster = cluster
        self.lease = lease

    async def is_reaped(self, pod: str) -> bool:
        """Whether nothing of a gone pod is left in Redis."""
        return await self.cluster.redis("EXISTS", f"subscriptions:{pod}", f"instance:{pod}") == "0"

    @asynccontextmanager
    async def at_least_ready(self, least: int) -> AsyncIterator[None]:
        """While it is entered, so many pods must be ready whenever one looks."""
        fewest = least

        async def look() -> None:
            nonlocal fewest
            while True:
                fewest = min(fewest, len(await self.cluster.ready()))
                await asyncio.sleep(self.look_seconds)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            self.require("pods fewer than allowed", least - fewest, 0, "pods")


async def _pod_delete(stage: KubernetesStage) -> None:
    victim = (await stage.cluster.ready())[0].name
    async with stage.fault("pod-delete", victim):
        await stage.cluster.kubectl("delete", "pod", victim)
    await stage.expect("reaped", _DRAINED_SECONDS, partial(stage.is_reaped, victim))
    await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)


async def _pod_kill(stage: KubernetesStage) -> None:
    victim = (await stage.cluster.ready())[0].name
    async with stage.fault("pod-kill", victim):
        await stage.cluster.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
        within = _REAPED_BY_CONTROLLER_SECONDS if await stage.cluster.has_controller() else _REAPED_SECONDS
        await stage.expect("reaped", within, partial(stage.is_reaped, victim))
    await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)


async def _redis_delete(stage: KubernetesStage) -> None:
    replicas = await stage.cluster.replicas()
    async with stage.at_least_ready(replicas), stage.fault("redis-delete"):
        await stage.cluster.kubectl("delete", "pod", stage.cluster.redis_pod, "--grace-period=0", "--force")
        await stage.expect("Redis is back", BACK_SECONDS, partial(redis_answers, stage))
    await stage.expect("all connections registered", 15.0, partial(all_registered, stage))


async def _redis_hang(stage: KubernetesStage) -> None:
    replicas = await stage.cluster.replicas()
    async with stage.at_least_ready(replicas), stage.fault("redis-hang"):
        await stage.cluster.redis("CLIENT", "PAUSE", str(int(stage.seconds * 1000)), "ALL")
        await stage.pause(stage.seconds)
        await stage.expect("Redis is back", 10.0, partial(redis_answers, stage))
    await stage.expect("all connections registered", 15.0, partial(all_registered, stage))


async def _rolling_restart(stage: KubernetesStage) -> None:
    replicas = await stage.cluster.replicas()
    async with stage.at_least_ready(replicas), stage.fault("rolling-restart"):
        await stage.cluster.kubectl("rollout", "restart", f"deployment/{stage.cluster.deployment}")
        await stage.cluster.kubectl("rollout", "status", f"deployment/{stage.cluster.deployment}", "--timeout=110s")
        await stage.expect("the old pods are gone", BACK_SECONDS, stage.cluster.all_ready)


async def _scale_in(stage: KubernetesStage) -> None:
    replicas = await stage.cluster.replicas()
    deployment = stage.cluster.deployment
    async with stage.lease.restoring(Scale(deployment, replicas)), stage.fault("scale-in"):
        await stage.cluster.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas - 1}")
        await stage.expect("one pod fewer", BACK_SECONDS, stage.cluster.all_ready)
    await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)


async def _node_drain(stage: KubernetesStage) -> None:
    """The node with most of the pods, Redis left where it is; the disruption budget lets one go at a time."""
    replicas = await stage.cluster.replicas()
    node = await _fullest_node(stage.cluster)
    async with stage.lease.restoring(Uncordon(node)), stage.at_least_ready(replicas - 1), stage.fault("node-drain", node):
        await drain(stage.cluster, node, BACK_SECONDS)
    await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)


async def _fullest_node(cluster: Cluster) -> str:
    """The node with most of the pods; not one that an operator has cordoned, because the drill would uncordon it afterwards."""
    for node, _ in Counter(pod.node for pod in await cluster.ready()).most_common():
        if not (await cluster.get("node", node))["spec"].get("unschedulable"):
            return node
    raise TargetFailed("every node with a ready pod is cordoned already: kubectl uncordon NODE")


async def redis_answers(stage: KubernetesStage) -> bool:
    """Whether the release's own Redis does."""
    return await stage.cluster.redis("PING") == "PONG"


async def all_registered(stage: KubernetesStage) -> bool:
    """Whether Redis knows where people are; some of them stand for all."""
    counts = await stage.cluster.redis_each([f"HLEN connections:{user}" for user in list(stage.crowd.clients)[:_ASKED]])
    return bool(counts) and all(count not in ("", "0") for count in counts)


CATALOGUE: Final[dict[str, Drill]] = {
    drill.name: drill
    for drill in (
        Drill("pod-delete", "a pod is deleted", _pod_delete, bounds=BOUNDS, reconnect_p99=2.0),
        Drill("pod-kill", "a pod is deleted by force", _pod_kill, bounds=BOUNDS, reconnect_p99=2.0),
        Drill("redis-delete", "the Redis pod is deleted by force", _redis_delete, bounds=BOUNDS),
        Drill("redis-hang", "Redis gives no answers", _redis_hang, bounds=BOUNDS, seconds=8.0),
        Drill("rolling-restart", "kubectl rollout restart", _rolling_restart, bounds=BOUNDS, reconnect_p99=2.0),
        Drill("scale-in", "one replica fewer, and back", _scale_in, bounds=BOUNDS, reconnect_p99=2.0),
        Drill("node-drain", "a node is drained", _node_drain, bounds=BOUNDS, reconnect_p99=2.0),
    )
}
