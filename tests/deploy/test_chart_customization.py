"""What an operator can set of the objects: names, labels, nodes, DNS, volumes, sidecars, accounts, further objects."""

import json

import pytest

from support.chart import MINIMAL, Object, chat, deployment, environ, of_kind, only, pods, rendered, secret_references
from support.helm import render

CONSTRAINT = '[{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]'


@pytest.fixture
def customized() -> list[Object]:
    """The shipped example."""
    return rendered("customized-values.yaml")


def component(objects: list[Object], name: str) -> Object:
    """The pod of one component."""
    return next(spec for labels, spec in pods(objects) if labels["app.kubernetes.io/component"] == name)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ("", "mine-holdfast"),
        ("nameOverride=chat", "mine-chat"),
        ("nameOverride=mine", "mine"),
        ("fullnameOverride=messages", "messages"),
    ],
)
def test_names_follow_the_overrides(values: str, name: str) -> None:
    """Naming rules of a company do not know Holdfast's."""
    objects = render(*MINIMAL, "--set", values, release="mine")
    assert deployment(objects)["metadata"]["name"] == name
    assert {each["metadata"]["name"].removeprefix(name) for each in objects} == {
        *("", "-controller", "-redis", "-headless", "-internal", "-test", "-redis-auth", "-redis-operator"),
    }
    assert environ(chat(objects)[1])["HOLDFAST_REDIS__URL"] == f"redis://holdfast@{name}-redis:6379/0"


def test_a_long_release_name_leaves_room_for_what_kubernetes_appends() -> None:
    """A StatefulSet's name and a hash are a label of its pods: with more than 63 characters it never gets a pod."""
    objects = render(*MINIMAL, release="a-release-name-as-long-as-helm-takes-one-which-is-53c")
    (redis,) = of_kind(objects, "StatefulSet")
    assert len(redis["metadata"]["name"]) <= 52
    assert redis["spec"]["serviceName"] == redis["metadata"]["name"]
    assert all(len(each["metadata"]["name"]) <= 63 for each in of_kind(objects, "Service"))
    assert f"redis://holdfast@{redis['metadata']['name']}:6379/0" == environ(chat(objects)[1])["HOLDFAST_REDIS__URL"]


