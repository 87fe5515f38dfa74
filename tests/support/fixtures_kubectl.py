"""The cluster that the kubectl of a test works on, and what a test sees of it."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

LABELS = {"app.kubernetes.io/instance": "holdfast", "app.kubernetes.io/component": "chat"}
PROGRAM = Path(__file__).with_name("fake_kubectl.py")


def pod(namespace: str, name: str, node: str, **labels: str) -> dict[str, Any]:
    """As the API server shows it."""
    metadata = {"namespace": namespace, "name": name, "labels": LABELS | labels}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


class World:
    """What the kubectl of a test knows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.write()

    def write(self, *pods: dict[str, Any], refusals: int = 0, objects: dict[str, Any] | None = None) -> None:
        """Begin with these pods and objects; a disruption budget refuses the first evictions."""
        nodes = {f"node/{each['spec']['nodeName']}": {"spec": {}} for each in pods}
        self.save({"pods": pods, "objects": nodes | (objects or {}), "refusals": refusals, "asked": []})

    def save(self, state: dict[str, Any]) -> None:
        """Replace all of it."""
        self._path.write_text(json.dumps(state))

    def read(self) -> dict[str, Any]:
        """Its state now."""
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found

    def object(self, name: str) -> dict[str, Any] | None:
        """One object, such as `lease/holdfast-drill`."""
        found: dict[str, Any] | None = self.read()["objects"].get(name)
        return found

    @property
    def cordoned(self) -> list[str]:
        """The nodes that take no pods."""
        objects = self.read()["objects"].items()
        return [name.removeprefix("node/") for name, each in objects if each.get("spec", {}).get("unschedulable")]

    @property
    def names(self) -> set[tuple[str, str]]:
        """(namespace, name) of all pods that are left."""
        return {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in self.read()["pods"]}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """This module as `kubectl` on the path."""
    program, state = tmp_path / "kubectl", tmp_path / "state.json"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{PROGRAM}" "{state}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return World(state)
