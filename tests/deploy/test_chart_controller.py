"""The controller in the chart: watched by probes and by Prometheus, found by no selector but its own."""

import pytest

from holdfast import settings
from support.chart import MINIMAL, Object, environ, of_kind, only, pods
from support.helm import render


def container(objects: list[Object]) -> Object:
    """The controller's own."""
    found: Object
    (found,) = only(objects, "Deployment", "holdfast-controller")["spec"]["template"]["spec"]["containers"]
    return found


def test_a_controller_that_hangs_is_restarted() -> None:
    """Nothing else notices: the lease passes to the other one, and the next hang finds no controller at all."""
    found = container(render(*MINIMAL))
    port = settings.load(environ(found)).kubernetes.metrics_port
    assert found["ports"] == [{"name": "internal", "containerPort": port}]
    assert found["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "internal"}
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "internal"}
    for probe in (found["livenessProbe"], found["readinessProbe"]):
        assert probe["initialDelaySeconds"] > 0, "a pod that is asked too early leaves a Warning Event"


@pytest.mark.parametrize(
    ("kind", "where", "endpoints"),
    [("ServiceMonitor", "serviceMonitor", "endpoints"), ("PodMonitor", "podMonitor", "podMetricsEndpoints")],
)
def test_prometheus_finds_it(kind: str, where: str, endpoints: str) -> None:
    """With the same pace and labels as the instances; of the instances' monitor it is no part."""
    objects = render(*MINIMAL, "--set", f"monitoring.{where}.enabled=true,monitoring.{where}.labels.a=b")
    monitor, of_instances = (only(objects, kind, name) for name in ("holdfast-controller", "holdfast"))
    assert monitor["metadata"]["labels"]["a"] == "b"
    assert monitor["spec"][endpoints] == of_instances["spec"][endpoints]
    services = [each["metadata"]["labels"] for each in of_kind(objects, "Service")]
    found = services if kind == "ServiceMonitor" else [labels for labels, _ in pods(objects)]
    own, theirs = ([each for each in found if _selects(one, each)] for one in (monitor, of_instances))
    assert [each["app.kubernetes.io/component"] for each in own] == ["controller"]
    assert own[0] not in theirs


def _selects(monitor: Object, labels: dict[str, str]) -> bool:
    return bool(monitor["spec"]["selector"]["matchLabels"].items() <= labels.items())


def test_without_the_controller_there_is_nothing_of_it() -> None:
    """No monitor of pods that do not exist, no Service."""
    switched_on = ("monitoring.podMonitor", "monitoring.serviceMonitor", "networkPolicy")
    objects = render(*MINIMAL, "--set", ",".join(("controller.enabled=false", *(f"{each}.enabled=true" for each in switched_on))))
    assert not [each for each in objects if "controller" in each["metadata"]["name"]]


def test_its_service_selects_controllers_alone() -> None:
    """Clients must not be sent to it, and metrics of instances are none of its own."""
    objects = render(*MINIMAL)
    service = only(objects, "Service", "holdfast-controller")
    selected = [labels for labels, _ in pods(objects) if service["spec"]["selector"].items() <= labels.items()]
    assert [labels["app.kubernetes.io/component"] for labels in selected] == ["controller"]
    assert service["spec"]["publishNotReadyAddresses"] is True, "one that is not ready is the one to look at"
