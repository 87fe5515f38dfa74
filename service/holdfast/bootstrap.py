"""Where one instance is put together: the only place that names concrete adapters."""

import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast import __version__
from holdfast.adapters.machine.clock import SystemClock
from holdfast.adapters.machine.memory import ProcessMemory
from holdfast.adapters.push.log import LogNotifier
from holdfast.adapters.redis.address import Address, resolve
from holdfast.adapters.redis.bus import RedisBus
from holdfast.adapters.redis.fates import RedisFates
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.marks import RedisMarks
from holdfast.adapters.redis.recent import RedisRecentMessages
from holdfast.adapters.redis.registry import RedisRegistry
from holdfast.adapters.redis.rosters import RedisRosters
from holdfast.controller.calls import counted as counted_requests
from holdfast.controller.controller import Controller
from holdfast.domain.buckets import TokenBucket
from holdfast.domain.ids import InstanceId
from holdfast.errors import ConfigurationError
from holdfast.loops import Loop, Loops
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.foundation import Foundation
from holdfast.node.health.dependencies import Dependency
from holdfast.node.health.store_calls import counted
from holdfast.node.node import Node
from holdfast.ports import Clock, DependencyWatch, MachineClock, Memory, Notifier, Store, Unwatched
from holdfast.protocol.seals import Seals
from holdfast.settings import (
    AuthSettings,
    BusSettings,
    LimitSettings,
    PushSettings,
    RedisSettings,
    Settings,
    StoreSettings,
)
from holdfast.telemetry import ControllerTelemetry, Telemetry, Tracing, otlp
from holdfast.web.auth import Authenticator
from holdfast.web.gate import Gate

if TYPE_CHECKING:
    from holdfast.adapters.firestore.client import Connect
    from holdfast.adapters.firestore.metered import MeteredClient
    from holdfast.adapters.sqlite.database import Database
    from holdfast.web.jwks import Jwks

_CALLERS_PER_SECOND: Final = 10.0  # traces that clients ask for, of all together: beyond, the ratio decides
_CALLERS_BURST: Final = 100.0
_FIRESTORE = re.compile(r"firestore://([^/]+)(?:/(.+))?")


def connect_firestore(project: str, database: str, watch: DependencyWatch) -> "MeteredClient":
    """Firestore's client; see `adapters.firestore.client.connect`."""
    from holdfast.adapters.firestore.client import connect  # here: its libraries cost 65 MB that SQLite need not pay

    return connect(project, database, watch)


def database_file(path: Path, timeout_seconds: float) -> "Database":
    """A database in a file of this machine."""
    from holdfast.adapters.sqlite.database import DatabaseFile  # here: a database library that Firestore need not load

    return DatabaseFile(path, timeout_seconds)


@dataclass(frozen=True, slots=True)
class Machine:
    """What an instance takes from the machine it runs on: its clocks, its memory, the ways to Redis, to a file and to Firestore.

    The real one is `machine(settings)`. Another one puts the same instance into another world, of another time for example.
    """

    clock: MachineClock
    memory: Memory
    redis: Callable[[RedisSettings], Address]
    database: Callable[[Path, float], "Database"]  # a path and the longest wait in seconds
    firestore: "Connect" = connect_firestore


def machine(limits: LimitSettings | None = None) -> Machine:
    """The machine that this process runs on; `limits` may replace what it says of its memory."""
    memory = ProcessMemory(limits.memory_bytes if limits is not None else None)
    return Machine(SystemClock(), memory, resolve, database_file)


class Instance:
    """Everything of one process: the gate is served, `background` runs beside it, `close` is called at the end."""

    def __init__(self, settings: Settings, on: Machine | None = None, keys: "Jwks | None" = None) -> None:
        """Connects to nothing yet.

        Args:
            on: this machine, where no other is given.
            keys: of the issuer, as an earlier run of this process knows them.

        Raises:
            ConfigurationError: a setting is missing, or contradicts another.
        """
        on = on or machine(settings.limits)
        clock = on.clock
        store_name, redis_name = _store_name(settings.store), "redis"
        self._tracing = tracing(settings.instance_id, clock)
        telemetry = Telemetry(__version__, store_name, self._tracing)
        store_dependency = Dependency(store_name, clock, telemetry)
        redis_dependency = Dependency(redis_name, clock, telemetry)
        instance_id = InstanceId(settings.instance_id)
        self._link = RedisLink(on.redis(settings.redis), settings.redis, instance_id, clock, redis_dependency, has_registry=True)
        bus_seals = seals(settings.bus)
        bus = RedisBus(self._link, instance_id, bus_seals)
        telemetry.bus_counts = lambda: {**asdict(bus.counters), **asdict(bus.pipeline.counters)}
        node = Node(
            Foundation(
                settings=settings,
                version=__version__,
                store=counted(message_store(settings.store, store_dependency, on), telemetry, clock.monotonic),
                bus=bus,
                marks=RedisMarks(self._link, bus.pipeline),
                recent_messages=RedisRecentMessages(self._link, bus.pipeline, bus.counters, bus_seals),
                registry=RedisRegistry(self._link, instance_id, bus_seals),
                roster_cache=RedisRosters(self._link, bus.pipeline, bus.counters, bus_seals),
                notifier=notifier(settings.push, clock),
                clock=clock,
                memory=on.memory,
                telemetry=telemetry,
            ),
            store_dependency,
            redis_dependency,
        )
        jwks = keys or issuer_keys(settings.auth, clock)
        if jwks is not None:
            node.health.has_keys = lambda: jwks.is_known
        self.gate = Gate(node, Authenticator(settings.auth, node.users.revocations.check, jwks, node.cluster.store_clock))
        self.background: tuple[Loop, ...] = () if jwks is None else (jwks.loop,)
        node.cluster.redis_trust.isolation.may_leave = settings.readiness.on_redis_loss == "isolate"
        if settings.readiness.on_redis_loss == "unready":
            node.health.must_leave = lambda: node.health.has_lost_redis

    async def denied_by_redis(self) -> str:
        """Wait until Redis refuses the user, the password or a right that instances need; the reason, with its remedy."""
        return await self._link.denied()

    async def close(self) -> None:
        """Disconnect from Redis and the others, after the node has stopped. The remaining traces have 2 s to be exported."""
        await self._link.close()
        await self._tracing.close()


