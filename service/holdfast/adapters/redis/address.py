"""Where Redis is: a URL turned into redis-py's connections, Sentinel's answer asked anew at each connection.

Forms: `redis://`, `rediss://` (TLS), `unix://`, and `sentinel://host:port,host:port/service/db` (`sentinels://` for TLS to
both). A user and password in a Sentinel URL are those of the Sentinels; Redis's own password is `settings.password`.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError

from holdfast.errors import ConfigurationError
from holdfast.settings import RedisSettings

_SENTINEL_PORT = 26379
_OPTIONS = ("db", "host", "password", "path", "port", "username")
_PARTS = re.compile(r"[a-z]+://[^/?#]*(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?", re.DOTALL)
_EXPECTED = "redis://user:password@host:port/db, the same with rediss:// for TLS, or unix:///path"
_ENCODE = "percent-encode / ? # @ % in a user or a password (/ is %2F), or give the password as HOLDFAST_REDIS__PASSWORD_FILE"
_SENTINEL_SHARE = 0.4  # of a call's time: after a silent Sentinel, there is time for another one and for Redis

Locate = Callable[[], Awaitable[tuple[str, int]]]
OnConnect = Callable[[AbstractConnection], Awaitable[None]]


class FilePassword(CredentialProvider):
    """The password that a file holds when a connection is made: tokens of a cloud identity live for minutes."""

    def __init__(self, path: Path, username: str | None) -> None:
        self._path = path
        self._username = username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """(password) or (user, password), in the order that redis-py wants.

        Raises:
            RedisConnectionError: the file cannot be read; the connection is tried again like one that is refused.
        """
        try:
            password = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RedisConnectionError(f"HOLDFAST_REDIS__PASSWORD_FILE: cannot read {str(self._path)!r}: {error}") from error
        return (password,) if self._username is None else (self._username, password)


class PrimaryConnection(Connection):
    """A connection to whichever node is the primary at the moment it connects."""

    def __init__(self, *, locate: Locate, **options: Any) -> None:
        """`locate` answers with the primary's host and port."""
        self._locate = locate
        super().__init__(**options)

    async def _connect(self) -> None:
        self.host, self.port = await self._locate()
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py left it without annotations


class PrimaryTlsConnection(PrimaryConnection, SSLConnection):
    """The same over TLS."""


@dataclass(frozen=True, slots=True)
class Address:
    """How connections are made: with other classes and options they lead elsewhere. `sentinel`: None without Sentinel."""

    connection_class: type[AbstractConnection]
    options: dict[str, Any]
    sentinel: Sentinel | None = None

    def connection(self, client_name: str) -> AbstractConnection:
        """A connection of its own, not connected yet; the caller disconnects it."""
        return self.connection_class(client_name=client_name, **self.options)

    def pool(
        self, client_name: str, size: int, timeout_seconds: float, on_connect: OnConnect | None = None
    ) -> BlockingConnectionPool:
        """At most `size` connections, none yet; a caller waits `timeout_seconds` for a free one. The caller closes the pool.

        `on_connect` makes redis-py's handshake on each new connection, and whatever has to come before the first command.
        """
        return BlockingConnectionPool(
            max_connections=size,
            timeout=timeout_seconds,
            connection_class=self.connection_class,
            client_name=client_name,
            redis_connect_func=on_connect,
            **self.options,
        )

    async def close(self) -> None:
        """Let the Sentinels go."""
        if self.sentinel is not None:
            await self.sentinel.aclose()


