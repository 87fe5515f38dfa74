"""The probe in the chart: off unless asked for, one pod, with settings that the command takes."""

import pytest

from holdfast import settings
from holdfast.cli.probe import _plan
from support.chart import MINIMAL, Object, environ, of_kind, only, pods
from support.helm import render
from support.network import EDGE, OUTSIDE, PROMETHEUS, Network

ENABLED = ("--set", "probe.enabled=true")


def probe(*values: str) -> tuple[Object, Object]:
    """(pod, container) of the probe."""
    spec = only(render(*MINIMAL, *ENABLED, *values), "Deployment", "holdfast-probe")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


def test_there_is_none_unless_it_is_asked_for() -> None:
    """It writes into the store all the time: that is for the operator to decide."""
    assert not [each for each in render(*MINIMAL) if "probe" in each["metadata"]["name"]]


def test_there_is_one_at_a_time() -> None:
    """Two would be the same two users."""
    deployment = only(render(*MINIMAL, *ENABLED), "Deployment", "holdfast-probe")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_no_other_selector_takes_the_probe_for_its_own() -> None:
    """The Service would send clients to it."""
    objects = render(*MINIMAL, *ENABLED, "--set", "networkPolicy.enabled=true,monitoring.serviceMonitor.enabled=true")
    labels = next(found for found, _ in pods(objects) if found["app.kubernetes.io/component"] == "probe")
    for each in of_kind(objects, "Service"):
        is_its_own = each["metadata"]["name"] == "holdfast-probe"
        assert (each["spec"]["selector"].items() <= labels.items()) is is_its_own


def test_the_command_takes_its_environment() -> None:
    """Without an address of its own, it talks to the Service of the release."""
    _, container = probe("--set", "service.port=8080,probe.roundSeconds=120", "--set-json", "probe.intervalSeconds=0.5")
    loaded = settings.load(environ(container))
    plan = _plan(loaded.probe)
    assert (plan.urls, plan.users) == (("http://holdfast:8080",), ("probe-1", "probe-2"))
    assert (plan.interval_seconds, plan.round_seconds) == (0.5, 120)
    assert loaded.auth.secret is not None
    assert container["ports"] == [{"name": "internal", "containerPort": loaded.probe.port}]


def test_the_public_address_and_the_users_are_told() -> None:
    """Through the edge is what users come through."""
    _, container = probe("--set", "probe.urls={https://a.example,https://b.example},probe.users={one,two}")
    plan = _plan(settings.load(environ(container)).probe)
    assert (plan.urls, plan.users) == (("https://a.example", "https://b.example"), ("one", "two"))


def test_tokens_of_an_identity_provider_are_files_of_their_secret() -> None:
    """Nothing that signs tokens is given to the probe then."""
    spec, container = probe("--set", "probe.tokensSecret=tokens")
    told = environ(container)
    assert settings.load(told).probe.token_files == ("/etc/holdfast/probe/first", "/etc/holdfast/probe/second")
    assert not [name for name in told if "AUTH" in name]
    assert spec["volumes"] == [{"name": "probe-tokens", "secret": {"secretName": "tokens"}}]
    assert container["volumeMounts"] == [{"name": "probe-tokens", "mountPath": "/etc/holdfast/probe", "readOnly": True}]


@pytest.mark.parametrize(
    ("kind", "where", "endpoints"),
    [("ServiceMonitor", "serviceMonitor", "endpoints"), ("PodMonitor", "podMonitor", "podMetricsEndpoints")],
)
def test_prometheus_finds_it(kind: str, where: str, endpoints: str) -> None:
    """With the same pace and labels as the instances."""
    values = f"monitoring.{where}.enabled=true,monitoring.{where}.labels.a=b,monitoring.{where}.interval=20s"
    objects = render(*MINIMAL, *ENABLED, "--set", values)
    monitor, of_instances = (only(objects, kind, name) for name in ("holdfast-probe", "holdfast"))
    assert monitor["metadata"]["labels"]["a"] == "b"
    assert monitor["spec"][endpoints] == of_instances["spec"][endpoints]
    assert monitor["spec"]["selector"] != of_instances["spec"]["selector"]


def test_the_network_lets_it_through_to_instances_and_the_public_address_alone() -> None:
    """It needs neither Redis nor the store."""
    network = Network("probe.enabled=true", "networkPolicy.ingressNamespace=edge", "networkPolicy.monitoringNamespace=monitoring")
    chat, redis, own = (network.pod(name) for name in ("chat", "redis", "probe"))
    assert network.may(own, chat, 8000)
    assert network.may(own, OUTSIDE, 443)
    assert network.may(own, OUTSIDE, 53)
    assert network.may(PROMETHEUS, own, 9000)
    assert not network.may(own, redis, 6379)
    assert not network.may(own, OUTSIDE, 8000)
    assert not network.may(EDGE, own, 9000)


def test_the_network_lets_it_through_to_the_port_of_the_public_address() -> None:
    """Named by `probe.urls`, by whichever scheme."""
    network = Network("probe.enabled=true,probe.urls={https://chat.example.com:8443,ws://chat.example.com}")
    for port in (80, 8443):
        assert network.may(network.pod("probe"), OUTSIDE, port)
