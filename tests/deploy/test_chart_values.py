"""What the chart refuses, with which words; that its schema, its values and its page say the same."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from support.chart import MINIMAL, VALUES
from support.helm import CHART, helm
from support.values_page import commented, page

OUTSIDE = (*MINIMAL, "--set", "redis.inCluster.enabled=false")
KEDA = "autoscaling.keda.enabled=true,autoscaling.keda.prometheusAddress=http://p"

REFUSALS = {
    "firestore.project: name the project": ("--set", "auth.existingSecret=s"),
    "demo.enabled: a demo keeps nothing in Firestore": (*MINIMAL, "--set", "demo.enabled=true"),
    "auth: set auth.secret": ("--set", "firestore.project=p"),
    "auth: a secret or auth.jwksUrl, not both": (*MINIMAL, "--set", "auth.jwksUrl=https://x"),
    "auth: auth.secret or auth.existingSecret, not both": (*MINIMAL, "--set", f"auth.secret={'x' * 32}"),
    "auth.secret: at least 32 bytes": ("--set", "firestore.project=p,auth.secret=short"),
    "auth.jwksUrl: the keys of tokens come by https://": (
        "--set",
        "firestore.project=p,auth.jwksUrl=http://localhost.example.com/keys",
    ),
    "auth.jwksAllowHttp: the keys of tokens come by https:// in environment: production": (
        "--set",
        "environment=production,firestore.project=p,auth.jwksUrl=http://keycloak.auth.svc:8080/keys,auth.jwksAllowHttp=true",
    ),
    "probe.tokensSecret: with auth.jwksUrl the probe cannot sign": (
        *("--set", "firestore.project=p,auth.jwksUrl=https://x"),
        *("--set", "probe.enabled=true"),
    ),
    "redis: name one Redis": OUTSIDE,
    "redis: name one Redis: redis.url": (*OUTSIDE, "--set", "redis.url=redis://x,redis.host=y"),
    "redis: a Redis outside and one in the cluster": (*MINIMAL, "--set", "redis.url=redis://x:6379"),
    "redis.sentinel.service: the name": (*OUTSIDE, "--set", "redis.sentinel.nodes={a:1}"),
    "redis.caSecret: there is nothing to trust without TLS": (*OUTSIDE, "--set", "redis.host=h,redis.caSecret=ca"),
    "redis.url: no password in it": (*OUTSIDE, "--set", "redis.url=redis://:secret@h"),
    "terminationGracePeriodSeconds: 30 is less than preStop + window + flush + 15 = 90": (
        *(*MINIMAL, "--set"),
        "terminationGracePeriodSeconds=30",
    ),
    "firestore.emulatorHost: the emulator keeps nothing": (
        *(*MINIMAL, "--set"),
        "environment=production,firestore.emulatorHost=h:1",
    ),
    "demo.enabled: a store that ends with its pod": (
        "--set",
        f"environment=production,demo.enabled=true,auth.secret={'x' * 32}",
    ),
    "development.sync: code that can be written to": (*MINIMAL, "--set", "environment=production,development.sync=true"),
    "bus.acceptUnsigned: nothing is signed here": (*MINIMAL, "--set", "bus.acceptUnsigned=true"),
    "redis.tls: a Redis outside is reached by TLS": (
        *OUTSIDE,
        "--set",
        "environment=production,redis.url=redis://h:6379,redis.existingSecret=s",
    ),
    "redis.existingSecret: a Redis outside has a password": (
        *OUTSIDE,
        "--set",
        "environment=production,redis.host=h,redis.tls=true",
    ),
    "push.webhookUrl: notifications are sent by https://": (
        *MINIMAL,
        "--set",
        "environment=production,push.webhookUrl=http://push.example.com,push.existingSecret=s",
    ),
    "autoscaling: HPA or KEDA, not both": (*MINIMAL, "--set", f"autoscaling.hpa.enabled=true,{KEDA}"),
    "autoscaling.keda.prometheusAddress: where KEDA asks": (*MINIMAL, "--set", "autoscaling.keda.enabled=true"),
    "autoscaling.hpa: minReplicas 30 is more than maxReplicas 10": (
        *(*MINIMAL, "--set"),
        "autoscaling.hpa.enabled=true,autoscaling.hpa.minReplicas=30",
    ),
    "autoscaling.keda.connectionsPerPod: 12000 is more than 70 % of limits.connections = 15000": (
        *(*MINIMAL, "--set"),
        f"{KEDA},limits.connections=15000",
    ),
    "autoscaling.hpa: a demo is one pod": (
        "--set",
        f"demo.enabled=true,auth.secret={'x' * 32},autoscaling.hpa.enabled=true",
    ),
    "resources.limits.memory: 128Mi is less than 160Mi: an idle pod uses 105 MB": (
        *(*MINIMAL, "--set"),
        "resources.limits.memory=128Mi",
    ),
    "controller.resources.limits.memory: 100M is less than 128Mi": (*MINIMAL, "--set", "controller.resources.limits.memory=100M"),
    "redis.inCluster.maxMemory: 512mb is not below resources.limits.memory = 512Mi": (
        *(*MINIMAL, "--set"),
        "redis.inCluster.maxMemory=512mb",
    ),
    "autoscaling.hpa.cpuPerPod: 1000m is never exceeded: an instance uses one CPU": (
        *(*MINIMAL, "--set"),
        "autoscaling.hpa.enabled=true,autoscaling.hpa.cpuPerPod=1000m",
    ),
    "autoscaling.hpa.cpuPerPod: 700m is never exceeded below resources.limits.cpu = 500m": (
        *(*MINIMAL, "--set"),
        "autoscaling.hpa.enabled=true,resources.limits.cpu=500m",
    ),
    "push.existingSecret: a webhook needs the secret": (*MINIMAL, "--set", "push.webhookUrl=https://x"),
    "ingress.hosts: name one host at least": (*MINIMAL, "--set", "ingress.enabled=true"),
    "gateway.parentRefs: name one Gateway at least": (*MINIMAL, "--set", "gateway.enabled=true"),
    "monitoring.runbookUrl: where you publish docs/runbooks": (*MINIMAL, "--set", "monitoring.dashboards.enabled=true"),
    "monitoring.grafanaUrl: your Grafana": (*MINIMAL, "--set", "monitoring.rules.enabled=true,monitoring.runbookUrl=https://x"),
    "service.nodePort: needs service.type: NodePort": (*MINIMAL, "--set", "service.nodePort=30080"),
    "extraEnv: HOLDFAST_DRAIN__WINDOW_SECONDS has a value of its own": (
        *(*MINIMAL, "--set"),
        "extraEnv[0].name=HOLDFAST_DRAIN__WINDOW_SECONDS,extraEnv[0].value=x",
    ),
    "extraEnv: HOLDFAST_REDIS__URL has a value of its own": (
        *MINIMAL,
        "--set",
        "controller.extraEnv[0].name=HOLDFAST_REDIS__URL",
    ),
    "extraEnv: HOLDFAST_PUSH__WEBHOOK_SECRET: pods have it as a file of the Secret hook (key secret)": (
        *(*MINIMAL, "--set", "push.webhookUrl=https://x,push.existingSecret=hook"),
        *("--set", "extraEnv[0].name=HOLDFAST_PUSH__WEBHOOK_SECRET"),
    ),
    "bus: bus.existingSecret or HOLDFAST_BUS__SECRET in extraEnv, not both": (
        *(*MINIMAL, "--set"),
        "bus.existingSecret=s,extraEnv[0].name=HOLDFAST_BUS__SECRET",
    ),
    "extraVolumes: the name tmp is the chart's own": (*MINIMAL, "--set-json", 'extraVolumes=[{"name": "tmp", "emptyDir": {}}]'),
    "extraContainers: the name holdfast is the chart's own": (
        *(*MINIMAL, "--set-json"),
        'extraContainers=[{"name": "holdfast", "image": "x"}]',
    ),
    # Of the schema, in Helm's words: the value and what is wrong with it.
    "additional properties 'replicaCont' not allowed": (*MINIMAL, "--set", "replicaCont=5"),
    "additional properties 'encrypt' not allowed": (*MINIMAL, "--set", "redis.encrypt=true"),
    "additional properties 'url' not allowed": (*MINIMAL, "--set", "probe.url=https://x"),
    "/probe/urls": (*MINIMAL, "--set", "probe.urls={chat.example.com}"),
    "/probe/users": (*MINIMAL, "--set", "probe.users={one}"),
    "/replicaCount": (*MINIMAL, "--set", "replicaCount=none"),
    "/maxSurge": (*MINIMAL, "--set", "maxSurge=quarter"),
    "/redis/url": (*MINIMAL, "--set", "redis.url=http://x"),
    "/readiness/onRedisLoss": (*MINIMAL, "--set", "readiness.onRedisLoss=never"),
    "additional properties 'cpuPercent' not allowed": (*MINIMAL, "--set", "autoscaling.hpa.cpuPercent=70"),
    "/resources/limits/memory": (*MINIMAL, "--set", "resources.limits.memory=much"),
    "/global/imageRegistry": (*MINIMAL, "--set", "global.imageRegistry=https://mirror/"),
    "/commonLabels": (*MINIMAL, "--set", r"commonLabels.app\.kubernetes\.io/component=x"),
    "/fullnameOverride": (*MINIMAL, "--set", "fullnameOverride=Chat"),
    "additional properties 'topology' not allowed": (*MINIMAL, "--set-json", 'topologySpreadConstraints=[{"topology": "zone"}]'),
    "/monitoring/podMonitor/interval": (*MINIMAL, "--set", "monitoring.podMonitor.interval=often"),
    "/ingress/pathType": (*MINIMAL, "--set", "ingress.pathType=Suffix"),
    "missing property 'limits'": (*MINIMAL, "--set", "resources.limits=null"),
}


@pytest.mark.parametrize("told", REFUSALS)
def test_values_that_cannot_work_are_refused_with_a_reason(told: str) -> None:
    """At `helm install`, not at three in the morning."""
    done = helm("template", "holdfast", str(CHART), "--kube-version", "1.34.0", *REFUSALS[told])
    assert done.returncode != 0
    assert told in done.stderr


def test_keys_by_http_are_taken_where_the_values_say_so() -> None:
    """An identity provider in the same cluster, behind a service mesh, has no certificate of its own."""
    url = "http://keycloak.auth.svc:8080/keys"
    values = f"firestore.project=p,auth.jwksUrl={url},auth.jwksAllowHttp=true"
    done = helm("template", "holdfast", str(CHART), "--kube-version", "1.34.0", "--set", values)
    assert done.returncode == 0, done.stderr
    assert f'name: HOLDFAST_AUTH__JWKS_URL, value: "{url}"' in done.stdout
    assert 'name: HOLDFAST_AUTH__JWKS_ALLOW_HTTP, value: "true"' in done.stdout


def test_every_reason_that_the_chart_knows_is_shown_here() -> None:
    """A check that has never refused anything may be without effect."""
    reasons = (CHART / "templates" / "_check.tpl").read_text().count("fail ")
    shown = len([told for told in REFUSALS if ": " in told]) - 2  # two of them are shown twice
    assert reasons == shown + 1, "another one is shown in test_chart_odd_values.py: it needs another release"


def test_an_older_kubernetes_is_refused() -> None:
    """`preStop.sleep` is native from 1.30 on; before, the pods would not wait for their edges."""
    done = helm("template", "holdfast", str(CHART), "--kube-version", "1.29.0", *MINIMAL)
    assert done.returncode != 0
    assert "incompatible with Kubernetes" in done.stderr


def test_the_schema_knows_every_value_and_no_other() -> None:
    """`additionalProperties: false` all the way down, so that a typing error is an error."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)

    def compare(part: dict[str, Any], where: dict[str, Any], path: str) -> None:
        if "description" in where:  # one value, whatever it may hold
            return
        assert set(part) == set(where["properties"]), path
        for name, value in part.items():
            compare(value, where["properties"][name], f"{path}.{name}")

    compare(values, schema, "values")


