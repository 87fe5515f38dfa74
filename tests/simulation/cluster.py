"""The cluster: instances, their store and their Redis servers, on one loop."""

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from holdfast.bootstrap import Machine
from holdfast.settings import Settings
from holdfast.web.auth import issue
from simulation.instance import SimulatedInstance
from simulation.loop import EPOCH_SECONDS, SimulatedLoop
from simulation.machine import machine
from simulation.process import Process
from simulation.redis import RedisServer
from simulation.sqlite import SimulatedStore

if TYPE_CHECKING:
    from simulation.firestore import SimulatedFirestore

SECRET: Final = "simulated-secret-of-32-bytes-and-more"
_BUS_SECRET: Final = "simulated-secret-of-the-bus-32-bytes"  # in production instances sign
REDIS_NAME: Final = "redis.internal"
REDIS_PORT: Final = 6379
_LONG_SECONDS: Final = 1e7


StoreKind = Literal["sqlite", "firestore"]
RedisFactory = Callable[[], RedisServer]


def redis_servers(loop: SimulatedLoop) -> RedisFactory:
    """Makes Redis servers whose clocks are right."""
    numbers = itertools.count(1)
    return lambda: RedisServer(lambda: EPOCH_SECONDS + loop.now, random.Random(f"redis-{next(numbers)}-{loop.seed}"))


class RedisHost:
    """A host with a Redis server: killed, frozen (by its process), and started again.

    Attributes:
        engine: the server. It may be replaced while it does not run; `engine.restart` before `start` says what it has kept.
        process: of the last start.
    """

    def __init__(self, loop: SimulatedLoop, name: str, host: str, engine: RedisServer) -> None:
        self.name = name
        self.host = host
        self.engine = engine
        self._loop = loop
        self.process: Process = self.start()

    @property
    def is_running(self) -> bool:
        """Started, and not killed."""
        return not self.process.is_dead

    def start(self) -> Process:
        """Listen; the process before it must have ended. A server that was not restarted since has what it last saved."""
        if not self.engine.is_running:
            self.engine.start()
        self.process = self._loop.process(self.name)
        self._loop.network.listen(self.host, REDIS_PORT, self.process, lambda: self.engine.protocol())
        return self.process

    def kill(self, *, is_silent: bool = False) -> None:
        """See `Process.kill`."""
        self.process.kill(is_silent=is_silent)
        self.engine.stop()


class Cluster:
    """Instances `i1`, `i2`, … with one store; made and used while the loop's `simulated` is entered.

    Attributes:
        store: shared by all.
        machine: what a process runs on, with its way to the store.
        redis: server name -> server; `r1` is the one that instances find, until `point_to_redis` names another.
        instances: name -> instance, none started yet.
    """

    def __init__(
        self,
        loop: SimulatedLoop,
        redis: RedisFactory | None,
        *,
        instances: int = 3,
        settings: Mapping[str, Any] | None = None,
        store: StoreKind = "sqlite",
    ) -> None:
        """Starts the store and Redis.

        Args:
            loop: of everything.
            redis: makes a Redis server, `redis_servers` for example; None: there is none.
            instances: how many there are.
            settings: groups of settings, as `Settings` takes them; those named here replace the usual ones.
            store: of which kind it is.
        """
        self.loop = loop
        self.store, self.machine = _STORES[store](loop)
        self._store_url = _URLS[store]
        self.redis: dict[str, RedisHost] = {}
        self._new_engine = redis
        loop.network.names[REDIS_NAME] = ["10.0.9.1"]
        if redis is not None:
            self.add_redis("r1")
        self._overrides = dict(settings or {})
        self.instances = {name: self._instance(name) for name in (f"i{number + 1}" for number in range(instances))}

    @property
    def urls(self) -> list[str]:
        """Where clients connect: every instance."""
        return [instance.url for instance in self.instances.values()]

    async def start(self) -> None:
        """Start all instances and wait until they take connections."""
        for instance in self.instances.values():
            instance.start()
        for instance in self.instances.values():
            await instance.ready()

    async def restart(self, name: str, after_seconds: float = 0.0, *, is_silent: bool = False) -> None:
        """Kill an instance and start it again after a while; returns when it takes connections."""
        self.instances[name].kill(is_silent=is_silent)
        await asyncio.sleep(after_seconds)
        self.instances[name].start()
        await self.instances[name].ready()

    def add_redis(self, name: str) -> RedisHost:
        """Another server, which no instance finds yet (unless it is the first)."""
        assert self._new_engine is not None
        host = f"10.0.9.{len(self.redis) + 1}"
        self.redis[name] = RedisHost(self.loop, name, host, self._new_engine())
        return self.redis[name]

    def point_to_redis(self, *names: str) -> None:
        """What the name of Redis resolves to from now on; connections that exist stay where they are."""
        self.loop.network.names[REDIS_NAME] = [self.redis[name].host for name in names]

    def token(self, user_id: str, *, is_admin: bool = False) -> str:
        """A token that outlives the simulation."""
        issued_at = EPOCH_SECONDS + self.loop.now
        return issue(
            SECRET, user_id, _LONG_SECONDS, issuer="holdfast", audience="holdfast", issued_at=issued_at, is_admin=is_admin
        )

    def settings(self, name: str) -> Settings:
        """Of one instance."""
        usual: dict[str, Any] = {
            "instance_id": name,
            "redis": {"url": f"redis://{REDIS_NAME}:{REDIS_PORT}/0"},
            "store": {"url": self._store_url},
            "auth": {"secret": SECRET},
            "bus": {"secret": _BUS_SECRET},
            "drain": {"window_seconds": 5.0},
        }
        for group, values in self._overrides.items():
            usual[group] = {**usual.get(group, {}), **values} if isinstance(values, Mapping) else values
        return Settings(**usual)

    def _instance(self, name: str) -> SimulatedInstance:
        host = f"10.0.0.{name.removeprefix('i')}"
        return SimulatedInstance(self.loop, name, host, self.settings(name), self.machine)


def _sqlite(loop: SimulatedLoop) -> "tuple[SimulatedStore | SimulatedFirestore, Callable[[Process], Machine]]":
    store = SimulatedStore(loop, loop.seed)
    return store, partial(machine, database=store.database)


def _firestore(loop: SimulatedLoop) -> "tuple[SimulatedStore | SimulatedFirestore, Callable[[Process], Machine]]":
    from simulation.firestore import SimulatedFirestore  # here: its libraries cost a second and 65 MB

    store = SimulatedFirestore(loop, loop.seed)
    return store, partial(machine, firestore=store.connecting)


_STORES: Final = {"sqlite": _sqlite, "firestore": _firestore}
_URLS: Final = {"sqlite": "sqlite:///simulated", "firestore": "firestore://simulated"}
