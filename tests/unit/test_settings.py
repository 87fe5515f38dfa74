"""Settings that contradict each other end the start with one line; secrets come from files as well."""

from pathlib import Path

import pytest

from holdfast import settings
from holdfast.errors import ConfigurationError

SECRET, OTHER = "a-secret-of-the-bus-that-is-long-enough", "another-secret-of-the-bus-long-enough"


def test_the_bus_is_signed_with_a_secret_from_a_file(tmp_path: Path) -> None:
    """As Kubernetes mounts it; with the one that it is rotated from."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    bus = settings.load({"HOLDFAST_BUS__SECRET_FILE": str(file), "HOLDFAST_BUS__PREVIOUS_SECRET": OTHER}).bus
    assert bus.secret is not None
    assert bus.previous_secret is not None
    assert (bus.secret.get_secret_value(), bus.previous_secret.get_secret_value()) == (SECRET, OTHER)
    assert SECRET not in repr(bus)


@pytest.mark.parametrize(
    "environ",
    [
        {"HOLDFAST_BUS__PREVIOUS_SECRET": OTHER},
        {"HOLDFAST_BUS__ACCEPT_UNSIGNED": "true"},
        {"HOLDFAST_BUS__SECRET": "too short"},
        {"HOLDFAST_LIMITS__MEMORY_BYTES": "512Mi"},
        {"HOLDFAST_LIMITS__MEMORY_BYTES": "0"},
    ],
)
def test_what_makes_no_sense_is_named(environ: dict[str, str]) -> None:
    """A secret that signs nothing, or a limit that nothing fits into, is a mistake; it must not become a silent default."""
    (name,) = environ
    with pytest.raises(ConfigurationError, match=name.split("__")[0]):
        settings.load(environ)
