"""An application that has installed the JavaScript client as npm would publish it."""

import shutil
from pathlib import Path

import pytest

from support.javascript import MODULES, install, pack, require_node


@pytest.fixture(scope="session")
def client_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm publish` would send."""
    require_node()
    return pack(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def application(client_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a `package.json`, and with nothing but the packed client in its node_modules."""
    directory = tmp_path_factory.mktemp("application")
    install(client_archive, directory)
    return directory


@pytest.fixture(scope="session")
def react_application(application: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with React, which is the application's own, and with what renders it without a browser."""
    directory = tmp_path_factory.mktemp("react_application") / "with_react"
    shutil.copytree(application, directory)
    (directory / "node_modules" / "@types").mkdir()
    for name in ("react", "react-dom", "react-test-renderer", "@types/react"):
        (directory / "node_modules" / name).symlink_to(MODULES / name)
    return directory
