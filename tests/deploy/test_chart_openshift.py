"""OpenShift, which gives each namespace users and groups of its own and refuses pods that name others: by evaluation."""

import pytest

from support.chart import MINIMAL, VALUES, Object, arguments, containers, pods
from support.helm import CHART, helm, render

ADAPT = "global.compatibility.openshift.adaptSecurityContext"
OPENSHIFT = ("--api-versions", "security.openshift.io/v1")
USERS = {"runAsUser", "runAsGroup", "fsGroup"}


def named(objects: list[Object]) -> set[str]:
    """The fields by which any pod or container of these names its user or groups."""
    contexts = [spec["securityContext"] for _, spec in pods(objects)]
    contexts += [each["securityContext"] for _, spec in pods(objects) for each in containers(spec)]
    return {field for context in contexts for field in context} & USERS


def modes_of_secrets(objects: list[Object]) -> set[int]:
    """The file modes of all volumes that hold Secrets; Kubernetes' default is 0644."""
    volumes = [volume for _, spec in pods(objects) for volume in spec.get("volumes", ())]
    return {volume[kind].get("defaultMode", 0o644) for volume in volumes for kind in ("secret", "projected") if kind in volume}


@pytest.mark.parametrize("name", VALUES)
def test_no_pod_names_a_user_or_group_on_openshift(name: str) -> None:
    """`restricted-v2` refuses a pod that names one, Redis and `helm test` included; all else of the restricted standard stays."""
    objects = render(*arguments(name), *OPENSHIFT)
    assert not named(objects)
    for _, spec in pods(objects):
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for container in containers(spec):
            own = container["securityContext"]
            assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"], own["capabilities"]) == (
                False,
                True,
                {"drop": ["ALL"]},
            )


def test_secrets_are_readable_for_a_user_without_a_group_of_its_own() -> None:
    """With the SCC `anyuid`, and with `force` elsewhere, no group is set: files for root's group alone would end every start."""
    full = ("-f", str(CHART / "ci" / "customized-values.yaml"))
    assert all(mode & 0o004 for mode in modes_of_secrets(render(*full, *OPENSHIFT)))
    assert all(mode & 0o004 for mode in modes_of_secrets(render(*MINIMAL, "--set", f"{ADAPT}=force,probe.enabled=true")))


def test_elsewhere_pods_have_one_user_and_secrets_are_for_its_group_alone() -> None:
    """Other clusters set no user and no group by themselves."""
    objects = render(*MINIMAL)
    assert named(objects) == USERS
    assert modes_of_secrets(objects) == {0o440}


@pytest.mark.parametrize(
    ("how", "cluster", "users"),
    [("disabled", OPENSHIFT, USERS), ("force", (), set()), ("auto", (), USERS), ("auto", OPENSHIFT, set())],
)
def test_value_overrides_what_the_chart_finds(how: str, cluster: tuple[str, ...], users: set[str]) -> None:
    """`helm template` cannot see the cluster (GitOps), and a namespace of OpenShift may allow the user of the image."""
    assert named(render(*MINIMAL, *cluster, "--set", f"{ADAPT}={how}")) == users


def test_another_word_is_refused() -> None:
    """A misspelt one would leave pods that OpenShift never starts."""
    done = helm("template", "holdfast", str(CHART), *MINIMAL, "--set", f"{ADAPT}=always")
    assert done.returncode != 0
    assert "adaptSecurityContext" in done.stderr


def test_values_kept_of_a_chart_without_it_are_taken_as_auto() -> None:
    """`--reuse-values` keeps the defaults of the chart that was installed."""
    assert named(render(*MINIMAL, "--set", "global.compatibility=null")) == USERS
    assert not named(render(*MINIMAL, *OPENSHIFT, "--set", "global.compatibility.openshift=null"))
