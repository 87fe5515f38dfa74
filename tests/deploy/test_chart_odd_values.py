"""Values that are legal and unusual: what the chart renders from them is what Kubernetes takes, or the chart says why not."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from support.chart import MINIMAL, of_kind
from support.helm import CHART, helm, render

NO_RANDOM = "redis.existingSecret=pods,redis.inCluster.operatorSecret=operators"  # else each rendering has other passwords
SECRETS = (
    "auth.existingSecret=0123,redis.existingSecret=1e3,redis.inCluster.operatorSecret=12,bus.existingSecret=0x1f",
    "push.existingSecret=33,firestore.credentialsSecret=44,probe.tokensSecret=1,imagePullSecrets[0].name=77",
    "global.imagePullSecrets[0]=78,priorityClassName=55,ingress.className=66",
    "networkPolicy.monitoringNamespace=9,networkPolicy.ingressNamespace=8,push.webhookUrl=https://push.example.com",
)
MONITORS = "monitoring.podMonitor.enabled=true,monitoring.serviceMonitor.enabled=true"


def empty_values() -> dict[str, Any]:
    """All values that are empty by default, without a value: as in a file in which everything below a name is a comment."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def emptied(part: dict[str, Any], where: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in part.items():
            described = where["properties"][name]
            if isinstance(value, dict) and "description" not in described:
                found[name] = emptied(value, described)
            elif value in ("", [], {}):
                found[name] = None
        return {name: value for name, value in found.items() if value != {}}

    return emptied(values, schema)


def test_names_without_a_value_mean_the_default(tmp_path: Path) -> None:
    """`extraEnv:` with nothing but comments below it is null for Helm, and ended in a nil pointer of a template."""
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(empty_values()))
    assert render("-f", str(path), *MINIMAL, "--set", NO_RANDOM) == render(*MINIMAL, "--set", NO_RANDOM)


def test_names_of_digits_stay_texts() -> None:
    """Namespaces and Secrets may be numbers of tenants; unquoted, the API server refuses them after half of the objects."""
    switches = f"firestore.project=p,probe.enabled=true,ingress.enabled=true,ingress.hosts[0]=chat.example.com,{MONITORS}"
    objects = render(*(word for part in SECRETS for word in ("--set-string", part)), "--set", switches, "--namespace", "0815")
    monitors = [*of_kind(objects, "PodMonitor"), *of_kind(objects, "ServiceMonitor")]
    assert monitors
    for each in objects:
        if each not in monitors:
            kubernetes_validate.validate(each, "1.34", strict=True)
    assert {name for each in monitors for name in each["spec"]["namespaceSelector"]["matchNames"]} == {"0815"}


@pytest.mark.parametrize("release", ["1chat", "team.chat"])
def test_release_that_no_service_can_be_named_after_is_refused(release: str) -> None:
    """Helm takes such a name, and the API server refuses the Services when the other objects are there already."""
    done = helm("template", release, str(CHART), "--kube-version", "1.34.0", *MINIMAL)
    assert done.returncode != 0
    assert f"fullnameOverride: Kubernetes takes no Service named {release}-holdfast" in done.stderr
    assert render(*MINIMAL, "--set", "fullnameOverride=chat", release=release)


@pytest.mark.parametrize("value", ["maxSurge=0%", "commonLabels.team=not a label", "podLabels.team=-"])
def test_value_that_the_api_server_refuses_is_refused_before(value: str) -> None:
    """At `helm install`, with the name of the value."""
    done = helm("template", "holdfast", str(CHART), "--kube-version", "1.34.0", *MINIMAL, "--set-string", value)
    assert done.returncode != 0
    assert value.split("=")[0].split(".")[0] in done.stderr