def resolve(settings: RedisSettings) -> Address:
    """Read the settings; connects to nothing.

    Raises:
        ConfigurationError: the URL cannot be understood. The error repeats no part of it: with a password that is not
            percent-encoded, any part may be a piece of the password.
    """
    options: dict[str, Any] = {
        "socket_timeout": None,  # every wait is bounded by the link's own deadline, which does not blame Redis for a busy loop
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),  # redis-py's own would duplicate PUBLISH when a reply is lost
        "protocol": 2,  # replies of one shape on every version, and no push frames between them
        "driver_info": None,  # CLIENT SETINFO is not in 6.2
    }
    _check_parts(settings.url)
    is_tls = settings.url.startswith(("rediss:", "sentinels:"))
    if is_tls and settings.ca_file is not None:
        options["ssl_ca_certs"] = str(settings.ca_file)
    if settings.url.startswith("sentinel"):
        return _with_sentinel(settings, options, is_tls=is_tls)
    try:
        parsed: dict[str, Any] = dict(parse_url(settings.url))
    except ValueError:
        raise ConfigurationError(f"HOLDFAST_REDIS__URL: expected {_EXPECTED}; {_ENCODE}") from None
    connection_class: type[AbstractConnection] = parsed.pop("connection_class", Connection)
    return Address(connection_class, options | _with_password(settings, parsed))


def _check_parts(url: str) -> None:
    """Refuse what a password that is not percent-encoded makes of a URL: its pieces become a host, a path or an option.

    Raises:
        ConfigurationError: an `@` comes after the host, or an option is not known or has no effect.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None or (not url.startswith("unix:") and "@" in f"{parts['path']}{parts['fragment']}"):
        raise ConfigurationError(f"HOLDFAST_REDIS__URL: an @ after the host; {_ENCODE}")
    if url.startswith("sentinel") and parts["query"]:
        raise ConfigurationError(f"HOLDFAST_REDIS__URL: an address of Sentinels has no options; {_ENCODE}")
    if {name for name, _ in parse_qsl(parts["query"] or "", keep_blank_values=True)} - set(_OPTIONS):
        raise ConfigurationError(f"HOLDFAST_REDIS__URL: the only options are {', '.join(_OPTIONS)}; {_ENCODE}")


def _with_password(settings: RedisSettings, options: dict[str, Any]) -> dict[str, Any]:
    if settings.password_file is None:
        return options if settings.password is None else options | {"password": settings.password.get_secret_value()}
    provider = FilePassword(settings.password_file, options.get("username"))
    return {key: value for key, value in options.items() if key not in ("username", "password")} | {
        "credential_provider": provider
    }


def _node(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]` or `[::1]:port`.

    Raises:
        ValueError: it is none of them.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\[\]:]+))(?::([0-9]{1,5}))?", text.strip())
    if match is None:
        raise ValueError(text)
    return match[1] or match[2], int(match[3] or _SENTINEL_PORT)


def _with_sentinel(settings: RedisSettings, options: dict[str, Any], *, is_tls: bool) -> Address:
    # Not urlsplit: a list of hosts is no URL to it, and with brackets it refuses some and misreads others.
    _, _, rest = settings.url.partition("://")
    authority, _, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    userinfo, _, hosts = authority.rpartition("@")
    service, _, database = path.strip("/").partition("/")
    try:
        nodes = [_node(text) for text in hosts.split(",")]
        db = int(database or 0)
    except ValueError:
        nodes, db = [], 0
    if not service or not nodes:
        expected = "sentinel://host:port,host:port/service/db (IPv6 as [::1]:26379)"
        raise ConfigurationError(f"HOLDFAST_REDIS__URL: expected {expected}; {_ENCODE}")
    user, _, password = userinfo.partition(":")
    credentials = {"username": unquote(user) or None, "password": unquote(password) or None} if userinfo else {}
    seconds = settings.timeout_seconds if len(nodes) == 1 else settings.timeout_seconds * _SENTINEL_SHARE
    timeouts = {"socket_timeout": seconds, "socket_connect_timeout": seconds}  # they are asked one by one
    sentinel_options = options | timeouts | credentials | ({"ssl": True} if is_tls else {})
    sentinel = Sentinel(nodes, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]  # redis-py left it so

    async def locate() -> tuple[str, int]:
        host, port = await sentinel.discover_master(service)
        return str(host), int(port)

    connection_class = PrimaryTlsConnection if is_tls else PrimaryConnection
    return Address(connection_class, options | _with_password(settings, {"db": db, "locate": locate}), sentinel)
