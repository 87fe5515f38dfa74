"""Each test belongs to one command, each command exists, and `.ci/run` plays those that every change must pass."""

import re
from pathlib import Path
from typing import Any

import pytest

from support.targets import COMMANDS, FOLDERS, QUICK, SEVERAL_INSTANCES, TESTS, target_of

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def _recipe(target: str) -> str:
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]  # type: ignore[index]  # the failure is the test's


@pytest.mark.parametrize(("marker", "command"), COMMANDS.items())
def test_every_marker_is_played_by_its_command(marker: str, command: str) -> None:
    """A test whose marker no command chooses would never run."""
    assert re.findall(r"-m (\S+)", _recipe(command).replace("-m pytest", "")) == [marker]


@pytest.mark.parametrize(
    ("path", "markers", "target"),
    [
        ("unit/test_settings.py", {"parametrize"}, "quick"),
        ("cluster/test_failures.py", {"timeout"}, "cluster"),
        ("cluster/test_storm.py", {"long", "timeout"}, "long"),
        ("integration/test_up.py", set(), "cluster"),
        ("integration/test_balancer.py", {"endurance"}, "endurance"),
    ],
)
def test_command_of_a_test_is_that_of_its_marker_else_of_its_place(path: str, markers: set[str], target: str) -> None:
    """A long test over several instances is played with the long ones alone."""
    assert target_of(path, markers) == target


def test_markers_of_two_commands_are_refused() -> None:
    """The whole collection ends with the name of the file."""
    with pytest.raises(pytest.UsageError, match=r"cluster/test_storm\.py belongs to several commands: endurance, long"):
        target_of("cluster/test_storm.py", {"long", "endurance"})


@pytest.mark.parametrize(("marker", "folder"), FOLDERS.items())
def test_marker_of_a_command_that_looks_into_one_folder_is_refused_elsewhere(marker: str, folder: str) -> None:
    """No command would play it."""
    assert f"tests/{folder} " in _recipe(COMMANDS[marker])
    assert target_of(f"{folder}/test_a.py", {marker}) == marker
    with pytest.raises(pytest.UsageError, match=rf"unit/test_a\.py is not in {folder}"):
        target_of("unit/test_a.py", {marker})


@pytest.mark.parametrize("place", SEVERAL_INSTANCES)
def test_every_listed_place_exists(place: str) -> None:
    """A file that was renamed would go back to `make test` unnoticed."""
    assert (TESTS / place).exists()


def test_pipeline_plays_the_quick_tests_and_those_over_several_instances() -> None:
    """What every change must pass; a step that was taken out would not be missed."""
    pipeline = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    steps = re.sub(r"^ *#.*$|\|\|\s*make .*$", "", pipeline, flags=re.MULTILINE)  # without comments, and without repetitions
    played = set(re.findall(r"\bmake ([a-z-]+)", steps))
    assert {command for marker, command in COMMANDS.items() if marker != "endurance"} <= played


def test_pytest_alone_plays_what_make_test_and_test_cluster_do(pytestconfig: pytest.Config) -> None:
    """A developer names a file and has all of its tests but the long ones."""
    addopts: Any = pytestconfig.getini("addopts")
    left_out = set(re.findall(r"not (\w+)", addopts[-1]))
    assert COMMANDS.keys() - left_out == {QUICK, "cluster"}
