"""The chart: what every shipped set of values renders to, and that it fits Kubernetes and what the code serves."""

import base64
import hashlib
import json
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from holdfast import settings
from support.chart import (
    FILES,
    MINIMAL,
    VALUES,
    Object,
    arguments,
    chat,
    containers,
    deployment,
    environ,
    fullname,
    of_kind,
    only,
    pods,
    rendered,
    secret_files,
)
from support.custom_resources import CUSTOM_RESOURCES
from support.helm import CHART, ROOT, helm, render

KUBERNETES = "1.34"
SUPPORTED = ("1.30", "1.31", "1.32", "1.33", KUBERNETES)  # `preStop.sleep` is there from 1.30 on


@pytest.fixture(params=VALUES)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """Everything that a set of values renders to."""
    return rendered(request.param)


@pytest.mark.parametrize("name", VALUES)
def test_it_lints(name: str) -> None:
    """Strictly."""
    done = helm("lint", "--strict", "--kube-version", f"{KUBERNETES}.0", str(CHART), *arguments(name))
    assert done.returncode == 0, done.stdout


def test_every_object_is_what_kubernetes_takes(objects: list[Object]) -> None:
    """Unknown fields included: the API server would drop them in silence. Custom resources against what their operators say."""
    for each in objects:
        if each["apiVersion"] in CUSTOM_RESOURCES:
            jsonschema.validate(each, CUSTOM_RESOURCES[each["apiVersion"]][each["kind"]])
        else:
            for version in SUPPORTED:
                kubernetes_validate.validate(each, version, strict=True)


