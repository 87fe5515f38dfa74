"""Drills for which one must be on the test kit's machine: the processes of pods, the nodes' network, the API server."""

import asyncio
import os
import signal
from functools import partial

from holdfast.drills.drill import Drill
from holdfast.drills.kubernetes.scenarios import BACK_SECONDS, BOUNDS, KubernetesStage, all_registered, redis_answers
from support.helm import CHART, helm
from support.kit import NAMESPACE, STATE, kit, process_of

NEXT_IMAGE = "docker.io/library/holdfast:next"


async def _uid(stage: KubernetesStage, pod: str) -> str:
    return str((await stage.cluster.get("pod", pod))["metadata"]["uid"])


async def _container_restart(stage: KubernetesStage) -> None:
    """Under the same name, in the same pod: its predecessor's connections have no owner."""
    victim = (await stage.cluster.ready())[0].name
    process = process_of(await _uid(stage, victim), b"serve")
    async with stage.fault("container-restart", victim):
        os.kill(process, signal.SIGKILL)
        await stage.pause(1.0)
    await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)
    await stage.expect("all connections registered", 15.0, partial(all_registered, stage))


async def _redis_hang(stage: KubernetesStage) -> None:
    """Its process stands still: connections stay, nothing is answered."""
    process = process_of(await _uid(stage, stage.cluster.redis_pod), b"redis-server")
    replicas = await stage.cluster.replicas()
    async with stage.at_least_ready(replicas), stage.fault("redis-hang"):
        os.kill(process, signal.SIGSTOP)
        try:
            await stage.pause(stage.seconds)
        finally:
            os.kill(process, signal.SIGCONT)
        await stage.expect("Redis is back", 10.0, partial(redis_answers, stage))
    await stage.expect("all connections registered", 15.0, partial(all_registered, stage))


async def _api_loss(stage: KubernetesStage) -> None:
    """The chat goes on; the controller waits."""
    server = int((STATE / "pid" / "apiserver").read_text())
    async with stage.fault("api-loss"):
        os.kill(server, signal.SIGSTOP)
        try:
            await stage.pause(stage.seconds)
        finally:
            os.kill(server, signal.SIGCONT)
    await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)


async def _node_loss(stage: KubernetesStage) -> None:
    """The kubelet of the node without Redis stops, and every instance on it dies: no controller can tell, the leases have to.

    Until Kubernetes misses the node it sends new connections to the dead ones, too.
    """
    redis = await stage.cluster.get("pod", stage.cluster.redis_pod)
    pods = [pod for pod in await stage.cluster.ready() if pod.node != redis["spec"]["nodeName"]]
    processes = [process_of(await _uid(stage, pod.name), b"serve") for pod in pods]
    number = pods[0].node.removeprefix("node")
    async with stage.fault("node-loss", pods[0].node):
        await asyncio.to_thread(kit, "node", number, "freeze")
        try:
            for process in processes:
                os.kill(process, signal.SIGKILL)
            for pod in pods:
                await stage.expect(f"{pod.name}: reaped", 25.0, partial(stage.is_reaped, pod.name))
        finally:
            await asyncio.to_thread(kit, "node", number, "thaw")
        await stage.expect("all pods ready", BACK_SECONDS, stage.cluster.all_ready)
    await stage.expect("all connections registered", 15.0, partial(all_registered, stage))


async def _upgrade(stage: KubernetesStage) -> None:
    """The next version, all pods of it beside all of this one: everybody moves once."""
    values = ("--reuse-values", "--set", "image.tag=next,maxSurge=100%")
    async with stage.at_least_ready(await stage.cluster.replicas()), stage.fault("upgrade"):
        arguments = ("upgrade", "holdfast", str(CHART), "-n", NAMESPACE, *values, "--wait", "--timeout", "150s")
        done = await asyncio.to_thread(helm, *arguments, seconds=180)
        assert done.returncode == 0, done.stderr
        await stage.expect("the old pods are gone", BACK_SECONDS, stage.cluster.all_ready)


DRILLS = {
    drill.name: drill
    for drill in (
        Drill("container-restart", "PID 1 of a pod is killed", _container_restart, bounds=BOUNDS, reconnect_p99=2.0),
        Drill("redis-hang", "Redis's process stands still", _redis_hang, bounds=BOUNDS, seconds=8.0),
        Drill("api-loss", "the API server stands still", _api_loss, bounds=BOUNDS, seconds=15.0),
        Drill("node-loss", "a node's kubelet stops and its pods die", _node_loss, bounds=BOUNDS),
        Drill("upgrade", "helm upgrade to the next version", _upgrade, bounds=BOUNDS, reconnect_p99=2.0),
    )
}
