"""What the chart decides about the life of pods: rollouts, stopping, disruption, scaling, and the two ways to try it out."""

import json
from fnmatch import fnmatch
from itertools import pairwise

import pytest
import yaml

from support.chart import MINIMAL, VALUES, Object, chat, containers, environ, fullname, of_kind, only, rendered
from support.helm import CHART, ROOT, render

SLACK_SECONDS = 15


@pytest.fixture(params=VALUES)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """Everything that a set of values renders to."""
    return rendered(request.param)


def test_a_rollout_takes_no_pod_away_before_a_new_one_is_ready() -> None:
    """New pods first, ready for a while; how many at once is the operator's choice between speed and reconnects."""
    spec = only(render(*MINIMAL), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    assert spec["minReadySeconds"] == 10
    all_at_once = only(rendered("gateway-values.yaml"), "Deployment")["spec"]
    assert all_at_once["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "100%"}


def test_pods_of_one_version_are_spread_over_zones_and_hosts() -> None:
    """By their own version only, or a rollout would count the pods that go; never so strictly that a pod cannot run."""
    spec = only(render(*MINIMAL), "Deployment")["spec"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for each in spread:
        assert (each["whenUnsatisfiable"], each["matchLabelKeys"]) == ("ScheduleAnyway", ["pod-template-hash"])
        assert each["labelSelector"] == spec["selector"]


def test_the_grace_period_covers_the_drain(objects: list[Object]) -> None:
    """Or the kubelet would kill a pod in the middle of it."""
    spec, container = chat(objects)
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    window, flush = (float(environ(container)[f"HOLDFAST_DRAIN__{name}_SECONDS"]) for name in ("WINDOW", "FLUSH"))
    assert spec["terminationGracePeriodSeconds"] >= before + window + flush + SLACK_SECONDS


def test_the_grace_period_follows_the_drain_unless_it_is_longer() -> None:
    """Computed, so that one value is changed and not two."""
    assert chat(render(*MINIMAL))[0]["terminationGracePeriodSeconds"] == 90
    window = ("--set", "drain.windowSeconds=300")
    assert chat(render(*MINIMAL, *window))[0]["terminationGracePeriodSeconds"] == 330
    longer = ("--set", "terminationGracePeriodSeconds=400")
    assert chat(render(*MINIMAL, *window, *longer))[0]["terminationGracePeriodSeconds"] == 400


@pytest.mark.parametrize(
    ("values", "is_there"),
    [
        ("replicaCount=3", True),
        ("replicaCount=1", True),
        ("autoscaling.hpa.enabled=true,autoscaling.hpa.minReplicas=1", True),
        ("podDisruptionBudget.enabled=false", False),
    ],
)
def test_one_pod_at_a_time_may_be_evicted_however_many_there_are(values: str, is_there: bool) -> None:
    """A scaler, or a hand, makes many of one. A lone pod may be evicted under this budget, too."""
    budgets = of_kind(render(*MINIMAL, "--set", values), "PodDisruptionBudget")
    assert bool(budgets) is is_there
    for each in budgets:
        assert (each["spec"]["maxUnavailable"], each["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_scaling_leaves_the_number_of_pods_to_the_scaler(name: str) -> None:
    """A `replicas` beside it would undo its work with every upgrade."""
    objects = rendered(f"{name}-values.yaml")
    assert "replicas" not in only(objects, "Deployment")["spec"]
    kind = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}[name]
    target = only(objects, kind)["spec"]["scaleTargetRef"]["name"]
    assert target == only(objects, "Deployment")["metadata"]["name"]


def test_pods_leave_one_at_a_time_and_never_for_want_of_a_metric() -> None:
    """Each pod that goes makes its clients reconnect; missing data is no reason to end all pods."""
    slowly = {"stabilizationWindowSeconds": 900, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}
    assert only(rendered("hpa-values.yaml"), "HorizontalPodAutoscaler")["spec"]["behavior"]["scaleDown"] == slowly
    spec = only(rendered("keda-values.yaml"), "ScaledObject")["spec"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] == slowly
    assert spec["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"


def test_scalers_count_a_metric_that_is_exposed() -> None:
    """With the name of a metric that no pod exposes, they would never scale."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert "| `holdfast_connections` |" in page
    hpa = only(rendered("hpa-values.yaml"), "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]
    assert hpa["metric"]["name"] == "holdfast_connections"
    assert (
        "sum(holdfast_connections{"
        in only(rendered("keda-values.yaml"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    )


def _in_millis(cpu: str) -> int:
    return int(cpu.removesuffix("m"))


def test_the_scaler_adds_pods_for_connections_before_it_does_for_their_usual_cpu() -> None:
    """A CPU target that idle connections reach makes the target of connections meaningless, and pods are paid for nothing."""
    idle, message = 0.014, 1.7  # m of CPU per idle connection; ms of CPU per message stored in Firestore and delivered
    spec = only(rendered("hpa-values.yaml"), "HorizontalPodAutoscaler")["spec"]
    by_connections, by_cpu = spec["metrics"]
    connections = int(by_connections["pods"]["target"]["averageValue"])
    target = _in_millis(by_cpu["containerResource"]["target"]["averageValue"])
    usual = connections * idle + connections / 60 * message  # each connection sends a message a minute
    assert connections * idle < usual < target < 1000
    _, container = chat(rendered("hpa-values.yaml"))
    assert by_cpu["containerResource"]["container"] == container["name"]
    assert 0.9 * usual <= _in_millis(container["resources"]["requests"]["cpu"]) <= target


def test_a_pod_with_its_target_of_connections_has_the_memory_for_them() -> None:
    """Pods refuse connections from 85 % of their memory limit on: that mark must not come before the scaler's."""
    idle_pod, connection = 109e6, 5.3e3  # bytes; a connection that is read in time
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["resources"] == {
        "requests": {"cpu": "500m", "memory": "256Mi"},
        "limits": {"memory": "1Gi"},
    }
    assert idle_pod + values["autoscaling"]["hpa"]["connectionsPerPod"] * connection < 256 * 2**20
    assert idle_pod + values["limits"]["connections"] * connection < 0.80 * 2**30


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_a_burst_of_reconnects_adds_no_pods_and_steady_growth_adds_half_of_them_a_minute(name: str) -> None:
    """Accepting 12,000 clients again takes seconds of CPU; pods that it started would take their clients away when they go."""
    behavior = yaml.safe_load((CHART / "values.yaml").read_text())["autoscaling"][name]["behavior"]
    assert behavior["scaleUp"] == {
        "stabilizationWindowSeconds": 60,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 2, "periodSeconds": 60},
            {"type": "Percent", "value": 50, "periodSeconds": 60},
        ],
    }


def test_the_defaults_scale_between_60_and_70_percent_of_what_a_pod_takes() -> None:
    """Below that money is wasted, above it pods are full before the next ones are there."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for scaler in values["autoscaling"].values():
        assert 0.6 <= scaler["connectionsPerPod"] / values["limits"]["connections"] <= 0.7


def test_the_edge_leads_to_the_public_service() -> None:
    """Ingress of any class, or the Gateway API; the route has no timeouts: GKE rejects it with any."""
    with_ingress = rendered("elasticache-values.yaml")
    backend = only(with_ingress, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    public = only(with_ingress, "Service")
    assert backend["name"] == public["metadata"]["name"]
    assert backend["port"]["name"] in {port["name"] for port in public["spec"]["ports"]}
    assert only(with_ingress, "Ingress")["spec"]["ingressClassName"] == "alb"
    with_route = rendered("gateway-values.yaml")
    (rule,) = only(with_route, "HTTPRoute")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "holdfast", "port": only(with_route, "Service")["spec"]["ports"][0]["port"]}]
    assert "timeouts" not in rule


def test_clients_reach_ready_pods_and_prometheus_all_of_them(objects: list[Object]) -> None:
    """A draining pod's metrics are the ones wanted most; pods that ask each other must see those that left."""
    headless, internal = (only(objects, "Service", f"{fullname(objects)}-{name}")["spec"] for name in ("headless", "internal"))
    assert (headless["clusterIP"], internal["clusterIP"]) == ("None", "None")
    assert not headless.get("publishNotReadyAddresses")
    assert internal["publishNotReadyAddresses"] is True
    assert [port["name"] for port in only(objects, "Service", fullname(objects))["spec"]["ports"]] == ["http"]


def test_redis_keeps_nothing(objects: list[Object]) -> None:
    """Everything in it can be rebuilt: no volume that outlives the pod, no snapshot, no log."""
    for redis in of_kind(objects, "StatefulSet"):
        spec = redis["spec"]
        assert "volumeClaimTemplates" not in spec
        assert spec["template"]["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}]
        args = spec["template"]["spec"]["containers"][0]["args"]
        assert {("--save", ""), ("--appendonly", "no"), ("--protected-mode", "yes")} <= set(pairwise(args))


def test_a_demo_is_one_pod_and_says_so() -> None:
    """Several pods cannot share its file, nor the old and the new one of a rollout."""
    deployment = only(rendered("local-values.yaml"), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["metadata"]["labels"]["holdfast.dev/demo"] == "true"


def test_code_can_be_written_to_where_it_is_developed_and_nowhere_else() -> None:
    """`skaffold dev` copies files into a running pod; its process imports them first."""
    spec, container = chat(rendered("sentinel-values.yaml"))
    (code,) = spec["initContainers"]
    mount = {"name": "code", "mountPath": environ(container)["PYTHONPATH"]}
    assert mount in container["volumeMounts"]
    assert mount in code["volumeMounts"]
    spec, container = chat(render(*MINIMAL))
    assert containers(spec) == [container]
    assert "PYTHONPATH" not in environ(container)


def test_helm_test_has_the_conversation_that_can_be_had() -> None:
    """Across two pods where there are two; health only where no process of the release may sign tokens."""
    arguments = {
        name: only(rendered(f"{name}-values.yaml"), "Pod", "holdfast-test")["spec"]["containers"][0]["args"]
        for name in ("cluster", "local", "elasticache")
    }
    address = "http://holdfast:80"
    assert arguments == {
        "cluster": ["smoke", address, "--across"],
        "local": ["smoke", address],
        "elasticache": ["smoke", address, "--health-only"],
    }


def test_the_monitors_scrape_the_internal_port() -> None:
    """Where metrics are, and no handshake."""
    pod = only(rendered("elasticache-values.yaml"), "PodMonitor")
    assert [each["port"] for each in pod["spec"]["podMetricsEndpoints"]] == ["internal"]
    assert pod["metadata"]["labels"]["release"] == "prometheus"
    service = only(rendered("hpa-values.yaml"), "ServiceMonitor")
    assert [each["port"] for each in service["spec"]["endpoints"]] == ["internal"]


def test_what_is_not_asked_for_is_not_there() -> None:
    """No custom resource without its operator, no rights without the controller."""
    objects = render(*MINIMAL, "--set", "controller.enabled=false")
    kinds = sorted(each["kind"] for each in objects if each["kind"] not in ("Service", "Secret", "NetworkPolicy"))
    assert kinds == ["Deployment", "Pod", "PodDisruptionBudget", "ServiceAccount", "StatefulSet"]
    assert not any(fnmatch(json.dumps(each), "*Role*") for each in objects)
