"""The lease of a drill on a cluster: it expires, and what a killed drill left is restored."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import main
from holdfast.drills.crowd import Crowd, Size
from holdfast.drills.history import Header, History
from holdfast.drills.kubernetes import lease as leases
from holdfast.drills.kubernetes import scenarios
from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.lease import DrillLease, held
from holdfast.drills.kubernetes.restores import Scale, Uncordon
from holdfast.launcher.waiting import TargetFailed
from support.eventually import eventually
from support.fixtures_kubectl import World, pod

LEASE = "lease/holdfast-drill"
NODE = {"spec": {"unschedulable": True}}
RECOVER = ["drill", "recover", "--context", "context", "--namespace", "mine"]


def lease_of(holder: str, *, age_seconds: float, restores: str = "[]") -> dict[str, Any]:
    """As a drill of another process left it, renewed so many seconds ago."""
    renewed = (datetime.now(UTC) - timedelta(seconds=age_seconds)).isoformat().replace("+00:00", "Z")
    annotations = {"holdfast.dev/drill": "node-drain", "holdfast.dev/restore": restores}
    metadata = {"name": "holdfast-drill", "resourceVersion": "x", "creationTimestamp": renewed, "annotations": annotations}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 90, "acquireTime": renewed, "renewTime": renewed}
    return {"kind": "Lease", "metadata": metadata, "spec": spec}


def cluster() -> Cluster:
    """Of all tests."""
    return Cluster("context", "mine", "holdfast")


def restores_of(world: World) -> Any:
    """What the lease says is to be restored."""
    lease = world.object(LEASE)
    assert lease is not None
    return json.loads(lease["metadata"]["annotations"].get("holdfast.dev/restore", "[]"))


async def test_a_second_drill_is_refused_with_holder_age_and_remedy(world: World) -> None:
    """The raw answer of the API server (`AlreadyExists`) tells an operator neither who nor until when."""
    async with held(cluster(), "pod-delete"):
        with pytest.raises(TargetFailed, match=r"being played in mine: pod-delete, by \S+/\d+/\w+, for \d s.*drill recover"):
            await DrillLease(cluster(), "pod-kill").take()
    assert world.object(LEASE) is None


async def test_the_lease_of_a_killed_drill_expires(world: World) -> None:
    """Killed once, every later drill would be refused until an operator deletes the lease."""
    world.write(objects={LEASE: lease_of("dead/1", age_seconds=80)})
    with pytest.raises(TargetFailed, match=r"node-drain, by dead/1, for 8\d s"):
        await DrillLease(cluster(), "pod-kill").take()
    world.write(objects={LEASE: lease_of("dead/1", age_seconds=91)})
    async with held(cluster(), "pod-kill"):
        pass
    assert world.object(LEASE) is None


async def test_a_lease_of_version_0_1_0_which_has_no_times_expires_too(world: World) -> None:
    """It is the one that blocks drills today."""
    found = lease_of("pid-12", age_seconds=600)
    found["spec"] = {"holderIdentity": "pid-12"}
    world.write(objects={LEASE: found})
    async with held(cluster(), "pod-kill"):
        pass
    assert world.object(LEASE) is None


async def test_the_next_drill_restores_what_a_killed_one_left(world: World) -> None:
    """A cordoned node stays cordoned otherwise, and a Deployment small."""
    left = '[{"type":"scale","deployment":"holdfast","replicas":3},{"type":"uncordon","node":"node1"}]'
    small = {"spec": {"replicas": 2}}
    world.write(
        objects={LEASE: lease_of("dead/1", age_seconds=91, restores=left), "node/node1": NODE, "deployment/holdfast": small}
    )
    async with held(cluster(), "pod-kill") as lease:
        assert lease.restored == ["node node1 uncordoned", "deployment holdfast scaled to 3"]
        assert restores_of(world) == []
    assert world.cordoned == []
    assert (world.object("deployment/holdfast") or {})["spec"]["replicas"] == 3


async def test_a_change_is_noted_before_it_is_made_and_until_it_is_restored(world: World) -> None:
    """A process that is killed at any moment in between leaves a lease that names it."""
    world.write(objects={"node/node1": NODE})
    async with held(cluster(), "node-drain") as lease:
        async with lease.restoring(Uncordon("node1")):
            assert restores_of(world) == [{"type": "uncordon", "node": "node1"}]
            assert world.cordoned == ["node1"]
        assert (restores_of(world), world.cordoned) == ([], [])


async def test_what_cannot_be_restored_stays_noted_and_the_next_drill_restores_it(world: World) -> None:
    """The API server may be away just then."""
    world.write(objects={"node/node1": NODE})
    with pytest.raises(TargetFailed, match="Unable to connect"):
        async with held(cluster(), "node-drain") as lease, lease.restoring(Uncordon("node1")):
            world.save(world.read() | {"failing": ["uncordon"]})
    assert restores_of(world) == [{"type": "uncordon", "node": "node1"}]
    world.save(world.read() | {"failing": []})
    async with held(cluster(), "pod-kill") as lease:
        assert lease.restored == ["node node1 uncordoned"]
    assert (world.object(LEASE), world.cordoned) == (None, [])


async def test_what_is_gone_needs_no_restore(world: World) -> None:
    """A node that was replaced meanwhile, a release that was uninstalled: later drills are not refused for it."""
    left = '[{"type":"uncordon","node":"gone"},{"type":"scale","deployment":"gone","replicas":3}]'
    world.write(objects={LEASE: lease_of("dead/1", age_seconds=91, restores=left)})
    async with held(cluster(), "pod-kill"):
        pass
    assert world.object(LEASE) is None


@pytest.mark.parametrize(
    "left",
    ['[{"type":"uncordon","node":"--all"}]', '[{"type":"scale","deployment":"a","replicas":-1}]', '[{"type":"delete"}]', "x"],
)
async def test_an_annotation_decides_nothing_but_what_drills_change(world: World, left: str) -> None:
    """Another user may be allowed to write Leases, and not to do what the operator's kubectl may do."""
    world.write(objects={LEASE: lease_of("dead/1", age_seconds=91, restores=left)})
    with pytest.raises(TargetFailed, match="what the last drill left cannot be read"):
        await DrillLease(cluster(), "pod-kill").take()
    assert [words[0] for words in world.read()["asked"]] == ["get"]


