"""URLs of Redis, without a connection."""

import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from holdfast.adapters.redis.address import PrimaryConnection, PrimaryTlsConnection, resolve
from holdfast.errors import ConfigurationError
from holdfast.settings import RedisSettings, load


def test_a_plain_url_names_host_port_and_database() -> None:
    """Missing parts have Redis's defaults; the password's own setting wins over the URL's."""
    address = resolve(RedisSettings(url="redis://user:old@example:6380/3", password=SecretStr("new"), timeout_seconds=0.7))
    assert address.connection_class is Connection
    expected = {"host": "example", "port": 6380, "db": 3, "username": "user", "password": "new"}
    assert expected.items() <= address.options.items()


def test_the_library_never_retries_by_itself() -> None:
    """Its retries would publish twice when a reply is lost, and multiply every deadline."""
    for url in ("redis://a", "rediss://a", "sentinel://a/main"):
        assert resolve(RedisSettings(url=url)).options["retry"].get_retries() == 0


def test_tls_verifies_with_the_ca_file() -> None:
    """`rediss://` is never opportunistic."""
    address = resolve(RedisSettings(url="rediss://example", ca_file=Path("/ca.pem")))
    assert address.connection_class is SSLConnection
    assert address.options["ssl_ca_certs"] == "/ca.pem"


def test_a_unix_socket_has_a_path() -> None:
    """For a Redis beside the process."""
    address = resolve(RedisSettings(url="unix:///run/redis.sock"))
    assert address.connection_class is UnixDomainSocketConnection
    assert address.options["path"] == "/run/redis.sock"


def test_sentinels_are_asked_at_each_connection() -> None:
    """Their credentials are the URL's; Redis's password is its own setting."""
    settings = RedisSettings(url="sentinel://watcher:pass@a:26380,b/main/2", password=SecretStr("redis"))
    address = resolve(settings)
    assert address.connection_class is PrimaryConnection
    assert (address.options["db"], address.options["password"]) == (2, "redis")
    assert "username" not in address.options
    assert address.sentinel is not None
    sentinels = [client.connection_pool.connection_kwargs for client in address.sentinel.sentinels]
    assert [(each["host"], each["port"], each["username"], each["password"]) for each in sentinels] == [
        ("a", 26380, "watcher", "pass"),
        ("b", 26379, "watcher", "pass"),
    ]


def test_sentinels_may_be_ipv6_addresses() -> None:
    """In a cluster without IPv4 there are no others; brackets tell the address from the port."""
    address = resolve(RedisSettings(url="sentinel://:p%40ss@[::1]:26380,[fd00::2],c/main"))
    assert address.sentinel is not None
    sentinels = [client.connection_pool.connection_kwargs for client in address.sentinel.sentinels]
    assert [(each["host"], each["port"], each["password"]) for each in sentinels] == [
        ("::1", 26380, "p@ss"),
        ("fd00::2", 26379, "p@ss"),
        ("c", 26379, "p@ss"),
    ]


def test_tls_to_sentinels_is_tls_to_redis() -> None:
    """One word for both: half of it in clear text would be a surprise."""
    address = resolve(RedisSettings(url="sentinels://a/main", ca_file=Path("/ca.pem")))
    assert address.connection_class is PrimaryTlsConnection
    assert address.options["ssl_ca_certs"] == "/ca.pem"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:port",
        "redis://h/?retry_on_timeout=yes",
        "sentinel://a",
        "sentinel:///main",
        "sentinel://a:x/main",
        "sentinel://::1/main",
        "sentinel://[::1/main",
        "sentinel://a,/main",
    ],
)
def test_a_url_that_says_nothing_sensible_is_one_line(url: str) -> None:
    """The line names the variable that an operator set."""
    with pytest.raises(ConfigurationError, match=r"^HOLDFAST_REDIS__URL: .+$"):
        resolve(RedisSettings(url=url))


@pytest.mark.parametrize(
    "url",
    [
        "redis://:S3cr3t/Rest@h",
        "redis://:S3cr3t#Rest@h",
        "redis://:S3cr3t?Rest@h",
        "redis://:S3cr3t?Rest=More@h",
        "redis://:S3cr3t?db=Rest@h",
        "redis://:S[cr3t@h",
        "redis://:12/Rest@h",
        "redis://:12#Rest@h",
        "redis://:12?Rest@h",
        "redis://:12?Rest=More@h",
        "redis://S3cr3t/Rest@h",
        "rediss://app:S3cr3t/Rest@h:6380/1",
        "sentinel://:S3cr3t/Rest@h/main",
        "sentinel://S3cr3t/Rest@h/main",
        "sentinel://:S3cr3t?Rest@h/main",
        "sentinel://:a@S3cr3t/main#Rest@h/main",
    ],
)
def test_password_that_is_not_percent_encoded_is_refused_and_not_repeated(url: str) -> None:
    """The line goes to the log of the pod, which more people read than the Secret; it has to name the remedy instead."""
    remedy = r"^HOLDFAST_REDIS__URL: .*percent-encode.*HOLDFAST_REDIS__PASSWORD_FILE"
    with pytest.raises(ConfigurationError, match=remedy) as refused:
        resolve(RedisSettings(url=url))
    shown = "".join(traceback.format_exception(refused.value)).lower()
    assert not [piece for piece in ("s3cr", "s[cr", "cr3t", "rest@", "more") if piece in shown]


def test_percent_encoded_password_is_taken_from_the_url() -> None:
    """What the error asks for has to work, in the URL of Redis and in that of the Sentinels."""
    assert resolve(RedisSettings(url="redis://:%2F%3F%23%40%25@h")).options["password"] == "/?#@%"
    sentinel = resolve(RedisSettings(url="sentinel://:%2F%3F%23%40%25@h/main")).sentinel
    assert sentinel is not None
    assert sentinel.sentinels[0].connection_pool.connection_kwargs["password"] == "/?#@%"


def test_password_file_is_read_for_each_connection_under_the_name_of_the_url(tmp_path: Path) -> None:
    """A token that lives for fifteen minutes is another one when the connection is made again."""
    file = tmp_path / "token"
    file.write_text("first\n")
    options = resolve(RedisSettings(url="redis://app@example", password_file=file)).options
    assert not {"username", "password"} & options.keys()
    assert options["credential_provider"].get_credentials() == ("app", "first")
    file.write_text("second")
    assert options["credential_provider"].get_credentials() == ("app", "second")
    file.unlink()
    with pytest.raises(RedisConnectionError, match="HOLDFAST_REDIS__PASSWORD_FILE: cannot read"):
        options["credential_provider"].get_credentials()


def test_a_file_with_the_password_wins_over_the_variable(tmp_path: Path) -> None:
    """As with every other setting: a platform may set variables for all containers, a file is named on purpose."""
    file = tmp_path / "token"
    file.write_text("of the file")
    settings = load({"HOLDFAST_REDIS__PASSWORD_FILE": str(file), "HOLDFAST_REDIS__PASSWORD": "of the variable"}).redis
    assert resolve(settings).options["credential_provider"].get_credentials() == ("of the file",)
