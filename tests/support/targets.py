"""Which command plays a test: each test belongs to exactly one, and has its marker.

A test that says nothing is played by `make test`. The longer ones have the marker of their command. The slow ones of the tests
over several real instances are listed here, by folder or file, and played by `make test-cluster`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

QUICK, CLUSTER = "quick", "cluster"
COMMANDS: Final = {
    QUICK: "test",
    CLUSTER: "test-cluster",
    "long": "test-long",
    "endurance": "test-endurance",
    "observability_long": "test-observability",
    "kubernetes": "test-kubernetes",
}
"""Marker -> the target of the Makefile that plays the tests which have it."""

FOLDERS: Final = {"observability_long": "observability", "kubernetes": "kubernetes"}
"""Marker -> the folder below `tests` into which its command looks, and into no other."""

SEVERAL_INSTANCES: Final = (
    "client_conformance/test_javascript_persistence.py",
    "cluster/",
    "guides/",
    "integration/test_readme.py",
    "integration/test_redis_permissions.py",
    "integration/test_token_life.py",
    "integration/test_up.py",
    "integration/test_wrong_clock.py",
    "page/",
)
"""Below `tests`: folders and files whose tests have the marker `cluster` where they have no other."""


def target_of(path: str, markers: Iterable[str]) -> str:
    """The marker of the command that plays a test.

    Args:
        path: of its file, below `tests`.
        markers: the names of all markers that it has.

    Raises:
        pytest.UsageError: it has the markers of several commands, or of one that does not look into its folder.
    """
    own = sorted(COMMANDS.keys() & set(markers))
    if len(own) > 1:
        raise pytest.UsageError(f"a test in {path} belongs to several commands: {', '.join(own)}")
    if own:
        folder = FOLDERS.get(own[0], "")
        if not path.startswith(folder):
            raise pytest.UsageError(f"a test in {path} is not in {folder}, where make {COMMANDS[own[0]]} looks")
        return own[0]
    return CLUSTER if path.startswith(SEVERAL_INSTANCES) else QUICK


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` chooses among the tests."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        item.add_marker(target_of(path, {marker.name for marker in item.iter_markers()}))
