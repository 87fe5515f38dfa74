"""The example of ElastiCache with IAM: a token that is renewed beside the process that reads it."""

import ast

import pytest

from support.chart import Object, environ, of_kind, pods, rendered

NAMES = ["chat", "controller"]


def component(name: str) -> Object:
    """The pod of one component."""
    return next(
        spec for labels, spec in pods(rendered("elasticache-iam-values.yaml")) if labels["app.kubernetes.io/component"] == name
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_token_is_written_where_the_process_reads_it(name: str) -> None:
    """Two paths that differ would be a Redis that denies every connection."""
    spec = component(name)
    (sidecar,), main = spec["initContainers"], spec["containers"][0]
    read = environ(main)["HOLDFAST_REDIS__PASSWORD_FILE"]
    mounts = {each["mountPath"]: each["name"] for each in main["volumeMounts"]}
    written = {each["mountPath"]: each["name"] for each in sidecar["volumeMounts"]}
    directory = read.rpartition("/")[0]
    assert mounts[directory] == written[directory]
    assert {"name": mounts[directory], "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}} in spec["volumes"]
    assert sidecar["startupProbe"]["exec"]["command"] == ["test", "-s", read]
    assert not any(each["name"] == "HOLDFAST_REDIS__PASSWORD" for each in main["env"])


@pytest.mark.parametrize("name", NAMES)
def test_the_token_is_there_first_and_is_renewed_as_long_as_the_pod_runs(name: str) -> None:
    """A container that only runs at the start would leave a token that ends."""
    assert component(name)["initContainers"][0]["restartPolicy"] == "Always"


def test_the_token_is_renewed_before_it_ends_and_for_the_user_of_the_url() -> None:
    """Redis compares the user of the token with the one that connects; IAM is only accepted over TLS."""
    objects = rendered("elasticache-iam-values.yaml")
    (script,) = [each["data"]["token.py"] for each in of_kind(objects, "ConfigMap")]
    assigned = {
        name.id: value.value
        for node in ast.walk(ast.parse(script))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
        for name, value in zip(node.targets[0].elts, node.value.elts, strict=True)
        if isinstance(name, ast.Name) and isinstance(value, ast.Constant)
    }
    assert assigned["RENEW_SECONDS"] < assigned["TOKEN_SECONDS"] == 900
    spec = component("chat")
    user = environ(spec["initContainers"][0])["REDIS_USER"]
    assert environ(spec["containers"][0])["HOLDFAST_REDIS__URL"].startswith(f"rediss://{user}@")
    assert f'"{environ(spec["containers"][0])["HOLDFAST_REDIS__PASSWORD_FILE"]}"' in script
