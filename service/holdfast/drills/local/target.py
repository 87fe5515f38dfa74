"""The whole cluster of a drill on this machine: Redis, a store, instances, and between them proxies that can be broken.

Each instance has its own way to Redis, and to the emulator where that is the store: so one of them can be cut off alone.
"""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.drills.local.disk import SmallDisk
from holdfast.drills.local.proxy import Proxy
from holdfast.drills.local.versions import THIS, Version
from holdfast.drills.stored import store_at
from holdfast.launcher.emulator import REMEDY, Emulator, find_emulator
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.redis import RedisServer, require_server
from holdfast.launcher.sentinels import WatchedRedis
from holdfast.launcher.waiting import TargetFailed
from holdfast.ports import Store
from holdfast.web.auth import issue

_SETTINGS: Final = {
    "HOLDFAST_DRAIN__WINDOW_SECONDS": "5",
    "HOLDFAST_PRESENCE__GRACE_SECONDS": "5",
    "HOLDFAST_LOG__FORMAT": "text",
    "HOLDFAST_LIMITS__SENDS_PER_SECOND": "0",
    "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0",
    "HOLDFAST_LIMITS__CREATES_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__ADDS_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__CONVERSATIONS_PER_USER": "5000",  # the user who is always away is in all of them
    "HOLDFAST_LIMITS__CONVERSATIONS_BY_OTHERS": "5000",
    "HOLDFAST_LIMITS__CONVERSATIONS_BY_ONE_OTHER": "5000",
}
_TOKEN_SECONDS: Final = 24 * 3600
_SUBSCRIBES: Final = b"SUBSCRIBE"


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """The store's library reads from there where its emulator is."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a cluster differs from the usual.

    Attributes:
        has_sentinels: Redis is a primary and a replica, instances ask Sentinels for it; no proxy is between them and Redis.
        has_front: all clients come through one proxy, which knows the instances.
        is_direct: no proxies in front of Redis and the store: they would share a process with thousands of clients.
        disk_mb: the store's file lies on a disk of that size, its own; 0: on the machine's.
        version: the code that all instances run at first.
    """

    has_sentinels: bool = False
    has_front: bool = False
    is_direct: bool = False
    disk_mb: int = 0
    version: Version = THIS


USUAL: Final = Layout()


