"""The NetworkPolicies of a release, evaluated: which pods may talk to which."""

from dataclasses import dataclass, field
from typing import Any

from support.chart import MINIMAL, of_kind, pods
from support.helm import render


@dataclass(frozen=True)
class End:
    """One end of a connection. `namespace` is `chat` for the release's own."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict)


class Network:
    """The release's NetworkPolicies, as a network that enforces them would judge (IP blocks aside)."""

    def __init__(self, *values: str, objects: list[Any] | None = None) -> None:
        """Of the chart under these values, or of these objects."""
        self.objects = render(*MINIMAL, *(("--set", ",".join(values)) if values else ())) if objects is None else objects
        self.policies = [each["spec"] for each in of_kind(self.objects, "NetworkPolicy")]

    def pod(self, component: str) -> End:
        """A pod of the release."""
        return End("chat", next(labels for labels, _ in pods(self.objects) if labels["app.kubernetes.io/component"] == component))

    def may(self, source: End, target: End, port: int) -> bool:
        """Whether a connection comes about: what leaves must be let out, what comes must be let in."""
        return self._is_let("Egress", source, target, port) and self._is_let("Ingress", target, source, port)

    def _is_let(self, direction: str, subject: End, peer: End, port: int) -> bool:
        policies = [
            policy
            for policy in self.policies
            if subject.namespace == "chat"
            and policy["podSelector"]["matchLabels"].items() <= subject.labels.items()
            and direction in policy["policyTypes"]
        ]
        if not policies:
            return True
        side = {"Ingress": "from", "Egress": "to"}[direction]
        rules = [rule for policy in policies for rule in policy.get(direction.lower(), ())]
        return any(self._has_port(rule, port) and self._has_peer(rule.get(side), peer) for rule in rules)

    def _has_port(self, rule: dict[str, Any], port: int) -> bool:
        named = {"http": 8000, "internal": 9000, "redis": 6379}
        return any(named.get(each["port"], each["port"]) == port for each in rule["ports"])

    def _has_peer(self, peers: list[dict[str, Any]] | None, end: End) -> bool:
        if peers is None:
            return True
        for peer in peers:
            own = {"matchLabels": {"kubernetes.io/metadata.name": "chat"}}
            named = peer.get("namespaceSelector", own).get("matchLabels", {})
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            is_of_pods = "namespaceSelector" in peer or "podSelector" in peer
            if (
                is_of_pods
                and named.items() <= {"kubernetes.io/metadata.name": end.namespace}.items()
                and labels.items() <= end.labels.items()
            ):
                return True
        return False


OUTSIDE = End("elsewhere")
EDGE = End("edge")
PROMETHEUS = End("monitoring")
