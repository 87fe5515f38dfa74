"""What a user without Helm applies, and what `skaffold` deploys: kept equal to the chart."""

import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from support.chart import Object, chat, environ, of_kind, only, secret_files
from support.helm import CHART, ROOT, kubectl_binary, render
from support.network import OUTSIDE, Network

OVERLAYS = sorted(path.name for path in (ROOT / "k8s" / "overlays").iterdir())


def built(path: str) -> list[Object]:
    """What `kubectl apply -k` would apply."""
    done = subprocess.run([kubectl_binary(), "kustomize", str(ROOT / "k8s" / path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def test_the_plain_manifests_are_the_charts() -> None:
    """`make manifests` writes them again."""
    wanted = render("-f", str(ROOT / "k8s" / "base" / "values.yaml"), "--skip-tests")
    kept = [each for each in yaml.safe_load_all((ROOT / "k8s" / "base" / "holdfast.yaml").read_text()) if each]
    assert kept == wanted


@pytest.mark.parametrize("path", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_they_are_what_kubernetes_takes(path: str) -> None:
    """With kustomize's patches in place."""
    objects = built(path)
    assert of_kind(objects, "Deployment")
    for each in objects:
        for version in ("1.30", "1.31", "1.32", "1.33", "1.34"):
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_brings_what_the_base_asks_for(name: str) -> None:
    """The Secret with its key, the namespace, an image that was loaded, a store that can be had."""
    objects = built(f"overlays/{name}")
    namespace = only(objects, "Namespace")
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {"holdfast"}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    spec, container = chat(objects)
    for reference in secret_files(spec).values():
        assert reference["optional"] or reference["key"] in only(objects, "Secret", reference["name"])["data"]
    emulator = environ(container)["FIRESTORE_EMULATOR_HOST"]
    network = Network(objects=objects)
    assert network.may(network.pod("chat"), OUTSIDE, int(emulator.rpartition(":")[2]))
    assert container["image"] == "docker.io/library/holdfast:dev"


def test_drills_are_allowed_in_the_overlay_of_that_name_only() -> None:
    """A label on the namespace is what `holdfast drill --target k8s` asks for."""
    allowed = {
        name: only(built(f"overlays/{name}"), "Namespace")["metadata"]["labels"].get("holdfast.dev/drills") for name in OVERLAYS
    }
    assert allowed == {"kind": None, "drills": "allowed"}


def test_skaffold_names_what_is_there() -> None:
    """Its files exist, its profiles are the ways to run it."""
    text = (ROOT / "skaffold.yaml").read_text()
    config = yaml.safe_load(text)
    assert config["apiVersion"].startswith("skaffold/v")
    assert [profile["name"] for profile in config["profiles"]] == ["emulator", "elasticache"]
    for path in re.findall(r"(?:charts|k8s)/[\w/.-]+", text):
        assert (ROOT / path).exists(), path
    assert (ROOT / config["build"]["artifacts"][0]["docker"]["dockerfile"]).exists()
    (forward,) = config["portForward"]
    service = only(render("-f", str(CHART / "ci" / "local-values.yaml")), "Service", forward["resourceName"])
    assert forward["port"] in {port["port"] for port in service["spec"]["ports"]}


def test_skaffold_writes_changed_code_to_where_pods_import_it_first() -> None:
    """The root is read-only; the copy that `development.sync` makes is not."""
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    (rule,) = config["build"]["artifacts"][0]["sync"]["manual"]
    (release,) = config["deploy"]["helm"]["releases"]
    values = [f"--set={name}={value}" for name, value in release["setValues"].items()]
    spec, container = chat(render("-f", str(ROOT / release["valuesFiles"][0]), *values))
    assert rule["dest"] == environ(container)["PYTHONPATH"]
    assert rule["src"].startswith(rule["strip"])
    assert {"name": "code", "emptyDir": {}} in spec["volumes"]