def test_a_release_name_of_digits_is_still_text() -> None:
    """`helm install 2024 …`: a label that is a number is refused by Kubernetes."""
    objects = render(*MINIMAL, "--set", "fullnameOverride=chat", release="2024")  # no Service can be named after it
    assert {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in objects} == {"2024"}
    assert deployment(objects)["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "2024"
    controller = component(objects, "controller")["containers"][0]
    assert "app.kubernetes.io/instance=2024," in environ(controller)["HOLDFAST_KUBERNETES__SELECTOR"]


def test_common_labels_and_annotations_are_on_every_object_and_in_no_selector(customized: list[Object]) -> None:
    """Bills and policies go by labels; a selector cannot change after the installation."""
    own = [each for each in customized if each["metadata"]["name"] != "chat-settings"]
    labels = {"team": "messaging", "cost-center": "4711"}
    for each in own:
        assert each["metadata"]["labels"].items() >= labels.items(), each["metadata"]["name"]
        assert each["metadata"]["annotations"]["example.com/owner"] == "messaging@example.com"
        assert "team" not in json.dumps(each.get("spec", {}).get("selector", {}))
    assert all(found.items() >= labels.items() for found, _ in pods(customized))


def test_annotations_of_one_object_stand_beside_the_common_ones() -> None:
    """Both are needed: the load balancer reads the one, the inventory the other."""
    objects = render(*MINIMAL, "--set", "service.annotations.lb=internal,commonAnnotations.owner=me,commonAnnotations.lb=x")
    assert only(objects, "Service")["metadata"]["annotations"] == {"lb": "internal", "owner": "me"}


def test_nodes_tolerations_and_priority_count_for_all_pods_unless_a_component_has_its_own(customized: list[Object]) -> None:
    """A cluster whose nodes are all tainted would run nothing else; `helm test` is a pod, too."""
    for labels, spec in pods(customized):
        assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
        assert [each["key"] for each in spec["tolerations"]] == ["dedicated"]
        is_redis = labels["app.kubernetes.io/component"] == "redis"
        assert spec["priorityClassName"] == ("messaging-redis" if is_redis else "messaging")
        assert spec["hostAliases"][0]["ip"] == "10.0.0.7"
        assert spec["dnsConfig"] == {"options": [{"name": "ndots", "value": "2"}]}
    assert "affinity" in component(customized, "chat")
    assert not any("affinity" in component(customized, name) for name in ("controller", "redis", "test"))


@pytest.mark.parametrize(("name", "where"), [("controller", "controller"), ("redis", "redis.inCluster")])
def test_a_component_has_a_place_of_its_own(name: str, where: str) -> None:
    """Redis beside batch jobs is slow; chat pods on spot nodes are fine."""
    affinity = '{"nodeAffinity": {"x": []}}'
    own = f"{where}.nodeSelector.pool={name},{where}.podLabels.a=b,{where}.podAnnotations.c=d,{where}.tolerations[0].key=t"
    objects = render(*MINIMAL, "--set", f"nodeSelector.pool=spot,{own}", "--set-json", f"{where}.affinity={affinity}")
    spec = component(objects, name)
    assert spec["nodeSelector"] == {"pool": name}
    assert spec["tolerations"] == [{"key": "t"}]
    assert spec["affinity"] == json.loads(affinity)
    assert component(objects, "chat")["nodeSelector"] == {"pool": "spot"}
    (template,) = [each["spec"]["template"] for each in objects if each.get("spec", {}).get("template", {}).get("spec") == spec]
    assert template["metadata"]["labels"]["a"] == "b"
    assert template["metadata"]["annotations"]["c"] == "d"


@pytest.mark.parametrize(("name", "where"), [("chat", ""), ("controller", "controller.")])
def test_own_spread_constraints_replace_the_charts_and_select_the_components_pods(name: str, where: str) -> None:
    """A constraint without a selector counts no pod at all."""
    objects = render(*MINIMAL, "--set-json", f"{where}topologySpreadConstraints={CONSTRAINT}")
    (constraint,) = component(objects, name)["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "rack"
    labels = next(found for found, spec in pods(objects) if spec == component(objects, name))
    assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
    assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == name


def test_a_spread_constraint_keeps_its_own_selector() -> None:
    """The chart adds one only where there is none."""
    own = CONSTRAINT.replace("}]", ', "labelSelector": {"matchLabels": {"a": "b"}}}]')
    (constraint,) = chat(render(*MINIMAL, "--set-json", f"topologySpreadConstraints={own}"))[0]["topologySpreadConstraints"]
    assert constraint["labelSelector"]["matchLabels"]["a"] == "b"


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("holdfast", "mirror.example.com/hub/holdfast"),
        ("chat/holdfast", "mirror.example.com/hub/chat/holdfast"),
        ("ghcr.io/chat/holdfast", "mirror.example.com/hub/chat/holdfast"),
        ("localhost:5000/holdfast", "mirror.example.com/hub/holdfast"),
        ("localhost/holdfast", "mirror.example.com/hub/holdfast"),
    ],
)
def test_a_global_registry_stands_before_every_image(image: str, wanted: str) -> None:
    """Accepted and without effect, it would fail as ErrImagePull in a cluster that reaches its mirror only."""
    shared = ("--set", "global.imageRegistry=mirror.example.com/hub,global.imagePullSecrets={one},imagePullSecrets[0].name=two")
    objects = render(*MINIMAL, *shared, "--set", f"image.repository={image},image.tag=v1,redis.inCluster.image={image}:7")
    for labels, spec in pods(objects):
        tag = "7" if labels["app.kubernetes.io/component"] == "redis" else "v1"
        assert [each["image"] for each in spec["containers"]] == [f"{wanted}:{tag}"]
        assert spec["imagePullSecrets"] == [{"name": "two"}, {"name": "one"}]