class LocalTarget:
    """`start`, then `close`, whatever happened in between.

    Attributes:
        instances: by name, in the order of their start.
        to_redis, to_sentinels, to_store: the proxies of each instance, where the layout has them; SQLite is a file and has none.
        front, watched, disk: where the layout has them.
    """

    def __init__(self, count: int, store: str, settings: dict[str, str] | None = None, layout: Layout = USUAL) -> None:
        """Looks for what is needed, and starts nothing yet. `store`: `sqlite` or `firestore`.

        Raises:
            TargetFailed: this machine has no Redis, or no emulator.
        """
        binary = require_server()
        self.directory = Path(tempfile.mkdtemp(prefix="holdfast-drill-"))
        self.redis = RedisServer(binary)
        self.watched = WatchedRedis(binary, self.redis) if layout.has_sentinels else None
        self.disk = SmallDisk(layout.disk_mb) if layout.disk_mb else None
        self.emulator: Emulator | None = None
        if store == "firestore":
            if (script := find_emulator()) is None:
                raise TargetFailed(REMEDY)
            self.emulator = Emulator(script)
        self.instances: dict[str, LocalInstance] = {}
        self.to_redis: dict[str, Proxy] = {}
        self.to_sentinels: dict[str, list[Proxy]] = {}
        self.to_store: dict[str, Proxy] = {}
        self._project = f"drill-{secrets.token_hex(4)}"
        self._secret = secrets.token_urlsafe(32)
        self._turn = itertools.count()
        self._is_direct = layout.is_direct
        self._proxies: list[Proxy] = []
        self.front = Proxy(self._next_port) if layout.has_front else None
        self._names = [f"instance-{number}" for number in range(1, count + 1)]
        self._settings = _SETTINGS | (settings or {})
        self._versions = dict.fromkeys(self._names, layout.version)
        self._environs: dict[str, dict[str, str]] = {}

    @property
    def grace_seconds(self) -> float:
        """What the instances were told."""
        return float(self._settings["HOLDFAST_PRESENCE__GRACE_SECONDS"])

    async def start(self) -> None:
        """Everything, in order; returns when all instances are ready.

        Raises:
            TargetFailed: a part does not come up, or a disk cannot be mounted.
        """
        if self.disk is not None:
            self.disk.mount()
        await self.redis.start()
        if self.watched is not None:
            await self.watched.start()
        if self.emulator is not None:
            await self.emulator.start()
        for name in self._names:
            self._environs[name] = await self._environ(name)
            self.instances[name] = LocalInstance(name, self._versions[name].environ(self._environs[name]), self.directory)
        first, *others = self.instances.values()
        await first.start()
        await asyncio.gather(*(instance.start() for instance in others))
        if self.front is not None:
            await self.front.listen()

    async def close(self) -> None:
        """End everything, and remove the logs and the store."""
        for instance in self.instances.values():
            instance.kill()
        for proxy in (*self._proxies, *([self.front] if self.front else [])):
            await proxy.close()
        for part in (self.watched, self.redis, self.emulator, self.disk):
            if part is not None:
                part.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def version_of(self, name: str) -> Version:
        """The code that the instance runs, or ran last."""
        return self._versions[name]

    def set_version(self, name: str, version: Version) -> None:
        """The code that the instance runs from its next start on."""
        self._versions[name] = version
        self.instances[name].environ = version.environ(self._environs[name])

    def token(self, user_id: str, *, is_admin: bool = False, ahead_seconds: float = 0.0) -> str:
        """A new token that all instances believe. `ahead_seconds`: how wrong the clock of its issuer is."""
        issued_at = time.time() + ahead_seconds
        return issue(
            self._secret, user_id, _TOKEN_SECONDS, issuer="holdfast", audience="holdfast", is_admin=is_admin, issued_at=issued_at
        )

    def living(self) -> list[LocalInstance]:
        """Those that run."""
        return [instance for instance in self.instances.values() if instance.is_running]

    def urls(self) -> list[str]:
        """Where clients connect."""
        return [f"http://{self.front.address}"] if self.front is not None else [instance.url for instance in self.living()]

    @property
    def redis_url(self) -> str:
        """Redis as an operator reaches it: the primary of the moment."""
        return self.redis.url if self.watched is None else self.watched.url

    def store(self) -> Store:
        """The store as the instances see it, past the proxies; for `FIRESTORE_EMULATOR_HOST` see `store_environ`."""
        return store_at(self.store_url)

    async def generation(self) -> str:
        """The generation of this store; envelopes of another one are not accepted."""
        with environment(self.store_environ):
            store = self.store()
            try:
                await store.open()
                return await store.generation()
            finally:
                await store.close()

    @property
    def store_environ(self) -> dict[str, str]:
        """The variables that this process needs in its environment while it reads the store."""
        return {} if self.emulator is None else {"FIRESTORE_EMULATOR_HOST": self.emulator.address}

    @property
    def store_url(self) -> str:
        """As the instances have it."""
        if self.emulator is not None:
            return f"firestore://{self._project}"
        return f"sqlite:///{self.directory if self.disk is None else self.disk.path}/holdfast.db"

    def _next_port(self) -> int:
        """Of one instance after the other, of those that run."""
        living = self.living()
        return living[next(self._turn) % len(living)].port if living else 0

    async def _environ(self, name: str) -> dict[str, str]:
        environ = {
            **self._settings,
            "HOLDFAST_REDIS__URL": await self._way_to_redis(name),
            "HOLDFAST_STORE__URL": self.store_url,
            "HOLDFAST_AUTH__SECRET": self._secret,
        }
        if self.emulator is not None:
            environ["FIRESTORE_EMULATOR_HOST"] = await self._way_to_emulator(name, self.emulator)
        return environ

    async def _way_to_emulator(self, name: str, emulator: Emulator) -> str:
        if self._is_direct:
            return emulator.address
        self.to_store[name] = await self._proxy(emulator.port)
        return self.to_store[name].address

    async def _way_to_redis(self, name: str) -> str:
        if self._is_direct:
            return self.redis_url
        if self.watched is None:
            self.to_redis[name] = await self._proxy(self.redis.port, _SUBSCRIBES)
            return f"redis://{self.to_redis[name].address}/0"
        self.to_sentinels[name] = [await self._proxy(port) for port in self.watched.sentinel_ports]
        return self.watched.url_by(way.port for way in self.to_sentinels[name])

    async def _proxy(self, port: int, marker: bytes = b"") -> Proxy:
        proxy = Proxy(port, marker)
        self._proxies.append(proxy)
        await proxy.listen()
        return proxy
