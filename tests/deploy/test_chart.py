"""The chart: what every combination of values renders to, what is refused, and that it fits what the code serves."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from holdfast import settings
from support.helm import CHART, ROOT, helm, render

SECRET = "0123456789012345678901234567890123"
VALUES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
MINIMAL = ("--set", "firestore.project=p", "--set", "auth.existingSecret=s")


def arguments(name: str) -> tuple[str, ...]:
    """One of the shipped sets of values; what a user has to add to it is added."""
    more = ("--set", f"firestore.emulatorHost=10.88.0.1:8080,auth.secret={SECRET}") if name.startswith("cluster") else ()
    return ("-f", str(CHART / "ci" / name), *more)


@pytest.fixture(params=VALUES)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Everything that a set of values renders to."""
    return render(*arguments(request.param))


def only(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = [each for each in objects if each["kind"] == kind and (not name or each["metadata"]["name"] == name)]
    return found


def pods(objects: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(labels, spec) of every pod that would run."""
    found = []
    for each in objects:
        if each["kind"] == "Pod":
            found.append((each["metadata"].get("labels", {}), each["spec"]))
        elif each["kind"] in ("Deployment", "StatefulSet"):
            template = each["spec"]["template"]
            found.append((template["metadata"]["labels"], template["spec"]))
    return found


@pytest.mark.parametrize("name", VALUES)
def test_it_lints(name: str) -> None:
    """Strictly."""
    done = helm("lint", "--strict", "--kube-version", "1.34.0", str(CHART), *arguments(name))
    assert done.returncode == 0, done.stdout


def test_every_object_is_named_labelled_and_there_once(objects: list[dict[str, Any]]) -> None:
    """Two objects of one name would overwrite each other."""
    names = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert all(each["metadata"]["labels"]["app.kubernetes.io/instance"] == "holdfast" for each in objects)


def test_pods_keep_the_restricted_standard(objects: list[dict[str, Any]]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, evaluated; a read-only root and no token besides."""
    for _, spec in pods(objects):
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 10001
        assert context["seccompProfile"]["type"] == "RuntimeDefault"
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        assert {next(kind for kind in volume if kind != "name") for volume in spec.get("volumes", ())} <= {"emptyDir", "secret"}
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "hostPort" not in json.dumps(container.get("ports", []))
            assert container["resources"]["limits"]["memory"]


def test_nothing_gets_rights_in_the_cluster(objects: list[dict[str, Any]]) -> None:
    """Chat pods talk to Redis and the store only."""
    assert not [each for each in objects if each["apiVersion"].startswith("rbac")]


def test_selectors_select_pods_of_the_release(objects: list[dict[str, Any]]) -> None:
    """A selector that matches nothing fails silently."""
    labels = [each for each, _ in pods(objects)]
    for each in objects:
        spec = each.get("spec", {})
        selectors = {
            "Service": spec.get("selector"),
            "Deployment": spec.get("selector", {}).get("matchLabels"),
            "StatefulSet": spec.get("selector", {}).get("matchLabels"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "PodMonitor": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }
        if each["kind"] in selectors:
            wanted = selectors[each["kind"]]
            assert wanted
            assert any(wanted.items() <= have.items() for have in labels), each["metadata"]
        if each["kind"] == "ServiceMonitor":
            services = [other["metadata"]["labels"] for other in objects if other["kind"] == "Service"]
            assert any(spec["selector"]["matchLabels"].items() <= have.items() for have in services)


def test_probes_ports_and_services_are_what_the_code_serves(objects: list[dict[str, Any]]) -> None:
    """The paths exist, on the ports that the settings name."""
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    environ = {each["name"]: each.get("value") for each in container["env"]}
    assert str(ports["http"]) == environ["HOLDFAST_HTTP__PORT"]
    assert str(ports["internal"]) == environ["HOLDFAST_HTTP__INTERNAL_PORT"]
    served = (ROOT / "service" / "holdfast" / "web" / "probes.py").read_text()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        call = container[probe]["httpGet"]
        assert call["port"] == "internal"
        assert call["path"] in served
    for service in (each for each in objects if each["kind"] == "Service" and "redis" not in each["metadata"]["name"]):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()


def test_the_environment_is_one_that_an_instance_starts_with(objects: list[dict[str, Any]]) -> None:
    """An unknown or wrong variable ends the start with one line: here it ends the test."""
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    secret = "whsec_" + "QUFB" * 12
    environ = {each["name"]: each.get("value", secret if "WEBHOOK" in each["name"] else SECRET) for each in container["env"]}
    loaded = settings.load(environ)
    assert loaded.instance_id
    assert loaded.store.url
    assert loaded.http.effective_internal_port == 9000


def test_the_grace_period_covers_the_drain(objects: list[dict[str, Any]]) -> None:
    """Or the kubelet would kill a pod in the middle of it."""
    spec = only(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    environ = {each["name"]: each.get("value") for each in container["env"]}
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    window, flush = (float(environ[f"HOLDFAST_DRAIN__{name}_SECONDS"]) for name in ("WINDOW", "FLUSH"))
    assert spec["terminationGracePeriodSeconds"] >= before + window + flush + 15


def test_a_rollout_takes_nobody_away_before_somebody_is_there() -> None:
    """And spreads the pods of one version over zones and hosts."""
    spec = only(render(*MINIMAL), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(
        each["whenUnsatisfiable"] == "ScheduleAnyway" and each["matchLabelKeys"] == ["pod-template-hash"] for each in spread
    )
    budget = only(render(*MINIMAL), "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert not [each for each in render(*MINIMAL, "--set", "replicaCount=1") if each["kind"] == "PodDisruptionBudget"]


def test_scaling_leaves_the_number_of_pods_to_the_scaler() -> None:
    """A `replicas` beside it would undo its work with every upgrade."""
    for name in ("hpa", "keda"):
        objects = render(*arguments(f"{name}-values.yaml"))
        assert "replicas" not in only(objects, "Deployment")["spec"]
    behavior = only(render(*arguments("hpa-values.yaml")), "HorizontalPodAutoscaler")["spec"]["behavior"]["scaleDown"]
    assert behavior == {"stabilizationWindowSeconds": 900, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}
    trigger = only(render(*arguments("keda-values.yaml")), "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert trigger["ignoreNullValues"] == "false"


def test_a_demo_is_one_pod_and_says_so() -> None:
    """Several pods cannot share its file."""
    deployment = only(render(*arguments("local-values.yaml")), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["metadata"]["labels"]["holdfast.dev/demo"] == "true"


def test_the_network_policy_lets_in_and_out_what_is_needed_and_nothing_else() -> None:
    """By evaluation: no CNI need enforce it for this to be seen."""
    objects = render(*MINIMAL, "--set", "networkPolicy.enabled=true,networkPolicy.ingressNamespace=edge")
    spec = only(objects, "NetworkPolicy")["spec"]

    def is_let_in(port: str, namespace: str, labels: dict[str, str]) -> bool:
        peers = [peer for rule in spec["ingress"] if port in [each["port"] for each in rule["ports"]] for peer in rule["from"]]
        of_namespaces = [peer["namespaceSelector"]["matchLabels"] for peer in peers if "namespaceSelector" in peer]
        of_pods = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
        if {"kubernetes.io/metadata.name": namespace} in of_namespaces:
            return True
        return namespace == "own" and any(wanted.items() <= labels.items() for wanted in of_pods)

    own = pods(objects)[0][0]
    assert is_let_in("http", "edge", {})
    assert is_let_in("internal", "own", own)
    assert not is_let_in("internal", "edge", {})
    assert not is_let_in("http", "elsewhere", {})
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 6379, 443}


REFUSALS = {
    "firestore.project: name the project": ("--set", "auth.existingSecret=s"),
    "auth: set auth.secret": ("--set", "firestore.project=p"),
    "auth.secret: at least 32 bytes": ("--set", "firestore.project=p,auth.secret=short"),
    "redis.url: name the Redis": (*MINIMAL, "--set", "redis.inCluster.enabled=false"),
    "redis.url: a Redis outside and one in the cluster": (*MINIMAL, "--set", "redis.url=redis://x:6379"),
    "terminationGracePeriodSeconds: 30 is less": (*MINIMAL, "--set", "terminationGracePeriodSeconds=30"),
    "the emulator keeps nothing": (*MINIMAL, "--set", "environment=production,firestore.emulatorHost=h:1"),
    "demo.enabled: a store that ends": (*MINIMAL, "--set", "environment=production,demo.enabled=true"),
    "HPA or KEDA, not both": (
        *MINIMAL,
        *("--set", "autoscaling.hpa.enabled=true,autoscaling.keda.enabled=true,autoscaling.keda.prometheusAddress=http://p"),
    ),
    "push.existingSecret: a webhook needs": (*MINIMAL, "--set", "push.webhookUrl=https://x"),
    "replicaCont": (*MINIMAL, "--set", "replicaCont=5"),
    "replicaCount": (*MINIMAL, "--set", "replicaCount=none"),
    "hosts": (*MINIMAL, "--set", "ingress.enabled=true"),
}


@pytest.mark.parametrize("told", REFUSALS)
def test_values_that_cannot_work_are_refused_with_a_reason(told: str) -> None:
    """At `helm install`, not at three in the morning."""
    done = helm("template", "holdfast", str(CHART), "--kube-version", "1.34.0", *REFUSALS[told])
    assert done.returncode != 0
    assert told in done.stderr


def test_the_schema_knows_every_value_and_no_other() -> None:
    """`additionalProperties: false` all the way down, so that a typing error is an error."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)

    def compare(part: dict[str, Any], where: dict[str, Any], path: str) -> None:
        known = set(where.get("properties", {})) - {"global"}
        if not known:
            return
        assert where["additionalProperties"] is False, path
        assert set(part) == known, path
        for name, value in part.items():
            if isinstance(value, dict) and "requests" not in value:
                compare(value, where["properties"][name], f"{path}.{name}")

    compare(values, schema, "values")


def test_the_plain_manifests_are_the_charts() -> None:
    """`make manifests` writes them again."""
    rendered = render("-f", str(ROOT / "k8s" / "base" / "values.yaml"), "--skip-tests")
    kept = [each for each in yaml.safe_load_all((ROOT / "k8s" / "base" / "holdfast.yaml").read_text()) if each]
    assert kept == rendered


def test_skaffold_names_what_is_there() -> None:
    """Its files exist, its profiles are the two ways to run it."""
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    assert config["apiVersion"].startswith("skaffold/v")
    assert [profile["name"] for profile in config["profiles"]] == ["emulator", "elasticache"]
    text = (ROOT / "skaffold.yaml").read_text()
    for path in re.findall(r"charts/[\w/.-]+", text):
        assert (ROOT / path).exists(), path
    assert Path(ROOT / config["build"]["artifacts"][0]["docker"]["dockerfile"]).exists()


def test_the_image_is_built_from_the_locks_and_runs_as_nobody() -> None:
    """What the last stage holds, by its text; the build itself is part of the test on a cluster."""
    text = (ROOT / "Dockerfile").read_text()
    last = text.rsplit("\nFROM ", 1)[1]
    assert "USER 10001:10001" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "RUN" not in last
    assert 'ENTRYPOINT ["holdfast"]' in last
    assert text.index("locks/runtime.txt") < text.index("COPY service/")
    assert "--require-hashes" in text
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / each).exists() for each in kept)
    assert os.sep not in "".join(kept - {"locks/runtime.txt", "locks/build.txt"})
