"""The drill that drains a node, against a kubectl that knows two namespaces with a release of the same name."""

import pytest

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.eviction import drain
from holdfast.launcher.waiting import TargetFailed
from support.fixtures_kubectl import World, pod


async def test_pods_of_a_release_of_the_same_name_in_another_namespace_stay(world: World) -> None:
    """Only the namespace of the drill allows drills; the label of a release is its name and nothing more."""
    world.write(
        pod("mine", "holdfast-a", "node1"),
        pod("mine", "holdfast-b", "node2"),
        pod("mine", "holdfast-redis-0", "node1", **{"app.kubernetes.io/component": "redis"}),
        pod("mine", "other-a", "node1", **{"app.kubernetes.io/instance": "other"}),
        pod("theirs", "holdfast-x", "node1"),
    )
    await drain(Cluster("context", "mine", "holdfast"), "node1", 20)
    assert world.names == {
        ("mine", "holdfast-b"),
        ("mine", "holdfast-redis-0"),
        ("mine", "other-a"),
        ("theirs", "holdfast-x"),
    }
    assert world.cordoned == ["node1"]


async def test_an_eviction_that_a_budget_refuses_is_asked_for_again(world: World) -> None:
    """A drain waits until the evicted pod is replaced elsewhere; it never deletes past the budget."""
    world.write(pod("mine", "holdfast-a", "node1"), refusals=2)
    await drain(Cluster("context", "mine", "holdfast"), "node1", 20)
    assert (world.names, world.read()["refusals"]) == (set(), 0)


async def test_a_drain_that_a_budget_never_allows_ends_with_its_reason(world: World) -> None:
    """The drill then uncordons the node and fails, instead of waiting for ever."""
    world.write(pod("mine", "holdfast-a", "node1"), refusals=1000)
    with pytest.raises(TargetFailed, match="node1: pods of holdfast are still there after 1 s"):
        await drain(Cluster("context", "mine", "holdfast"), "node1", 1)
