"""The installation page, followed from its top: what a command needs has been made by an earlier one."""

import re
import shlex

from support.chart import chat, of_kind, pods, secret_references
from support.helm import ROOT, render

PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
INSTALLING = PAGE.partition("## Installing\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^ *```bash\n(.*?)^ *```", INSTALLING, re.MULTILINE | re.DOTALL)
COMMANDS = [command.strip() for block in BLOCKS for command in block.replace("\\\n", " ").splitlines()]


def _installing() -> list[str]:
    (install,) = [command for command in COMMANDS if command.startswith("helm install ")]
    words = shlex.split(install)
    return [each for at, word in enumerate(words) if word == "--set" for each in ("--set", words[at + 1])]


def test_the_image_that_the_installation_asks_for_was_built_and_pushed_before() -> None:
    """Otherwise the page, followed word by word, ends in ErrImagePull."""
    _, container = chat(render(*_installing()))
    build = f"docker build -t {container['image']} ."
    push = f"docker push {container['image']}"
    (install,) = [at for at, command in enumerate(COMMANDS) if command.startswith("helm install ")]
    assert COMMANDS.index(build) < COMMANDS.index(push) < install


def test_without_a_registry_the_image_has_the_charts_own_name() -> None:
    """`kind load` brings exactly the name that the chart asks for when none is set."""
    _, container = chat(render("--set", "firestore.project=p,auth.existingSecret=s"))
    assert f"docker build -t {container['image']} ." in INSTALLING
    assert f"kind load docker-image {container['image']}" in INSTALLING


def test_the_secret_that_the_installation_names_was_made_before() -> None:
    """A pod whose Secret is missing stays in CreateContainerConfigError."""
    made = [command for command in COMMANDS if command.startswith("kubectl create secret generic ")]
    objects = render(*_installing())
    own = [(each["metadata"]["name"], key) for each in of_kind(objects, "Secret") for key in each["data"]]
    made += [f" {name}  ={key}=" for name, key in own]
    for _, spec in pods(objects):
        for reference in secret_references(spec):
            if not reference.get("optional"):
                assert any(f" {reference['name']} " in each and f"={reference['key']}=" in each for each in made)