def test_values_that_other_charts_share_are_left_alone() -> None:
    """The chart may be a part of another one, whose `global` has more in it."""
    assert render(*MINIMAL, "--set", "global.storageClass=fast")


@pytest.mark.parametrize("memory", ["160Mi", "1Gi", "1.5G", "200000k", "300000000"])
def test_every_way_to_write_a_memory_limit_is_understood(memory: str) -> None:
    """Only a limit that is too small is refused, not one that is written in another unit or as a number."""
    _, container = chat(render(*MINIMAL, "--set", f"resources.limits.memory={memory}"))
    assert str(container["resources"]["limits"]["memory"]).removesuffix(".0").replace("3e+08", "300000000") == memory


def test_external_secrets_make_every_secret_that_the_pods_name() -> None:
    """A Secret or a key that is named and never made keeps pods from starting."""
    objects = rendered("external-secrets-values.yaml")
    made = {
        (each["spec"]["target"]["name"], entry["secretKey"])
        for each in of_kind(objects, "ExternalSecret")
        for entry in each["spec"]["data"]
    }
    references = {(each["name"], each["key"]) for _, spec in pods(objects) for each in secret_references(spec)}
    assert references == made
    assert not of_kind(objects, "Secret")


@pytest.mark.parametrize(("name", "container", "where"), [("chat", "holdfast", ""), ("controller", "controller", "controller.")])
def test_volumes_variables_and_containers_are_added(name: str, container: str, where: str) -> None:
    """A private authority, a Secret of a CSI driver, a proxy, a sidecar: for the controller as for chat pods."""
    added = {
        "extraVolumes": [{"name": "csi", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}}],
        "extraVolumeMounts": [{"name": "csi", "mountPath": "/mnt/secrets", "readOnly": True}],
        "envFrom": [{"secretRef": {"name": "more"}}],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "initContainers": [{"name": "before", "image": "x"}],
        "extraContainers": [{"name": "beside", "image": "x"}],
    }
    given = [part for key, value in added.items() for part in ("--set-json", f"{where}{key}={json.dumps(value)}")]
    spec = component(render(*MINIMAL, *given), name)
    (main,) = [each for each in spec["containers"] if each["name"] == container]
    assert added["extraVolumes"][0] in spec["volumes"]
    assert added["extraVolumeMounts"][0] in main["volumeMounts"]
    assert main["envFrom"] == added["envFrom"]
    assert added["extraEnv"][0] in main["env"]
    assert spec["initContainers"] == added["initContainers"]
    assert spec["containers"] == [main, *added["extraContainers"]]
    assert {each["name"] for each in main["volumeMounts"]} <= {each["name"] for each in spec["volumes"]}


def test_a_volume_of_ones_own_may_be_called_secrets() -> None:
    """Which is what many are called; the chart's own has a name that only it would take."""
    spec, _ = chat(render(*MINIMAL, "--set-json", 'extraVolumes=[{"name": "secrets", "secret": {"secretName": "mine"}}]'))
    names = [each["name"] for each in spec["volumes"]]
    assert "secrets" in names
    assert len(set(names)) == len(names)


def test_containers_of_ones_own_run_before_the_one_that_copies_code() -> None:
    """Both lists are there with `skaffold dev`, too."""
    given = ("--set", "development.sync=true", "--set-json", 'initContainers=[{"name": "before", "image": "x"}]')
    assert [each["name"] for each in chat(render(*MINIMAL, *given))[0]["initContainers"]] == ["before", "code"]