async def test_a_drill_renews_its_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a long one would be taken for dead."""
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    async with held(cluster(), "pod-kill"):
        first = (world.object(LEASE) or {})["spec"]["renewTime"]

        def is_renewed() -> bool:
            return bool((world.object(LEASE) or {})["spec"]["renewTime"] > first)

        await eventually(is_renewed)


async def _is_taken_over() -> bool:
    """Another process takes the lease by force; refused where the holder renews it at the same moment."""
    try:
        await DrillLease(cluster(), "pod-delete").take(is_forced=True)
    except TargetFailed:
        return False
    return True


async def test_a_drill_whose_lease_was_taken_ends_and_leaves_the_lease_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two drills at once would judge each other's failures."""
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.5)

    async def play() -> None:
        async with held(cluster(), "pod-kill"):
            await eventually(_is_taken_over)
            await asyncio.Event().wait()

    with pytest.raises(TargetFailed, match="another process has taken the lease"):
        await play()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert (world.object(LEASE) or {})["metadata"]["annotations"]["holdfast.dev/drill"] == "pod-delete"


async def test_a_drill_whose_lease_was_taken_restores_nothing(world: World) -> None:
    """Until its next renewal it does not know; meanwhile the drill that took the lease may have cordoned the same node."""
    world.write(objects={"node/node1": NODE})

    async def play() -> None:
        async with held(cluster(), "node-drain") as lease, lease.restoring(Uncordon("node1")):
            state = world.read()
            state["objects"][LEASE] = lease_of("other/1", age_seconds=1)
            world.save(state)

    with pytest.raises(TargetFailed, match="another process has taken the lease"):
        await play()
    assert world.cordoned == ["node1"]
    assert (world.object(LEASE) or {})["spec"]["holderIdentity"] == "other/1"


