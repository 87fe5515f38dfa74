"""An install without an extra is the client alone, for bots and backends that run no instance."""

from email.message import Message
from pathlib import Path
from typing import cast

import pytest

from holdfast import __version__
from holdfast.cli import COMMANDS
from support.wheels import base_requirements, build_wheel, install_light, metadata_of, run_light

ARGUMENTS = {
    "store": ["renew"],
    "smoke": ["http://localhost:1"],
    "drill": ["list"],
    "token": ["user123"],
    "chat": ["team-42", "--user", "user123"],
}
REMEDY = "The server's packages come with: pip install 'holdfast-chat[server]'\n"
SERVER = ("fastapi", "google", "jwt", "kubernetes", "opentelemetry", "prometheus_client", "pydantic", "redis", "uvicorn")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as in the image."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what it brings along."""
    folder = tmp_path_factory.mktemp("light")
    install_light(wheel, folder)
    return folder


def test_base_requirements_are_those_of_the_client(wheel: Path) -> None:
    """A bot installs no web framework; the distribution does not take the name of another project."""
    metadata = metadata_of(wheel)
    assert base_requirements(metadata) == {"httpx", "msgspec", "websockets"}
    assert (metadata.name, metadata.version) == ("holdfast-chat", __version__)
    extras = cast("Message", metadata.metadata).get_all("Provides-Extra")
    assert sorted(extras or ()) == ["embedded", "otlp", "server"]
    assert [(each.name, each.value) for each in metadata.entry_points] == [("holdfast", "holdfast.cli:main")]


def test_client_imports_nothing_of_the_server(light: Path) -> None:
    """What it imports must be installed with it."""
    program = f"""
import importlib.util
assert not [name for name in {SERVER} if importlib.util.find_spec(name)]
from holdfast.client import Client
print(Client(["https://chat.example.com"], "token").instance_id + "made")
"""
    done = run_light(light, "-c", program)
    assert done.stdout == "made\n", done.stderr


def test_version_is_the_same_without_the_server(light: Path) -> None:
    """A script asks which client it has."""
    done = run_light(light, "-m", "holdfast", "version")
    assert (done.stdout, done.stderr, done.returncode) == (f"holdfast {__version__}\n", "", 0)


@pytest.mark.parametrize("name", [each.name for each in COMMANDS if each.name != "version"])
def test_command_of_the_server_names_the_extra_that_it_needs(light: Path, tmp_path: Path, name: str) -> None:
    """One line and exit code 2, as with every other wrong setting; never a traceback."""
    done = run_light(light, "-m", "holdfast", name, *ARGUMENTS.get(name, []), HOME=str(tmp_path))
    assert done.returncode == 2, done
    assert done.stderr.startswith(f"holdfast {name}: ")
    assert done.stderr.endswith(REMEDY)
    assert done.stderr.count("\n") == 1


def test_chat_with_a_token_needs_no_server_package(light: Path) -> None:
    """A terminal beside the application is where it is needed."""
    done = run_light(light, "-m", "holdfast", "chat", "team-42", "--url", "http://127.0.0.1:1", HOLDFAST_TOKEN="token")
    assert (done.returncode, done.stderr) == (0, "")
