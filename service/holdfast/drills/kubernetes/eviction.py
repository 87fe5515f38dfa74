"""A node is drained of the pods of one release, and of no other pod.

Not `kubectl drain --pod-selector`: it looks into all namespaces, and the label `app.kubernetes.io/instance` holds no more than
the name of a release. The node is cordoned, and each chat pod of the release on it is evicted through the Eviction API, which
respects disruption budgets. Failures of kubectl leave the node cordoned: the caller uncordons it in any case.
"""

import asyncio
import json
from typing import Final

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.launcher.waiting import TargetFailed

_PAUSE_SECONDS: Final = 1.0
_BUDGET: Final = "disruption budget"  # of the API server's refusal (429) while a budget allows no eviction
_GONE: Final = "not found"


async def drain(cluster: Cluster, node: str, within_seconds: float) -> None:
    """Cordon the node, and return when no chat pod of the release is left on it.

    Raises:
        TargetFailed: kubectl failed, or a pod is still there after `within_seconds`.
    """
    await cluster.kubectl("cordon", node)
    try:
        async with asyncio.timeout(within_seconds):
            while pods := [pod for pod in await cluster.pods() if pod.node == node]:
                for pod in pods:
                    if not pod.is_ending:
                        await _evict(cluster, pod.name)
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        raise TargetFailed(f"{node}: pods of {cluster.release} are still there after {within_seconds:.0f} s") from None


async def _evict(cluster: Cluster, pod: str) -> None:
    """Ask once. A budget that refuses, or a pod that has gone meanwhile, is not an error: the next look sees what is left."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": cluster.namespace},
    }
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/eviction"
    try:
        await cluster.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))
    except TargetFailed as error:
        if not any(each in str(error) for each in (_BUDGET, _GONE)):
            raise