def test_a_misspelt_field_would_be_noticed(objects: list[Object]) -> None:
    """The test above can fail."""
    misspelt = deployment(objects)
    misspelt["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, KUBERNETES, strict=True)


def test_every_template_renders_something_somewhere() -> None:
    """A template that no set of values reaches has never been rendered."""
    templates = {str(path.relative_to(CHART)) for path in (CHART / "templates").rglob("*.yaml")}
    seen = set()
    for name in VALUES:
        done = helm("template", "holdfast", str(CHART), "--kube-version", f"{KUBERNETES}.0", *arguments(name))
        seen |= {line.removeprefix("# Source: holdfast/") for line in done.stdout.splitlines() if line.startswith("# Source: ")}
    assert templates == seen


def test_every_object_is_named_labelled_and_there_once(objects: list[Object]) -> None:
    """Two objects of one name would overwrite each other."""
    names = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert all(name.startswith(fullname(objects)) for _, _, name in names)
    assert all(each["metadata"]["labels"]["app.kubernetes.io/instance"] == "holdfast" for each in objects)


def test_two_releases_in_one_namespace_do_not_meet() -> None:
    """Neither names nor selectors."""
    one, other = render(*MINIMAL, release="one"), render(*MINIMAL, release="other")
    assert not {(each["kind"], each["metadata"]["name"]) for each in one} & {(e["kind"], e["metadata"]["name"]) for e in other}
    wanted = only(one, "Service", "one-holdfast")["spec"]["selector"]
    assert not any(wanted.items() <= labels.items() for labels, _ in pods(other))


def test_selectors_select_pods_of_the_release(objects: list[Object]) -> None:
    """A selector that matches nothing fails silently."""
    labels = [each for each, _ in pods(objects)]
    for each in objects:
        spec = each.get("spec", {})
        selectors: dict[str, Any] = {
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
            assert len([have for have in labels if wanted.items() <= have.items()]) == 1, each["metadata"]
        if each["kind"] == "ServiceMonitor":
            services = of_kind(objects, "Service")
            (one,) = [o for o in services if spec["selector"]["matchLabels"].items() <= o["metadata"]["labels"].items()]
            assert spec["endpoints"][0]["port"] in {port["name"] for port in one["spec"]["ports"]}


def test_probes_ports_and_services_are_what_the_code_serves(objects: list[Object]) -> None:
    """The paths exist, on the ports that the settings name."""
    _, container = chat(objects)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    told = settings.load(environ(container)).http
    assert ports == {"http": told.port, "internal": told.effective_internal_port}
    served = (ROOT / "service" / "holdfast" / "web" / "probes.py").read_text()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        call = container[probe]["httpGet"]
        assert call["port"] == "internal"
        assert f'"{call["path"]}"' in served
    for service in of_kind(objects, "Service"):
        if "redis" not in service["metadata"]["name"]:
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()


def test_probes_wait_as_long_as_they_should() -> None:
    """Liveness forgives a minute of a busy loop; readiness does not."""
    _, container = chat(render(*MINIMAL))
    values = {
        name: {key: value for key, value in container[name].items() if key != "httpGet"}
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert values == {
        "startupProbe": {"initialDelaySeconds": 5, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "readinessProbe": {"initialDelaySeconds": 7, "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 2},
    }


def test_the_environment_is_one_that_an_instance_starts_with(objects: list[Object]) -> None:
    """An unknown or wrong variable ends the start with one line: here it ends the test."""
    _, container = chat(objects)
    loaded = settings.load(environ(container))
    assert loaded.instance_id
    assert loaded.store.url
    names = [each["name"] for each in container["env"]]
    assert len(set(names)) == len(names)
    (instance_id,) = [each for each in container["env"] if each["name"] == "INSTANCE_ID"]
    assert instance_id["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_every_value_arrives() -> None:
    """The process is configured with exactly the values that are set."""
    told = {
        "presence.graceSeconds=7": ("presence", "grace_seconds", 7.0),
        "drain.windowSeconds=33": ("drain", "window_seconds", 33.0),
        "drain.flushSeconds=4": ("drain", "flush_seconds", 4.0),
        "limits.connections=123456": ("limits", "connections", 123456),
        "log.level=debug": ("log", "level", "debug"),
        "log.format=text": ("log", "format", "text"),
        "allowedOrigins={https://a.example,https://b.example}": (
            "http",
            "allowed_origins",
            ("https://a.example", "https://b.example"),
        ),
        "trustedProxies={10.0.0.0/8}": ("http", "trusted_proxies", ("10.0.0.0/8",)),
        "readiness.onRedisLoss=isolate": ("readiness", "on_redis_loss", "isolate"),
        "readiness.onRedisLoss=unready": ("readiness", "on_redis_loss", "unready"),
        "firestore.database=chat": ("store", "url", "firestore://p/chat"),
    }
    for value, (group, name, wanted) in told.items():
        _, container = chat(render(*MINIMAL, "--set", value))
        assert getattr(getattr(settings.load(environ(container)), group), name) == wanted, value


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ("redis.inCluster.enabled=true", "redis://holdfast@holdfast-redis:6379/0"),
        ("redis.inCluster.enabled=false,redis.url=rediss://h:6380/1", "rediss://h:6380/1"),
        ("redis.inCluster.enabled=false,redis.host=h", "redis://h:6379/0"),
        ("redis.inCluster.enabled=false,redis.host=h,redis.tls=true,redis.port=6380,redis.username=u", "rediss://u@h:6380/0"),
        (
            r"redis.inCluster.enabled=false,redis.sentinel.nodes={a:26379,b:26379},redis.sentinel.service=m,redis.database=2",
            "sentinel://a:26379,b:26379/m/2",
        ),
    ],
)
def test_redis_by_its_url_or_its_parts(values: str, url: str) -> None:
    """However it is named."""
    _, container = chat(render(*MINIMAL, "--set", values))
    assert settings.load(environ(container)).redis.url == url


def test_secrets_are_never_in_the_deployment(objects: list[Object]) -> None:
    """A user with access to Deployments may have none to Secrets."""
    text = json.dumps([each for each in objects if each["kind"] != "Secret"])
    for values in (CHART / "ci").glob("*-values.yaml"):
        secret = yaml.safe_load(values.read_text()).get("auth", {}).get("secret")
        assert not secret or secret not in text
    for _, spec in pods(objects):
        for container in containers(spec):
            for each in container.get("env", ()):
                if each["name"].endswith(("SECRET", "PASSWORD")):
                    assert "secretKeyRef" in each["valueFrom"]


def test_the_secrets_of_instances_are_files_that_their_own_variables_name(objects: list[Object]) -> None:
    """A variable is inherited by every process that is started, and shown where the environment is dumped."""
    for labels, spec in pods(objects):
        if labels["app.kubernetes.io/component"] == "redis":
            continue  # its image takes passwords from its arguments
        (container,) = [
            each for each in spec["containers"] if each["name"] in ("holdfast", "controller", "probe", "conversation")
        ]
        variables = {each["name"]: each for each in container.get("env", ())}
        assert not [name for name, each in variables.items() if "secretKeyRef" in each.get("valueFrom", {})]
        named = {name.removesuffix("_FILE"): each["value"] for name, each in variables.items() if name.endswith("_FILE")}
        mounts = {each["mountPath"] + "/" for each in container.get("volumeMounts", ())}
        own = {name: value for name, value in named.items() if value.startswith(FILES)}
        assert own == {name: FILES + name for name in secret_files(spec)}
        assert FILES in mounts or not own


def test_the_redis_of_the_release_wants_the_password_that_instances_are_told() -> None:
    """A password on one side only is an outage."""
    for values, secret in (((), "holdfast-redis-auth"), (("--set", "redis.existingSecret=pw"), "pw")):
        objects = render(*MINIMAL, *values)
        (redis,) = only(objects, "StatefulSet", "holdfast-redis")["spec"]["template"]["spec"]["containers"]
        told = {"name": "HOLDFAST_REDIS__PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}}
        assert told in redis["env"]
        controller = only(objects, "Deployment", "holdfast-controller")["spec"]["template"]["spec"]
        for spec in (controller, chat(objects)[0]):
            assert secret_files(spec)["HOLDFAST_REDIS__PASSWORD"] == {"name": secret, "key": "password", "optional": False}


def secrets(*values: str) -> dict[str, dict[str, str]]:
    """The data of each Secret that is rendered, by name."""
    objects = render(*MINIMAL, *(("--set", ",".join(values)) if values else ()))
    return {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "Secret")}


def test_what_is_not_named_is_made_and_random() -> None:
    """Nothing has to be invented by hand, and no two releases share it."""
    made = [secrets("bus.signed=true") for _ in range(2)]
    assert {name: list(data) for name, data in made[0].items()} == {
        "holdfast-redis-auth": ["password"],
        "holdfast-redis-operator": ["password"],
        "holdfast-bus-auth": ["secret"],
    }
    values = [base64.b64decode(value) for each in made for data in each.values() for value in data.values()]
    assert len(set(values)) == 6
    assert min(map(len, values)) >= 32


def annotations(kind: str, name: str, *values: str) -> Object:
    """Those of its pods."""
    found: Object = only(render(*MINIMAL, *values), kind, name)["spec"]["template"]["metadata"].get("annotations", {})
    return found


def test_pods_follow_a_secret_of_the_chart_that_changes() -> None:
    """`helm rollback` across a rotation puts the old password into the Secret: Redis has to be started again with it."""
    objects = render(*MINIMAL, "--set", "bus.signed=true")
    data = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "Secret")}
    passwords = f"{data['holdfast-redis-auth']['password']} {data['holdfast-redis-operator']['password']}"
    bus = data["holdfast-bus-auth"]["secret"]
    for kind, name, key, value in (
        ("StatefulSet", "holdfast-redis", "checksum/passwords", passwords),
        ("Deployment", "holdfast", "checksum/bus", bus),
    ):
        told = only(objects, kind, name)["spec"]["template"]["metadata"]["annotations"]
        assert told[key] == hashlib.sha256(value.encode()).hexdigest()
    own = ("--set", "redis.existingSecret=a,redis.inCluster.operatorSecret=b,bus.existingSecret=c")
    assert not annotations("StatefulSet", "holdfast-redis", *own)
    assert "checksum/bus" not in annotations("Deployment", "holdfast", *own)


def test_a_secret_that_is_named_is_not_made() -> None:
    """Rendered without a cluster, by Argo CD for one, nothing is random then: the same objects each time."""
    named = "redis.existingSecret=a,redis.inCluster.operatorSecret=b,bus.existingSecret=c,environment=production"
    assert not secrets(named)
    assert render(*MINIMAL, "--set", named) == render(*MINIMAL, "--set", named)
    own = "environment=production,extraEnv[0].name=HOLDFAST_BUS__SECRET,extraEnv[0].value=x"
    assert "holdfast-bus-auth" not in secrets(own)
    assert not secrets("redis.inCluster.enabled=false,redis.host=h")


@pytest.mark.parametrize(
    ("values", "secret"),
    [
        ("", ""),
        ("bus=null", ""),
        ("bus.signed=true", "holdfast-bus-auth"),
        ("bus.existingSecret=mine", "mine"),
        ("environment=production", "holdfast-bus-auth"),
        ("environment=production,bus=null", "holdfast-bus-auth"),
    ],
)
def test_pods_sign_in_production_or_where_it_is_asked_for(values: str, secret: str) -> None:
    """By default not: each connecting client then costs reads of the store. `bus=null`: a value kept from an older chart."""
    objects = render(*MINIMAL, *(("--set", values) if values else ()))
    found = {
        labels["app.kubernetes.io/component"]: secret_files(spec).get("HOLDFAST_BUS__SECRET") for labels, spec in pods(objects)
    }
    signing = {name: reference["name"] for name, reference in found.items() if reference is not None}
    assert signing == ({"chat": secret} if secret else {})


def test_a_fleet_that_begins_to_sign_believes_both_during_the_upgrade() -> None:
    """Its old pods sign nothing yet."""
    for values, accepts in (("bus.signed=true", None), ("bus.signed=true,bus.acceptUnsigned=true", "true")):
        assert environ(chat(render(*MINIMAL, "--set", values))[1]).get("HOLDFAST_BUS__ACCEPT_UNSIGNED") == accepts


def test_catalogues_of_charts_are_told_the_images_that_are_run() -> None:
    """They look for known weaknesses in these; the icon is in the chart itself, and fetched from nowhere."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {each["image"] for each in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
    assert told == {container["image"] for _, spec in pods(render(*MINIMAL)) for container in containers(spec)}
    assert chart["icon"].startswith("data:image/svg+xml;base64,")
    assert chart["maintainers"]


def test_an_image_can_be_pinned_by_its_digest() -> None:
    """A tag can be moved."""
    digest = f"sha256:{'a' * 64}"
    _, container = chat(render(*MINIMAL, "--set", f"image.digest={digest},image.tag=1.2"))
    assert container["image"] == f"holdfast:1.2@{digest}"