async def test_an_operators_edit_of_the_lease_ends_no_drill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kubectl annotate` changes the resourceVersion."""
    async with held(cluster(), "pod-kill") as lease:
        state = world.read()
        state["objects"][LEASE]["metadata"]["resourceVersion"] = "edited"
        world.save(state)
        async with lease.restoring(Scale("holdfast", 3)):
            assert restores_of(world) == [{"type": "scale", "deployment": "holdfast", "replicas": 3}]
    assert world.object(LEASE) is None


@asynccontextmanager
async def _stage(directory: Path) -> AsyncIterator[scenarios.KubernetesStage]:
    """A stage of `node-drain`, with its lease."""
    with History(directory / "history.jsonl", Header(name="test", seed=1)) as history:
        crowd = Crowd(list, lambda _: "", history, Size(2, 1.0), 1)
        try:
            async with held(cluster(), "node-drain") as lease:
                yield scenarios.KubernetesStage(cluster(), lease, crowd, history, 1, 1.0)
        finally:
            await crowd.close()


async def test_a_drill_that_is_interrupted_while_a_node_is_drained_uncordons_it(world: World, tmp_path: Path) -> None:
    """Ctrl-C in the middle of it."""
    world.write(pod("mine", "holdfast-a", "node1"), refusals=1000, objects={"deployment/holdfast": {"spec": {"replicas": 1}}})

    async def play() -> None:
        async with _stage(tmp_path) as stage:
            await scenarios.CATALOGUE["node-drain"].play(stage)

    playing = asyncio.create_task(play())
    await eventually(lambda: world.cordoned == ["node1"])
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert (world.cordoned, world.object(LEASE)) == ([], None)


async def test_a_node_that_an_operator_has_cordoned_is_not_drained(world: World, tmp_path: Path) -> None:
    """The drill would uncordon it afterwards."""
    world.write(pod("mine", "holdfast-a", "node1"), objects={"deployment/holdfast": {"spec": {"replicas": 1}}})
    state = world.read()
    state["objects"]["node/node1"] = NODE
    world.save(state)
    with pytest.raises(TargetFailed, match="cordoned already"):
        async with _stage(tmp_path) as stage:
            await scenarios.CATALOGUE["node-drain"].play(stage)
    assert world.cordoned == ["node1"]


def test_recover_restores_what_an_expired_lease_names(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Without playing another drill."""
    left = '[{"type":"uncordon","node":"node1"}]'
    world.write(objects={LEASE: lease_of("dead/1", age_seconds=91, restores=left), "node/node1": NODE})
    assert main(RECOVER) == 0
    assert capsys.readouterr().out.splitlines() == ["node node1 uncordoned", "the lease is given back"]
    assert (world.object(LEASE), world.cordoned) == (None, [])
    assert main(RECOVER) == 0
    assert "no drill has left anything" in capsys.readouterr().out


def test_recover_leaves_a_living_drill_alone_unless_forced(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Its holder may be at work; the operator knows whether it is dead."""
    left = '[{"type":"uncordon","node":"node1"}]'
    world.write(objects={LEASE: lease_of("host/1", age_seconds=5, restores=left), "node/node1": NODE})
    assert main(RECOVER) == 2
    assert re.search(r"node-drain, by host/1, for \d+ s", capsys.readouterr().err)  # 5, or what a busy machine adds
    assert world.cordoned == ["node1"]
    assert main([*RECOVER, "--force"]) == 0
    assert (world.object(LEASE), world.cordoned) == (None, [])
