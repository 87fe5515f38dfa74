"""The rights of pods, the requests of the controller to Kubernetes, the connections between pods: all by evaluation."""

import json

import pytest

from support.chart import MINIMAL, VALUES, Object, containers, fullname, of_kind, only, pods, rendered
from support.helm import render
from support.network import EDGE, OUTSIDE, PROMETHEUS, End, Network


@pytest.fixture(params=VALUES)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """Everything that a set of values renders to."""
    return rendered(request.param)


def test_pods_keep_the_restricted_standard(objects: list[Object]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, evaluated; a read-only root besides."""
    for _, spec in pods(objects):
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 10001
        assert context["seccompProfile"]["type"] == "RuntimeDefault"
        assert spec["enableServiceLinks"] is False
        assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        assert {next(kind for kind in volume if kind != "name") for volume in spec.get("volumes", ())} <= {
            *("configMap", "emptyDir", "projected", "secret"),
        }
        for container in containers(spec):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", ()))
            assert container["resources"]["limits"]["memory"]


def test_only_the_controller_has_a_token_of_kubernetes(objects: list[Object]) -> None:
    """Chat pods talk to Redis and the store; an intruder in one of them cannot read the cluster's objects."""
    for labels, spec in pods(objects):
        assert spec["automountServiceAccountToken"] is (labels["app.kubernetes.io/component"] == "controller")
    accounts = {each["metadata"]["name"]: each for each in of_kind(objects, "ServiceAccount")}
    assert not any(each["automountServiceAccountToken"] for each in accounts.values())
    for binding in of_kind(objects, "RoleBinding"):
        (bound,) = [subject["name"] for subject in binding["subjects"]]
        assert (
            bound
            == only(objects, "Deployment", f"{fullname(objects)}-controller")["spec"]["template"]["spec"]["serviceAccountName"]
        )


def test_no_right_reaches_beyond_the_namespace(objects: list[Object]) -> None:
    """Nothing of the cluster's."""
    assert not of_kind(objects, "ClusterRole")
    assert not of_kind(objects, "ClusterRoleBinding")


def test_the_controllers_rights_are_these() -> None:
    """Each verb has its use; a new one is written down here on purpose."""
    objects = render(*MINIMAL)
    granted = {
        (group, resource, verb, name)
        for rule in only(objects, "Role", "holdfast-controller")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
    leases = "coordination.k8s.io"
    assert granted == {
        *(("", "pods", verb, "") for verb in ("list", "watch", "patch")),
        ("", "pods/status", "patch", ""),
        ("", "events", "create", ""),
        (leases, "leases", "create", ""),
        *((leases, "leases", verb, "holdfast-controller") for verb in ("get", "update")),
        ("apps", "deployments", "get", "holdfast"),
    }


def test_the_controller_looks_at_the_pods_of_its_release() -> None:
    """Its selector is theirs."""
    objects = render(*MINIMAL)
    (container,) = only(objects, "Deployment", "holdfast-controller")["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    selector = dict(part.split("=") for part in told["HOLDFAST_KUBERNETES__SELECTOR"].split(","))
    assert selector == only(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert told["HOLDFAST_KUBERNETES__DEPLOYMENT"] == only(objects, "Deployment")["metadata"]["name"]


def test_the_controller_has_no_way_into_the_store(objects: list[Object]) -> None:
    """It reads what pods say of themselves and talks to Redis: neither a credential nor a cloud identity of the store's."""
    by_component = {labels["app.kubernetes.io/component"]: spec for labels, spec in pods(objects)}
    chat, controller = by_component["chat"], by_component["controller"]
    (container,) = [each for each in controller["containers"] if each["name"] == "controller"]
    told = {each["name"] for each in container["env"]}
    assert not told & {"HOLDFAST_STORE__URL", "GOOGLE_APPLICATION_CREDENTIALS", "FIRESTORE_EMULATOR_HOST"}
    assert not any("firestore" in each["name"] for each in (*controller["volumes"], *container["volumeMounts"]))
    assert "HOLDFAST_STORE__URL" in {each["name"] for each in chat["containers"][0]["env"]}
    accounts = {each["metadata"]["name"]: each["metadata"].get("annotations", {}) for each in of_kind(objects, "ServiceAccount")}
    theirs, own = (accounts.get(spec.get("serviceAccountName"), {}) for spec in (chat, controller))
    identities = {key: value for key, value in theirs.items() if "iam" in key or "role-arn" in key}
    assert not identities.items() & own.items()


def test_two_controllers_stand_by_for_each_other() -> None:
    """One that hangs, or whose node is gone, is replaced within the time of the Lease."""
    assert only(render(*MINIMAL), "Deployment", "holdfast-controller")["spec"]["replicas"] == 2


def test_the_network_lets_through_what_is_needed() -> None:
    """Clients by the edge, Prometheus, the pods among themselves, Redis, DNS, Firestore."""
    network = Network("networkPolicy.ingressNamespace=edge", "networkPolicy.monitoringNamespace=monitoring")
    chat, redis, controller, test = (network.pod(name) for name in ("chat", "redis", "controller", "test"))
    assert network.may(EDGE, chat, 8000)
    assert network.may(test, chat, 8000)
    assert network.may(test, OUTSIDE, 53)
    assert network.may(PROMETHEUS, chat, 9000)
    assert network.may(controller, chat, 9000)
    assert network.may(PROMETHEUS, controller, 9000)
    for pod in (chat, controller):
        assert network.may(pod, redis, 6379)
        assert network.may(pod, OUTSIDE, 53)
        for port in (1053, 5353, 8053):
            assert network.may(pod, OUTSIDE, port), "DNS of vcluster, OpenShift, Gardener: the port of its pods counts"
        for port in (443, 8443):
            assert network.may(pod, OUTSIDE, port), "the pods behind a Service on 443 listen on 8443, mostly"
    for port in (6443, 8443, 16443):
        assert network.may(controller, OUTSIDE, port), "the API server of another distribution"


def test_an_edge_without_pods_is_let_in_by_its_addresses() -> None:
    """A load balancer that reaches pods itself comes from no namespace."""
    balancer = {"ipBlock": {"cidr": "10.0.0.0/16"}}
    for others in ((), ("networkPolicy.ingressNamespace=edge",)):
        values = ("networkPolicy.ingressFrom[0].ipBlock.cidr=10.0.0.0/16", *others)
        objects = render(*MINIMAL, "--set", ",".join(values))
        rule = only(objects, "NetworkPolicy", "holdfast")["spec"]["ingress"][0]
        assert balancer in rule["from"]
        assert any("podSelector" in each for each in rule["from"]), "the test pod and the probe are of the release"


def test_what_pods_of_ones_own_need_is_let_out_of_the_pod_of_helm_test_too() -> None:
    """A mesh's sidecar is injected there as well."""
    network = Network("networkPolicy.extraEgress[0].ports[0].port=15012")
    for component in ("chat", "controller", "test"):
        assert network.may(network.pod(component), OUTSIDE, 15012)


def test_the_network_lets_through_nothing_else() -> None:
    """By default, and beside the passwords: a stolen one is of no use from elsewhere."""
    network = Network("networkPolicy.ingressNamespace=edge", "networkPolicy.monitoringNamespace=monitoring")
    chat, redis, controller = (network.pod(name) for name in ("chat", "redis", "controller"))
    stranger = End("chat", {"app.kubernetes.io/name": "other"})
    for source in (OUTSIDE, stranger, PROMETHEUS):
        assert not network.may(source, chat, 8000)
    for source in (OUTSIDE, stranger, EDGE):
        assert not network.may(source, chat, 9000)
    for source in (OUTSIDE, stranger, EDGE, PROMETHEUS):
        assert not network.may(source, redis, 6379)
    for source in (OUTSIDE, stranger, EDGE):
        assert not network.may(source, controller, 9000)
    for port in (22, 80, 6379, 8000):
        assert not network.may(chat, OUTSIDE, port)
    for port in (53, 443, 6379, 8000):
        assert not network.may(redis, OUTSIDE, port), "Redis opens no connections"
    for port in (22, 443, 8000):
        assert not network.may(network.pod("test"), OUTSIDE, port), "it calls the release alone"


def test_the_internal_port_is_open_until_the_values_narrow_it() -> None:
    """`holdfast status --namespace` comes by way of the API server, from addresses that only the operator knows."""
    network = Network()
    for pod in (network.pod("chat"), network.pod("controller")):
        assert network.may(PROMETHEUS, pod, 9000)
        assert network.may(OUTSIDE, pod, 9000)
    network = Network("networkPolicy.monitoringNamespace=monitoring")
    assert network.may(PROMETHEUS, network.pod("chat"), 9000)
    assert not network.may(OUTSIDE, network.pod("chat"), 9000)
    api_server = {"ipBlock": {"cidr": "10.0.0.0/28"}}
    objects = render(*MINIMAL, "--set-json", f"networkPolicy.internalFrom=[{json.dumps(api_server)}]")
    for name in ("holdfast", "holdfast-controller"):
        (rule,) = [
            each for each in only(objects, "NetworkPolicy", name)["spec"]["ingress"] if each["ports"] == [{"port": "internal"}]
        ]
        assert rule["from"][-1] == api_server


def test_the_network_policies_can_be_switched_off() -> None:
    """Where another team writes them."""
    assert not Network("networkPolicy.enabled=false").policies


def test_without_a_namespace_of_the_edge_everybody_reaches_the_public_port_and_no_other() -> None:
    """A load balancer outside has no namespace."""
    network = Network()
    assert network.may(OUTSIDE, network.pod("chat"), 8000)
    assert not network.may(OUTSIDE, network.pod("chat"), 8001)


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ("redis.url=rediss://h:6390/0", {6390}),
        ("redis.url=redis://h", {6379}),
        ("redis.host=h,redis.port=6391", {6391}),
        ("redis.sentinel.nodes={s:26379},redis.sentinel.service=m", {26379, 6379, 6380}),
        (r"redis.url=sentinel://s\,t:5000/m/0,redis.port=6390", {26379, 5000, 6379, 6380, 6390}),
        ("redis.urlSecret=s,redis.port=6391", {26379, 6379, 6380, 6391}),
    ],
)
def test_a_redis_outside_is_reached_on_its_port(values: str, ports: set[int]) -> None:
    """Behind Sentinel, pods reach the Sentinels and the primaries that these name."""
    network = Network("redis.inCluster.enabled=false", values)
    chat = network.pod("chat")
    assert {port for port in (5000, 6379, 6380, 6390, 6391, 26379) if network.may(chat, OUTSIDE, port)} == ports


def test_the_emulator_is_reached_where_it_is() -> None:
    """Outside the cluster, on a port of its own."""
    network = Network("firestore.emulatorHost=10.88.0.1:8088")
    assert network.may(network.pod("chat"), OUTSIDE, 8088)


@pytest.mark.parametrize(
    ("values", "port"),
    [
        ("auth.existingSecret=,auth.jwksUrl=https://sso.example.com:8081/keys", 8081),
        ("auth.existingSecret=,auth.jwksAllowHttp=true,auth.jwksUrl=http://sso/keys", 80),
        ("push.existingSecret=s,push.webhookUrl=https://[fd00::1]:8082/hook", 8082),
        ("extraEnv[0].name=HTTPS_PROXY,extraEnv[0].value=proxy.example.com:3128", 3128),
        ("extraEnv[0].name=OTEL_EXPORTER_OTLP_ENDPOINT,extraEnv[0].value=http://collector:4318", 4318),
    ],
)
def test_what_the_values_name_is_reached_on_its_port(values: str, port: int) -> None:
    """A rule that has to be written by hand for it is forgotten until the first outage."""
    assert Network(values).may(Network().pod("chat"), OUTSIDE, port)
    assert not Network().may(Network().pod("chat"), OUTSIDE, port)


@pytest.mark.parametrize(
    ("values", "are_needed"),
    [
        ("", True),
        ("serviceAccount.annotations.a=b", True),
        ("firestore.credentialsSecret=key", False),
        ("firestore.credentialsSecret=key,serviceAccount.annotations.a=b", True),
        ("firestore.emulatorHost=h:8080", False),
    ],
)
def test_pods_without_a_key_get_tokens_of_their_cloud_identity(values: str, are_needed: bool) -> None:
    """From the metadata server of the node, and from nowhere else on that port; GKE wants no annotation for it any more."""
    rules = only(render(*MINIMAL, *(("--set", values) if values else ())), "NetworkPolicy", "holdfast")["spec"]["egress"]
    found = [rule["to"] for rule in rules if {"port": 988} in rule["ports"]]
    servers = [{"ipBlock": {"cidr": cidr}} for cidr in ("169.254.169.252/30", "169.254.170.23/32")]
    assert found == ([servers] if are_needed else [])
