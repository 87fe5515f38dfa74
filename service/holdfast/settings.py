"""All configuration: frozen groups read from the environment, `HOLDFAST_REDIS__URL` style.

Each default stands with its unit (in the name) and its reason. A wrong value, or a `HOLDFAST_*` variable that names no
setting, raises `ConfigurationError` with one line that names it: a typing error must not become a silent default.
"""

import base64
import difflib
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo
from pydantic.functional_validators import AfterValidator, BeforeValidator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from holdfast.errors import ConfigurationError

_PREFIX = "HOLDFAST_"
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split)]


def _redis_url(url: str) -> str:
    if not re.match(r"(redis|rediss|unix|sentinel|sentinels)://", url):
        raise ValueError("expected redis://, rediss://, unix://, sentinel:// or sentinels://")
    return url


def _store_url(url: str) -> str:
    if not re.match(r"sqlite:///.+|firestore://[a-z0-9:.-]+(/[a-z0-9()-]+)?$", url):
        raise ValueError("expected sqlite:///path or firestore://project[/database]")
    return url


def _secret_bytes(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text.encode()) < 32:
        raise ValueError("a secret for HMAC with SHA-256 has at least 32 bytes (RFC 7518 §3.2)")
    if text.lstrip().startswith(("-----BEGIN", "ssh-")):
        raise ValueError("this is a public or private key: a secret for HMAC is known to both sides and to no other program")
    return secret


def _has_authority(url: str) -> bool:
    """Whether host and port can be read. The HTTP client would repeat a port that it cannot read in its error, and that port is
    a piece of the password where the password is not percent-encoded."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _webhook_url(url: str) -> str:
    if not re.match(r"https?://[^/?#\s]+", url) or not _has_authority(url):
        raise ValueError("expected https://host/path (or http:// inside a cluster)")
    return url


def _jwks_url(url: str, info: ValidationInfo) -> str:
    schemes = "https?" if info.data.get("jwks_allow_http") else "https"
    this_machine = r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"
    if not re.match(rf"({schemes}://[^/?#@\s]+|{this_machine})([/?]|$)", url) or not _has_authority(url):
        raise ValueError("expected https://host/path; http only to this machine, or with HOLDFAST_AUTH__JWKS_ALLOW_HTTP=true")
    return url


def _webhook_secret(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("expected whsec_ and 24 to 64 bytes in base64 (Standard Webhooks)")
    return secret


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each as a browser writes it (RFC 6454 §6.2): lower case, no default port, nothing behind the host."""
    return tuple(dict.fromkeys(_origin(text) for text in texts))