def test_every_object_that_the_schema_describes_is_closed() -> None:
    """A misspelt field inside a constraint, a mount or a relabeling would otherwise be dropped or refused much later."""

    # With charts that this one may be a part of.
    shared = ("schema.properties.global", "schema.properties.global.properties.compatibility")

    def check(part: Any, path: str) -> None:
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object":
                assert path in shared or part["additionalProperties"] is False, path
            for name, value in part.items():
                check(value, f"{path}.{name}")

    check(json.loads((CHART / "values.schema.json").read_text()), "schema")


def test_every_value_is_described_on_the_charts_page() -> None:
    """`make manifests` writes it again."""
    assert (CHART / "README.md").read_text() == page()


def test_every_value_is_described_where_it_is_set() -> None:
    """`helm show values` prints `values.yaml`; `make manifests` writes its comments again."""
    assert (CHART / "values.yaml").read_text() == commented()


def test_the_examples_are_the_ones_that_people_look_for() -> None:
    """Each of them is linted, rendered and judged by the tests beside this one."""
    assert {name.removesuffix("-values.yaml") for name in VALUES} == {
        *(
            "minimal",
            "redis",
            "elasticache",
            "sentinel",
            "gateway",
            "hpa",
            "keda",
            "local",
            "cluster",
            "customized",
            "external-secrets",
            "elasticache-iam",
        ),
    }
