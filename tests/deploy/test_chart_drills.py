"""Drills on a cluster find the objects of a release under every name that the chart gives them."""

import pytest

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.launcher.waiting import TargetFailed
from support.chart import MINIMAL, Object, of_kind
from support.fixtures_kubectl import World, pod
from support.helm import render

LONG = "messages-of-all-teams-in-the-second-region-of-europe1"  # 53 characters, the longest that the chart takes
NAMESPACE: Object = {"metadata": {"labels": {"holdfast.dev/drills": "allowed"}}}


async def entered(world: World, objects: list[Object]) -> Cluster:
    """A release `mine` of these objects whose pods run, as a drill with tokens of another issuer has entered it."""
    deployments = {f"deployment/{each['metadata']['name']}": each for each in of_kind(objects, "Deployment")}
    pods = [
        pod("chat", f"{each['metadata']['name']}-0", "node1", **each["spec"]["template"]["metadata"]["labels"])
        for each in of_kind(objects, "StatefulSet")
    ]
    world.write(*pods, objects=deployments | {"namespace/chat": NAMESPACE})
    cluster = Cluster("context", "chat", "mine", ("print-token",))
    await cluster.enter()
    return cluster


@pytest.mark.parametrize("values", [(), ("--set", f"fullnameOverride={LONG}"), ("--set", f"nameOverride={LONG}")])
async def test_redis_is_found_under_every_name(world: World, values: tuple[str, ...]) -> None:
    """Its name is shortened to 52 characters: with a longer one every look at Redis failed, and so did the drill."""
    objects = render(*MINIMAL, *values, release="mine")
    (redis,) = of_kind(objects, "StatefulSet")
    cluster = await entered(world, objects)
    assert cluster.redis_pod == f"{redis['metadata']['name']}-0"
    assert await cluster.redis("PING") == "PONG"


async def test_redis_outside_has_no_pod_that_a_drill_could_delete(world: World) -> None:
    """The drill ends with the reason; nothing is asked of a pod that is not there."""
    outside = ("--set", "redis.inCluster.enabled=false,redis.url=rediss://redis.example.com:6379/0")
    cluster = await entered(world, render(*MINIMAL, *outside, release="mine"))
    with pytest.raises(TargetFailed, match="release mine has no Redis in namespace chat"):
        cluster.redis_pod  # noqa: B018 - the property raises
    assert await cluster.redis("PING") == ""
    assert not [asked for asked in world.read()["asked"] if asked[0] == "exec"]
