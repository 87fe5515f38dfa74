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


def test_blanks_and_line_ends_are_no_part_of_a_secret_whether_it_is_a_variable_or_a_file(tmp_path: Path) -> None:
    """Many a Secret ends in a line end; instances and what signs tokens for them have to read the same value."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    for environ in ({"HOLDFAST_AUTH__SECRET": f" {SECRET}\n"}, {"HOLDFAST_AUTH__SECRET_FILE": str(file)}):
        loaded = settings.load(environ).auth.secret
        assert loaded is not None
        assert loaded.get_secret_value() == SECRET


def test_file_wins_over_the_variable_of_the_same_setting(tmp_path: Path) -> None:
    """Pods of the chart have files; a Secret that all containers get as variables (`envFrom`) must not end their start."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    another = "another-secret-of-thirty-two-bytes"
    loaded = settings.load({"HOLDFAST_BUS__SECRET": another, "HOLDFAST_BUS__SECRET_FILE": str(file)})
    assert loaded.bus.secret is not None
    assert loaded.bus.secret.get_secret_value() == SECRET


def test_file_of_a_previous_secret_may_be_missing_and_no_other(tmp_path: Path) -> None:
    """A mounted Secret has that key only while it is rotated; any other file that is missing is a mistake."""
    absent = str(tmp_path / "absent")
    loaded = settings.load({"HOLDFAST_BUS__SECRET": SECRET, "HOLDFAST_BUS__PREVIOUS_SECRET_FILE": absent})
    assert loaded.bus.previous_secret is None
    with pytest.raises(ConfigurationError, match="HOLDFAST_BUS__SECRET_FILE: cannot read"):
        settings.load({"HOLDFAST_BUS__SECRET_FILE": absent})


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


@pytest.mark.parametrize("name", ["HOLDFAST_PUSH__WEBHOOK_URL", "HOLDFAST_AUTH__JWKS_URL"])
@pytest.mark.parametrize("authority", ["app:S3cr3t/Rest@h", "app:S3cr3t?Rest@h", "app:S3cr3t#Rest@h", "[S3cr3t/Rest@h", "h:0"])
def test_url_whose_port_is_a_piece_of_a_password_ends_the_start_and_is_not_repeated(name: str, authority: str) -> None:
    """The HTTP client puts such a port into its error, which went to the log at each attempt."""
    with pytest.raises(ConfigurationError, match=f"^{name}: expected https://host/path") as refused:
        settings.load({name: f"https://{authority}"})
    assert "S3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://chat.example.com", "https://chat.example.com"),
        ("https://chat.example.com/", "https://chat.example.com"),
        ("HTTPS://Chat.Example.COM", "https://chat.example.com"),
        ("https://chat.example.com:443", "https://chat.example.com"),
        ("http://chat.example.com:80/", "http://chat.example.com"),
        ("http://chat.example.com:443", "http://chat.example.com:443"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_allowed_origin_is_read_as_browsers_write_it(written: str, origin: str) -> None:
    """The comparison is exact: an origin that no browser ever sends would start and match nothing."""
    assert settings.load({"HOLDFAST_HTTP__ALLOWED_ORIGINS": written}).http.allowed_origins == (origin,)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("*", "wildcards are not supported"),
        ("https://*.example.com", "wildcards are not supported"),
        ("chat.example.com", "scheme is missing"),
        ("chat.example.com:8443", "scheme is missing"),
        ("null", "scheme is missing"),
        ("https://", "such as https://chat.example.com"),
        ("https://chat.example.com/app", "such as https://chat.example.com"),
        ("https://chat.example.com?x", "such as https://chat.example.com"),
        ("https://me@chat.example.com", "such as https://chat.example.com"),
        ("https://b\u00fccher.example", "xn--"),
        ("wss://chat.example.com", "http or https"),
    ],
)
def test_an_origin_that_no_browser_sends_ends_the_start(written: str, says: str) -> None:
    """With a sentence that names the setting, the value and the remedy; not with pages that cannot connect."""
    with pytest.raises(ConfigurationError, match="HOLDFAST_HTTP__ALLOWED_ORIGINS") as refused:
        settings.load({"HOLDFAST_HTTP__ALLOWED_ORIGINS": f"https://good.example, {written}"})
    assert says in str(refused.value)
    assert repr(written) in str(refused.value)


def test_setting_of_an_older_version_is_no_mistake() -> None:
    """Instances asked these addresses whether they see Redis; the chart of that version sets it."""
    environ = {"HOLDFAST_READINESS__ON_REDIS_LOSS": "isolate", "HOLDFAST_READINESS__PEERS": "[fd00::1]:9000, pods.chat:9000"}
    assert settings.load(environ).readiness.on_redis_loss == "isolate"


@pytest.mark.parametrize("key", ["-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEF", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"])
def test_public_key_is_no_secret(key: str) -> None:
    """Every program that has the issuer's public key could sign tokens with it."""
    with pytest.raises(ConfigurationError, match="known to both sides"):
        settings.load({"HOLDFAST_AUTH__SECRET": key})


@pytest.mark.parametrize("name", ["HOLDFAST_HTTP_PORT", "HOLDFAST_INTERNAL_PORT", "HOLDFAST_HTTP_SERVICE_PORTS"])
def test_a_mistyped_port_is_no_service_beside_the_pod(name: str) -> None:
    """A typing error must not become a silent default. Variables that Kubernetes makes of a service are left alone."""
    with pytest.raises(ConfigurationError, match="no such setting"):
        settings.load({name: "9999"})
    for link in ("HOLDFAST_HTTP_PORT", "HOLDFAST_HTTP_PORT_8000_TCP"):
        settings.load({link: "tcp://10.0.0.1:8000"})
    settings.load({"HOLDFAST_HTTP_SERVICE_PORT": "8000", "HOLDFAST_HTTP_SERVICE_HOST": "10.0.0.1"})
