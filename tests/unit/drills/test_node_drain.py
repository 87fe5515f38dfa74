"""The drill that drains a node, against a kubectl that knows two namespaces with a release of the same name."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.eviction import drain
from holdfast.drills.local.waiting import TargetFailed

LABELS = {"app.kubernetes.io/instance": "holdfast", "app.kubernetes.io/component": "chat"}
# What drills ask of kubectl, on a file: {"pods": [...], "cordoned": [...], "refusals": N}.
KUBECTL = """#!{python}
import json, pathlib, sys
path = pathlib.Path({state!r})
state = json.loads(path.read_text())
namespace, words = sys.argv[sys.argv.index("--namespace") + 1], sys.argv[5:]
def matches(pod, selector):
    return all(pod["metadata"]["labels"].get(part.split("=")[0]) == part.split("=")[1] for part in selector.split(","))
if words[:2] == ["get", "pods"]:
    items = [p for p in state["pods"] if p["metadata"]["namespace"] == namespace and matches(p, words[words.index("-l") + 1])]
    print(json.dumps({{"items": items}}))
elif words[0] in ("cordon", "uncordon"):
    state["cordoned"] = [words[1]] if words[0] == "cordon" else []
elif words[:2] == ["create", "--raw"]:
    asked = json.load(sys.stdin)["metadata"]
    assert words[2] == "/api/v1/namespaces/%s/pods/%s/eviction" % (asked["namespace"], asked["name"])
    if state["refusals"]:
        state["refusals"] -= 1
        path.write_text(json.dumps(state))
        sys.exit("Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.")
    is_asked = lambda p: all(p["metadata"][key] == asked[key] for key in ("namespace", "name"))
    state["pods"] = [p for p in state["pods"] if not is_asked(p)]
else:
    sys.exit("unknown: " + " ".join(words))
path.write_text(json.dumps(state))
"""


def pod(namespace: str, name: str, node: str, **labels: str) -> dict[str, Any]:
    """As the API server shows it."""
    metadata = {"namespace": namespace, "name": name, "labels": LABELS | labels}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


class World:
    """What the kubectl of a test knows."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "state.json"

    def write(self, *pods: dict[str, Any], refusals: int = 0) -> None:
        """Begin with these pods; a budget refuses the first evictions."""
        self._path.write_text(json.dumps({"pods": pods, "cordoned": [], "refusals": refusals}))

    def read(self) -> dict[str, Any]:
        """What has become of it."""
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found

    @property
    def names(self) -> set[tuple[str, str]]:
        """(namespace, name) of all pods that are left."""
        return {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in self.read()["pods"]}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A kubectl on the path that works on a file."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, state=str(tmp_path / "state.json")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return World(tmp_path)


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
    assert world.read()["cordoned"] == ["node1"]


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