@pytest.mark.parametrize(
    ("values", "account", "is_made"),
    [
        ("create=true", "{}", True),
        ("create=true,{}name=mine", "mine", True),
        ("create=false,{}name=theirs", "theirs", False),
        ("create=false", "default", False),
    ],
)
@pytest.mark.parametrize(("name", "where"), [("chat", "serviceAccount."), ("controller", "controller.serviceAccount.")])
def test_pods_run_under_the_account_that_is_named(name: str, where: str, values: str, account: str, is_made: bool) -> None:
    """Where another team makes accounts, the chart makes none; the controller's rights go to the one that it runs under."""
    objects = render(*MINIMAL, "--set", where + values.format(where))
    wanted = account.format("holdfast" if name == "chat" else "holdfast-controller")
    assert component(objects, name)["serviceAccountName"] == wanted
    assert (wanted in {each["metadata"]["name"] for each in of_kind(objects, "ServiceAccount")}) is is_made
    if name == "controller":
        assert [each["name"] for each in only(objects, "RoleBinding", "holdfast-controller")["subjects"]] == [wanted]


def test_further_objects_are_installed_as_they_are(customized: list[Object]) -> None:
    """Braces in them are not templates of the chart: an alert has templates of its own."""
    assert only(customized, "ConfigMap", "chat-settings")["data"] == {"HOLDFAST_LIMITS__SENDS_PER_SECOND": "20"}
    rule = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "{{ $labels.pod }}"}}
    other = rule | {"metadata": {"name": "b"}}
    objects = render(*MINIMAL, "--set-json", f"extraObjects={json.dumps([rule, other])}")
    assert [each for each in objects if each["kind"] == "ConfigMap"] == [rule, other]


def test_the_ingress_has_the_path_that_its_class_wants(customized: list[Object]) -> None:
    """GCE's wants `/*`; the others are content with a prefix."""
    (path,) = only(customized, "Ingress", "chat")["spec"]["rules"][0]["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/*", "ImplementationSpecific")
    (usual,) = only(rendered("elasticache-values.yaml"), "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert (usual["path"], usual["pathType"]) == ("/", "Prefix")


@pytest.mark.parametrize(("kind", "where"), [("PodMonitor", "podMonitor"), ("ServiceMonitor", "serviceMonitor")])
def test_a_monitor_in_another_namespace_looks_into_the_releases(kind: str, where: str) -> None:
    """Without `namespaceSelector` a monitor only looks into its own."""
    values = f"monitoring.{where}.enabled=true,monitoring.{where}.namespace=monitoring,monitoring.{where}.interval=1m"
    monitor = only(render(*MINIMAL, "-n", "chat", "--set", values), kind)
    assert monitor["metadata"]["namespace"] == "monitoring"
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["chat"]}
    (endpoint,) = monitor["spec"].get("endpoints", monitor["spec"].get("podMetricsEndpoints"))
    relabelings = endpoint.pop("relabelings")
    assert endpoint == {"port": "internal", "path": "/metrics", "interval": "1m"}
    assert relabelings == [
        {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"], "targetLabel": "release"},
        {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"},
    ]


def test_a_monitor_relabels_as_told(customized: list[Object]) -> None:
    """Targets and metrics each have their list."""
    (endpoint,) = only(customized, "ServiceMonitor", "chat")["spec"]["endpoints"]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("30s", "10s")
    assert [each["targetLabel"] for each in endpoint["relabelings"]] == ["release", "instance", "node"]
    assert endpoint["metricRelabelings"][0]["action"] == "drop"


def test_scalers_take_their_pace_from_the_values(customized: list[Object]) -> None:
    """Scaling in may be switched off, and a window of zero seconds is not an empty value."""
    behavior = only(customized, "HorizontalPodAutoscaler", "chat")["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["selectPolicy"] == "Disabled"
    keda = ("--set", "autoscaling.keda.enabled=true,autoscaling.keda.prometheusAddress=http://p")
    paced = ("--set", "autoscaling.keda.behavior.scaleDown.stabilizationWindowSeconds=60")
    config = only(render(*MINIMAL, *keda, *paced), "ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    assert config["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60