class ControllerProcess:
    """Everything of `holdfast controller`: run `controller`, then `close`."""

    def __init__(self, settings: Settings) -> None:
        """Connects to nothing yet.

        Raises:
            ConfigurationError: it is not told where it is, or has no access to Kubernetes.
        """
        if not settings.kubernetes.namespace or not settings.kubernetes.selector:
            raise ConfigurationError(
                "HOLDFAST_KUBERNETES__NAMESPACE, HOLDFAST_KUBERNETES__SELECTOR: needed to know the chat pods"
            )
        from holdfast.adapters.kubernetes.orchestrator import KubernetesOrchestrator  # here: 40 MB that instances need not pay

        clock: Clock = SystemClock()
        instance_id = InstanceId(settings.instance_id)
        self.telemetry = ControllerTelemetry()
        self._link = RedisLink(resolve(settings.redis), settings.redis, instance_id, clock, Unwatched())
        self._orchestrator = counted_requests(KubernetesOrchestrator(settings.kubernetes), self.telemetry)
        self.controller = Controller(
            self._orchestrator,
            RedisFates(self._link),
            clock,
            settings.instance_id,
            Loops(clock.monotonic, self.telemetry),
            self.telemetry,
        )

    async def close(self) -> None:
        """Disconnect."""
        await self._orchestrator.close()
        await self._link.close()


def token_check(settings: AuthSettings) -> Authenticator:
    """What an instance with these settings would say of a token, revocations aside. Fetches the issuer's keys, where there are.

    Raises:
        ConfigurationError: neither a secret nor a JWKS is set, or its keys cannot be fetched.
    """
    clock = SystemClock()
    jwks = issuer_keys(settings, clock)
    if jwks is not None:
        jwks.load()
    time = StoreClock(clock)
    time.note(clock.now_ms(), clock.monotonic())  # a command asks no store: this machine's clock has to do
    return Authenticator(settings, lambda *_: None, jwks, time)


def issuer_keys(settings: AuthSettings, clock: Clock) -> "Jwks | None":
    """The keys of the issuer that the settings name, not fetched yet."""
    if settings.jwks_url is None:
        return None
    from holdfast.web.jwks import Jwks  # here: an HTTP client that other instances need not load

    return Jwks(settings.jwks_url, clock)


def tracing(instance_id: str, clock: Clock) -> Tracing:
    """Tracing as the environment wants it (`OTEL_*`); off by default, and where a variable cannot be understood."""
    identity = {"service.instance.id": instance_id, "service.version": __version__}
    callers = TokenBucket(_CALLERS_PER_SECOND, _CALLERS_BURST, clock.monotonic())
    return otlp.tracing(os.environ, identity, clock, callers)


def redis_link(settings: RedisSettings, name: str) -> RedisLink:
    """A way to Redis beside the instances': for a command, or a drill. The caller closes it.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    return RedisLink(resolve(settings), settings, InstanceId(name), SystemClock(), Unwatched())


def message_store(settings: StoreSettings, watch: DependencyWatch, on: Machine | None = None) -> Store:
    """The store that the URL names.

    Raises:
        ConfigurationError: there is none.
    """
    on = on or machine()
    if settings.url is None:
        raise ConfigurationError("HOLDFAST_STORE__URL: not set; sqlite:///path or firestore://project[/database]")
    if settings.url.startswith("sqlite:"):
        from holdfast.adapters.sqlite.store import SqliteStore  # here: see `database_file`

        database = on.database(Path(settings.url.removeprefix("sqlite:///")), settings.timeout_seconds)
        return SqliteStore(database, on.clock, watch)
    match = _FIRESTORE.fullmatch(settings.url)
    assert match is not None  # noqa: S101 - the settings have checked it
    from holdfast.adapters.firestore.store import FirestoreStore  # here: see `connect_firestore`

    return FirestoreStore(match[1], match[2] or "(default)", settings.timeout_seconds, on.clock, watch, on.firestore)


def seals(settings: BusSettings) -> Seals | None:
    """The signatures of envelopes between instances and of their values in Redis, where there is a secret."""
    if settings.secret is None:
        return None
    previous = settings.previous_secret.get_secret_value() if settings.previous_secret is not None else None
    return Seals(settings.secret.get_secret_value(), previous, may_be_unsigned=settings.accept_unsigned)


def notifier(settings: PushSettings, clock: Clock) -> Notifier:
    """Where offline notifications go."""
    if settings.webhook_url is None or settings.webhook_secret is None:
        return LogNotifier()
    from holdfast.adapters.push.webhook import WebhookNotifier  # here: see `issuer_keys`

    return WebhookNotifier(settings.webhook_url, settings.webhook_secret.get_secret_value(), settings.timeout_seconds, clock)


def _store_name(settings: StoreSettings) -> str:
    return "firestore" if (settings.url or "").startswith("firestore:") else "sqlite"
