"""An application that has installed the JavaScript client as npm would publish it."""

from pathlib import Path

import pytest

from support.javascript import install, pack, require_node


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
