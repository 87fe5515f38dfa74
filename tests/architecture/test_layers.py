"""The structure of the code, checked by tests: directions of imports, sizes, names, locks, and files that must never be in the
tree."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
MAX_LINES = 400  # a file that needs more is two things
REGISTRIES = [  # in two parts each, or this very file would name them
    ("pypi.", "org"),
    ("python", "hosted"),
    ("npmjs.", "org"),
    ("yarn", "pkg"),
    ("crates.", "io"),
    ("proxy.", "golang"),
    ("maven.", "org"),
    ("deb.", "debian"),
    ("un", "pkg.com"),
    ("js", "delivr"),
]


def _tracked() -> list[Path]:
    """Every file of the tree that git tracks or would: what a newcomer gets, and what is about to be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file() and not path.is_symlink()]


def _texts(suffixes: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(path from the root, content) of the tracked text files."""
    for path in _tracked():
        if suffixes and path.suffix not in suffixes:
            continue
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            yield str(path.relative_to(ROOT)), content.decode(errors="replace")


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(lock: Path) -> dict[str, str]:
    """Package -> pinned version."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def test_imports_point_downwards() -> None:
    """The layers, and one place per outside library, keep the code changeable."""
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, check=False, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_python_file_is_long() -> None:
    """One file, one thing."""
    long = {name: lines for name, text in _texts((".py",)) if (lines := text.count("\n")) > MAX_LINES}
    assert not long


def test_no_module_is_named_after_nothing() -> None:
    """A module named `utils` collects functions that are not found again."""
    empty_names = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    found = [path for path in _tracked() if path.suffix == ".py" and {path.stem, *path.relative_to(ROOT).parts} & empty_names]
    assert not found


def test_every_module_of_the_package_says_what_it_is() -> None:
    """A newcomer reads the first lines of a file to know whether it is the right one."""
    silent = [
        name
        for name, text in _texts((".py",))
        if name.startswith("service/") and text.strip() and not text.lstrip().startswith(('"""', 'r"""'))
    ]
    assert not silent


def test_every_exception_from_a_rule_has_its_reason() -> None:
    """An ignore without a reason can never be removed again."""
    marker = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:)(?::?\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*|\[[^\]]*\])?(?P<rest>[^\n]*)")
    bare = [
        f"{name}: {match.group(0)}"
        for name, text in _texts((".py",))
        if name != str(Path(__file__).relative_to(ROOT))
        for match in marker.finditer(text)
        if len(re.sub(r"\W+", " ", match.group("rest")).split()) < 2
    ]
    assert not bare


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_hold_versions_and_hashes_only(lock: Path) -> None:
    """A lock must work with whichever index an installer is configured for, and with no other content than was locked."""
    text = lock.read_text(encoding="utf-8")
    assert re.search(r"https?://|^-|--(extra-)?index|--find-links|--trusted-host|\s@\s|/tmp|/home", text, re.MULTILINE) is None
    entries = re.split(r"\n(?=[a-z0-9])", "\n" + text)[1:]
    pinned = re.compile(r"\S+==\S+( ; .+)? \\\n    --hash=sha256:[0-9a-f]{64}")
    assert entries
    assert [entry.split()[0] for entry in entries if not pinned.match(entry)] == []


def test_locks_are_in_step_with_the_project() -> None:
    """After a change of pyproject.toml comes `make lock`."""
    project = _project()
    table = project["project"]
    groups = project["dependency-groups"]
    build = groups["build"]
    extras = table["optional-dependencies"]
    runtime = [*table["dependencies"], *extras["server"], *extras["otlp"]]
    embedded = extras["embedded"]
    development = [*runtime, *embedded, *build, *(entry for entry in groups["dev"] if isinstance(entry, str))]
    for name, wanted in (
        ("runtime.txt", runtime),
        ("dev.txt", development),
        ("build.txt", build),
        ("bench.txt", groups["bench"]),
    ):
        pins = _pins(ROOT / "locks" / name)
        for requirement in map(Requirement, wanted):
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin, prereleases=True), f"{name}: {requirement} is locked as {pin}"


def test_locks_agree_with_each_other() -> None:
    """Production runs the tested versions."""
    development = _pins(ROOT / "locks" / "dev.txt")
    for name in ("runtime.txt", "build.txt"):
        assert _pins(ROOT / "locks" / name).items() <= development.items()


def test_other_servers_are_measured_with_the_versions_of_ours() -> None:
    """What both need comes first on their path: another version would be measured."""
    ours, theirs = _pins(ROOT / "locks" / "dev.txt"), _pins(ROOT / "locks" / "bench.txt")
    assert {name: pin for name, pin in theirs.items() if ours.get(name, pin) != pin} == {}


def test_the_build_backend_is_locked() -> None:
    """An isolated build would fetch a backend that is not locked."""
    project = _project()
    assert set(project["build-system"]["requires"]) <= set(project["dependency-groups"]["build"])


def test_every_dependency_has_a_lower_bound() -> None:
    """Without one an old installer may choose a version that never worked. Upper bounds only where one is known to matter."""
    table = _project()["project"]
    bounded_above = set()
    for requirement in map(Requirement, [*table["dependencies"], *chain(*table["optional-dependencies"].values())]):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {">=", "~=", "=="}, requirement
        if operators & {"<", "<=", "~=", "=="}:
            bounded_above.add(requirement.name)
    assert bounded_above == {"redis", "google-cloud-firestore"}
    assert table["requires-python"] == ">=3.11"


def test_no_registry_is_named() -> None:
    """Where packages come from is the installer's configuration, never the tree's."""
    pattern = re.compile("|".join(re.escape(head + tail) for head, tail in REGISTRIES))
    assert [name for name, text in _texts() if pattern.search(text)] == []


def test_no_path_of_this_machine_is_in_the_tree() -> None:
    """A path of one machine works on no other."""
    if len(ROOT.parts) < 3:
        pytest.skip("the checkout lies at the root of the file system, whose name is in every path")
    here = f"{ROOT}/"
    assert [name for name, text in _texts() if here in text] == []