def _origin(text: str) -> str:
    example = "an origin is scheme://host or scheme://host:port, such as https://chat.example.com"
    if "*" in text:
        raise ValueError(f"{text!r}: wildcards are not supported; name each origin, or leave this unset to allow every origin")
    if "://" not in text:
        raise ValueError(f"{text!r}: the scheme is missing; {example}")
    match = re.fullmatch(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?/?", text.lower())
    if match is None:
        hint = "; write an international host name in its xn-- form" if not text.isascii() else ""
        raise ValueError(f"{text!r}: {example}{hint}")
    scheme, host, port = match[1], match[2], match[3] or ""
    if scheme in ("ws", "wss"):
        raise ValueError(f"{text!r}: a page's origin is http or https, whatever it connects to")
    return f"{scheme}://{host}{'' if port == _DEFAULT_PORTS.get(scheme) else port}"


HmacSecret = Annotated[SecretStr, AfterValidator(_secret_bytes)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RedisSettings(_Group):
    """Where instances meet. Losing it costs latency only."""

    url: Annotated[str, AfterValidator(_redis_url)] = "redis://127.0.0.1:6379/0"
    password: SecretStr | None = None
    password_file: Path | None = None  # read for each connection: what is in it may be renewed; it wins over `password`
    ca_file: Path | None = None
    timeout_seconds: float = Field(0.5, gt=0, le=5)  # a healthy round trip is below 5 ms; acks must not wait for a hung Redis
    pool_connections: int = Field(8, ge=1, le=100)  # commands are pipelined: few connections carry all


class BusSettings(_Group):
    """Whether envelopes between instances are signed. Without a secret every program that may publish in Redis is trusted."""

    secret: HmacSecret | None = None
    previous_secret: HmacSecret | None = None
    accept_unsigned: bool = False  # only while instances without a secret are still about

    @model_validator(mode="after")
    def _signs_with_something(self) -> Self:
        if self.secret is None and (self.previous_secret is not None or self.accept_unsigned):
            raise ValueError("HOLDFAST_BUS__PREVIOUS_SECRET and ACCEPT_UNSIGNED need HOLDFAST_BUS__SECRET")
        return self


class StoreSettings(_Group):
    """Where messages live. No default: an instance that silently wrote elsewhere would be worse than one that does not start."""

    url: Annotated[str, AfterValidator(_store_url)] | None = None
    timeout_seconds: float = Field(2.0, gt=0, le=30)  # a send must have its answer within 3 s, whatever happens


class AuthSettings(_Group):
    """Whose tokens are believed: a shared secret (HS256) or a JWKS (RS256, ES256, EdDSA)."""

    secret: HmacSecret | None = None
    previous_secret: HmacSecret | None = None
    jwks_allow_http: bool = False  # only where something else encrypts the answer; before `jwks_url`, whose check reads it
    jwks_url: Annotated[str, AfterValidator(_jwks_url)] | None = None
    issuer: str = "holdfast"
    audience: str = "holdfast"
    leeway_seconds: float = Field(10.0, ge=0, le=30)  # clocks of issuers differ by seconds; RFC 8725 wants it small


class HttpSettings(_Group):
    """Listeners and the clients that may use them."""

    host: str | None = None  # a container serves on all its addresses, IPv4 and IPv6
    port: int = Field(8000, ge=0, le=65535)
    internal_port: int | None = Field(None, ge=0, le=65535)  # default: port + 1000
    keep_alive_seconds: float = Field(75.0, gt=0, le=3600)  # balancers keep 60: closing first would race with their next request
    allowed_origins: Annotated[CommaSeparated, AfterValidator(_origins)] = ()
    trusted_proxies: CommaSeparated = ()

    @property
    def effective_internal_port(self) -> int:
        """Where metrics and probes are served."""
        if self.internal_port is not None:
            return self.internal_port
        return self.port + 1000 if self.port else 0


class PresenceSettings(_Group):
    """When a user counts as gone."""

    grace_seconds: float = Field(15.0, ge=0, le=300)  # a reconnect through a rolling restart takes less


class ReadinessSettings(_Group):
    """Whether an instance that lost Redis still gets new connections."""

    on_redis_loss: Literal["ready", "isolate", "unready"] = "ready"  # Redis is shared: unready, all would leave at once
    peers: CommaSeparated = ()  # without effect: instances of an older version asked these


class DrainSettings(_Group):
    """The ordered end of an instance."""

    window_seconds: float = Field(60.0, ge=0, le=3600)  # at most: closes are paced, so that others are not stormed
    flush_seconds: float = Field(10.0, ge=0, le=300)


class LimitSettings(_Group):
    """What one client may do; announced in `welcome.limits`. A rate of 0 switches it off."""

    body_bytes: int = Field(16_384, ge=1, le=262_144)
    metadata_bytes: int = Field(4_096, ge=2, le=65_536)
    frame_bytes: int = Field(131_072, ge=1_024, le=1_048_576)
    cursors: int = Field(5_000, ge=1, le=10_000)  # well above the conversations that a user can be in
    replay_messages: int = Field(500, ge=1, le=500)
    replay_total: int = Field(2_000, ge=1, le=100_000)
    page_size: int = Field(200, ge=1, le=500)
    members: int = Field(1_000, ge=1, le=1_000)
    conversations_per_user: int = Field(1_000, ge=1, le=5_000)  # that the user created
    conversations_by_others: int = Field(1_000, ge=1, le=5_000)  # apart, so that others never take the room for a user's own
    conversations_by_one_other: int = Field(200, ge=1, le=5_000)  # one account does not take the room for all others
    blocks_per_user: int = Field(1_000, ge=1, le=1_000)  # read as a whole where presence is told
    indicator_members: int = Field(100, ge=0, le=1_000)
    creates_per_minute: int = Field(60, ge=0)  # a person creates a few a day; each costs every member a place in the list
    creates_burst: int = Field(200, ge=1)
    adds_per_minute: int = Field(120, ge=0)
    adds_burst: int = Field(1_000, ge=1)  # one conversation with as many members as it may have
    sends_per_second: int = Field(50, ge=0)
    sends_burst: int = Field(200, ge=1)
    inflight_sends: int = Field(64, ge=1)
    frames_per_second: int = Field(100, ge=0)
    frames_burst: int = Field(400, ge=1)
    connections_per_user: int = Field(32, ge=1)
    connections_per_address: int = Field(200, ge=1)  # counts only with trusted proxies: offices share an address
    connections: int = Field(20_000, ge=1)  # per instance; fewer where the hard limit of open files is lower
    subscriptions: int = Field(10_000, ge=1)  # conversations with local members
    memory_bytes: int | None = Field(None, ge=1_048_576)  # per instance; the container's limit is the default


class PushSettings(_Group):
    """Where offline notifications go. Without an endpoint: into the log."""

    webhook_url: Annotated[str, AfterValidator(_webhook_url)] | None = None
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] | None = None
    timeout_seconds: float = Field(5.0, gt=0, le=30)  # an endpoint that takes longer is tried again later

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("a webhook needs HOLDFAST_PUSH__WEBHOOK_SECRET: its receiver must be able to tell who calls")
        return self


class KubernetesSettings(_Group):
    """For `holdfast controller` alone: which pods are ours. The chart sets it."""

    namespace: str = ""
    selector: str = ""  # of the chat pods, `key=value,key=value`
    deployment: str = "holdfast"  # on it are the Events that concern all
    container: str = "holdfast"  # in each pod
    internal_port: int = Field(9000, ge=1, le=65_535)
    metrics_port: int = Field(
        9000, ge=1, le=65_535
    )  # the controller's own; what the internal port of an instance is in the chart

    @property
    def lease(self) -> str:
        """Whose holder leads."""
        return f"{self.deployment}-controller"


class ProbeSettings(_Group):
    """For `holdfast probe` alone: two users who chat through the public address of the service."""

    urls: CommaSeparated = ()  # of the service, as clients reach it
    users: CommaSeparated = ("probe-1", "probe-2")  # ids that nothing else uses
    token_files: CommaSeparated = ()  # one for each of the two users, where tokens are not signed with `AuthSettings.secret`
    host: str | None = None  # None: all addresses
    port: int = Field(9000, ge=1, le=65_535)  # of its metrics; what the internal port of an instance is in the chart
    interval_seconds: float = Field(1.0, ge=0.05, le=60)  # between two messages of each user
    round_seconds: float = Field(60.0, ge=1, le=3600)  # between two reconnects, fresh conversations, and so on
    answer_seconds: float = Field(10.0, gt=0, le=60)  # what takes longer has failed
    loss_seconds: float = Field(30.0, ge=1, le=300)  # promise 4 says 5 s after any fault; beyond this a client gives up too

    @model_validator(mode="after")
    def _are_two(self) -> Self:
        if len(set(self.users)) != 2 or len(self.users) != 2:
            raise ValueError("HOLDFAST_PROBE__USERS: two different users are needed")
        if len(self.token_files) not in (0, 2):
            raise ValueError("HOLDFAST_PROBE__TOKEN_FILES: one file for each of the two users is needed")
        return self


class LogSettings(_Group):
    """One line per event on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Settings(BaseSettings):
    """Everything one instance is told."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    instance_id: str = ""
    redis: RedisSettings = RedisSettings()
    bus: BusSettings = BusSettings()
    store: StoreSettings = StoreSettings()
    auth: AuthSettings = AuthSettings()
    http: HttpSettings = HttpSettings()
    presence: PresenceSettings = PresenceSettings()
    readiness: ReadinessSettings = ReadinessSettings()
    drain: DrainSettings = DrainSettings()
    limits: LimitSettings = LimitSettings()
    push: PushSettings = PushSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    probe: ProbeSettings = ProbeSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` passes: it reads the environment itself, to name what is wrong."""
        return (init_settings,)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: one line that names the variable.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {"instance_id": environ.get("INSTANCE_ID") or _default_instance_id()}
    for group, setting, value in _variables(environ):
        values.setdefault(group, {})[setting] = value
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", values["instance_id"]) is None:
        raise ConfigurationError("INSTANCE_ID: 1 to 128 of A-Z a-z 0-9 . _ -")
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = "__".join(str(part).upper() for part in first["loc"])
        raise ConfigurationError(f"{_PREFIX}{path}: {first['msg'].removeprefix('Value error, ')}") from None


def _default_instance_id() -> str:
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()) or "instance"
    return f"{host[:100]}-{secrets.token_hex(3)}"


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(group, setting, value) of each `HOLDFAST_*`, without blanks at its ends.

    A `_FILE` twin is read, and comes after its variable: the later value counts.
    """
    known = _known_variables()
    for name, value in sorted(environ.items()):
        if not name.startswith(_PREFIX) or name in _FOREIGN:
            continue
        if name in known:
            yield *known[name], value.strip()
        elif _is_service_link(name, value):
            continue
        elif name.endswith("_FILE") and name.removesuffix("_FILE") in known:
            if name.endswith("__PREVIOUS_SECRET_FILE") and not Path(value).exists():
                continue  # the key of a Secret that is there while secrets are rotated
            yield *known[name.removesuffix("_FILE")], _read_secret_file(name, value)
        else:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{name}: no such setting{hint}")


def _is_service_link(name: str, value: str) -> bool:
    """Kubernetes tells a pod of the services beside it; a setting whose name is mistyped is none of those."""
    return bool(_SERVICE_LINK.search(name) or (name.endswith("_PORT") and _SERVICE_ADDRESS.match(value)))


_FOREIGN = frozenset({"HOLDFAST_CLUSTER_DIR", "HOLDFAST_CLUSTER_KIT", "HOLDFAST_TOKEN"})  # read by tools around us


def _known_variables() -> dict[str, tuple[str, str]]:
    return {
        f"{_PREFIX}{group.upper()}__{setting.upper()}": (group, setting)
        for group, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for setting in field.annotation.model_fields
    }


def _read_secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: cannot read {path!r}: {error}") from None
