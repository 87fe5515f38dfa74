"""A kubectl that works on a file: what drills ask of one, with the API server's refusals.

The file holds `{"objects": {"lease/holdfast-drill": …}, "pods": […], "refusals": N, "asked": […]}`. A Lease has a
resourceVersion, and a write or a deletion that names another one is refused. `failing`: the first word of commands that the API
server does not answer. Of namespaces it knows no more than those of pods.
"""

import fcntl
import json
import sys
from pathlib import Path
from typing import Any

BUDGET = "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget."


class Kubectl:
    """One call: `run` changes the state, and returns what is printed."""

    def __init__(self, state: dict[str, Any], namespace: str, words: list[str]) -> None:
        self.state, self.objects = state, state["objects"]
        self.namespace, self.words = namespace, words

    def run(self) -> str:
        """By its first word."""
        self.state["asked"].append(self.words)
        if self.words[0] in self.state.get("failing", ()):
            sys.exit("Unable to connect to the server")
        if self.words[:2] == ["create", "--raw"]:
            return self.evict(json.load(sys.stdin)["metadata"])
        handler = getattr(self, self.words[0], None)
        return str(handler()) if handler else sys.exit("unknown: " + " ".join(self.words))

    def get(self) -> str:
        """Pods by their labels, anything else by its name."""
        kind, name = self.words[1:3]
        if kind == "pods":
            items = [p for p in self.state["pods"] if p["metadata"]["namespace"] == self.namespace and self.is_selected(p)]
            return json.dumps({"items": items})
        if kind == "deployments":
            deployments = [each for key, each in self.objects.items() if key.startswith("deployment/") and "metadata" in each]
            return json.dumps({"items": [each for each in deployments if self.is_selected(each)]})
        found = self.objects.get(f"{kind}/{name}")
        if found is None and "--ignore-not-found" not in self.words:
            sys.exit(f'Error from server (NotFound): {kind} "{name}" not found')
        return "" if found is None else json.dumps(found)

    def is_selected(self, pod: dict[str, Any]) -> bool:
        """By `-l`."""
        pairs = (part.split("=") for part in self.words[self.words.index("-l") + 1].split(","))
        return all(pod["metadata"]["labels"].get(name) == value for name, value in pairs)

    def create(self) -> str:
        """A Lease; Events are taken and forgotten."""
        given = json.load(sys.stdin)
        if given["kind"] == "Event":
            return ""
        if self.name_of(given) in self.objects:
            sys.exit("Error from server (AlreadyExists): it exists")
        return self.keep(given)

    def replace(self) -> str:
        """A Lease, as it was read."""
        given = json.load(sys.stdin)
        self.check_version(self.name_of(given), given["metadata"].get("resourceVersion"))
        return self.keep(given)

    def delete(self) -> str:
        """`--raw`, as it was read."""
        name = "lease/" + self.words[2].rpartition("/")[2]
        self.check_version(name, json.load(sys.stdin)["preconditions"]["resourceVersion"])
        del self.objects[name]
        return ""

    def exec(self) -> str:
        """`redis-cli PING` in a pod."""
        name = self.words[1]
        if not any(p["metadata"]["namespace"] == self.namespace and p["metadata"]["name"] == name for p in self.state["pods"]):
            sys.exit(f'Error from server (NotFound): pods "{name}" not found')
        return "PONG" if self.words[2:] == ["--", "redis-cli", "PING"] else sys.exit("unknown: " + " ".join(self.words))

    def cordon(self) -> str:
        """A node."""
        return self.set_spec(f"node/{self.words[1]}", "unschedulable", True)

    def uncordon(self) -> str:
        """A node."""
        return self.set_spec(f"node/{self.words[1]}", "unschedulable", False)

    def scale(self) -> str:
        """A Deployment."""
        if self.words[1] not in self.objects:
            sys.exit(f'error: no objects passed to scale deployments.apps "{self.words[1]}" not found')
        return self.set_spec(self.words[1], "replicas", int(self.words[2].removeprefix("--replicas=")))

    def evict(self, asked: dict[str, str]) -> str:
        """A pod, unless a budget refuses."""
        assert self.words[2] == f"/api/v1/namespaces/{asked['namespace']}/pods/{asked['name']}/eviction"
        if self.state["refusals"]:
            self.state["refusals"] -= 1
            return BUDGET
        pods = self.state["pods"]
        self.state["pods"] = [p for p in pods if any(p["metadata"][key] != asked[key] for key in ("namespace", "name"))]
        return ""

    def set_spec(self, name: str, field: str, value: object) -> str:
        """One field of an object."""
        if name not in self.objects:
            sys.exit(f'Error from server (NotFound): "{name}" not found')
        self.objects[name]["spec"][field] = value
        return ""

    def keep(self, given: dict[str, Any]) -> str:
        """Under the next version."""
        self.state["version"] = self.state.get("version", 0) + 1
        given["metadata"] |= {"resourceVersion": str(self.state["version"]), "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.objects[self.name_of(given)] = given
        return json.dumps(given)

    def check_version(self, name: str, version: str) -> None:
        """Refuse what is not as it was read."""
        if name not in self.objects:
            sys.exit(f'Error from server (NotFound): "{name}" not found')
        if version != self.objects[name]["metadata"]["resourceVersion"]:
            sys.exit("Error from server (Conflict): the object has been modified")

    @staticmethod
    def name_of(given: dict[str, Any]) -> str:
        """As the state has it."""
        return f"{given['kind'].lower()}/{given['metadata']['name']}"


def main(path: Path, arguments: list[str]) -> None:
    """One call at a time."""
    namespace, words = arguments[arguments.index("--namespace") + 1], arguments[4:]
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads(path.read_text())
        told = Kubectl(state, namespace, words).run()
        (path.parent / "next").write_text(json.dumps(state))
        (path.parent / "next").replace(path)  # whole, also when this process is killed
    if told == BUDGET:
        sys.exit(told)
    print(told)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
