"""The image, by its recipe; the build itself, and what runs from it, is part of the tests on a cluster."""

import re
import subprocess
import sys

from support.chart import chat, environ
from support.helm import ROOT, render
from support.sbom import document, unused

TEXT = (ROOT / "Dockerfile").read_text()
LAST = TEXT.rsplit("\nFROM ", 1)[1]


def test_it_is_built_from_the_locks_dependencies_first() -> None:
    """A change of code must not download anything; the installed versions are the tested ones."""
    assert TEXT.index("locks/runtime.txt") < TEXT.index("COPY service/")
    installs = re.findall(r"pip (?:--python \S+ )?install [^&\n]*", TEXT)
    assert installs
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)


def test_the_base_can_be_exchanged() -> None:
    """By an argument: a mirror, a digest, a hardened base."""
    assert TEXT.count("FROM ${PYTHON_IMAGE}") == 2
    assert "ARG PYTHON_IMAGE=python:3.11-slim-bookworm" in TEXT


def test_the_last_stage_only_takes_what_was_made_before() -> None:
    """No compiler, no pip, no cache: nothing is run in it."""
    assert not re.search(r"^(RUN|ADD) ", LAST, re.MULTILINE)
    copies = re.findall(r"^COPY (.+)$", LAST, re.MULTILINE)
    assert [each.split()[0] for each in copies] == ["--from=dependencies", "--from=code"]
    assert all(each.endswith(" /opt/holdfast") for each in copies)


def test_it_runs_as_nobody_and_hears_the_kubelet() -> None:
    """The exec form: PID 1 is ours and gets SIGTERM."""
    assert "USER 10001:10001" in LAST
    assert "STOPSIGNAL SIGTERM" in LAST
    assert 'ENTRYPOINT ["holdfast"]' in LAST
    assert 'CMD ["serve"]' in LAST
    assert chat(render("--set", "firestore.project=p,auth.existingSecret=s"))[0]["securityContext"]["runAsUser"] == 10001


def test_it_exposes_the_ports_that_pods_listen_on() -> None:
    """The Dockerfile documents its ports for its readers."""
    told = environ(chat(render("--set", "firestore.project=p,auth.existingSecret=s"))[1])
    (exposed,) = re.findall(r"^EXPOSE (.+)$", LAST, re.MULTILINE)
    assert exposed.split() == [told["HOLDFAST_HTTP__PORT"], told["HOLDFAST_HTTP__INTERNAL_PORT"]]


def test_it_says_what_it_is() -> None:
    """The OCI annotations that scanners and registries read."""
    names = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", LAST))
    assert names == {"title", "description", "licenses", "version", "revision", "created", "source"}


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    """Tests, the git history, a `.env` beside the checkout: none of it belongs into a build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert all((ROOT / each).exists() for each in kept)
    copied = {part.rstrip("/") for each in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE) for part in each.split()[:-1]}
    assert {each.split("/")[0] if each.startswith("locks/") else each for each in kept} == copied


IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    sys.modules[name] = None
import holdfast
for found in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print("all")
"""


def test_nothing_imports_what_the_image_leaves_out() -> None:
    """Kubernetes' client wants a whole HTTP library for its asynchronous half: an eighth of the image."""
    assert "rm -rf /opt/holdfast/lib/python3*/site-packages/kubernetes/aio" in TEXT
    absent = [name.replace("-", "_") for name in unused() - {"attrs"}]
    command = [sys.executable, "-c", IMPORT_ALL, "attr", "attrs", "kubernetes.aio", *absent]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "all\n", done.stderr


def test_the_bill_of_materials_names_what_is_installed_with_version_and_hashes() -> None:
    """A scanner finds a known weakness by these."""
    bill = document()
    components = {each["name"]: each for each in bill["components"]}
    assert {"fastapi", "redis", "grpcio", "uvloop", "kubernetes"} <= components.keys()
    assert not components.keys() & unused()
    assert all(each["hashes"] and each["purl"] == f"pkg:pypi/{name}@{each['version']}" for name, each in components.items())
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert components["fastapi"]["purl"] in needs["holdfast"]
    assert components["starlette"]["purl"] in needs[components["fastapi"]["purl"]]
    assert {reference for each in needs.values() for reference in each} < needs.keys()
