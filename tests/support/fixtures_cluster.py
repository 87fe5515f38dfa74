"""Fixtures for tests over real processes: a store of either kind, a Redis 7, instances on both."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.instances import Instances, Serving
from support.redis_server import SYSTEM, RedisServer, require_binary


@pytest.fixture
async def redis7() -> AsyncIterator[RedisServer]:
    """The machine's Redis, fresh."""
    server = RedisServer(require_binary(SYSTEM))
    await server.start()
    yield server
    server.close()


@pytest.fixture
async def operator(redis7: RedisServer) -> AsyncIterator["Redis"]:
    """What an operator with `redis-cli` sees."""
    client = Redis(port=redis7.port, decode_responses=True, socket_timeout=None)
    yield client
    await client.aclose()


@pytest.fixture(params=["firestore", "sqlite"])
def store_environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The variables that name a fresh store, of either kind."""
    if request.param == "sqlite":
        return {"HOLDFAST_STORE__URL": f"sqlite:///{tmp_path}/holdfast.db"}
    return firestore_environ(request)


@pytest.fixture
def firestore_store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables that name a fresh Firestore."""
    return firestore_environ(request)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> dict[str, str]:
    """The variables that name a fresh SQLite store."""
    return {"HOLDFAST_STORE__URL": f"sqlite:///{tmp_path}/holdfast.db"}


def firestore_environ(request: pytest.FixtureRequest) -> dict[str, str]:
    """A project of its own at the session's emulator."""
    emulator = request.getfixturevalue("firestore_emulator")
    project = f"test-{secrets.token_hex(4)}"
    return {"HOLDFAST_STORE__URL": f"firestore://{project}", "FIRESTORE_EMULATOR_HOST": emulator.address}


@pytest.fixture
def instances(redis7: RedisServer, store_environ: dict[str, str], tmp_path: Path) -> Iterator[Instances]:
    """Instances on that Redis and either store; no instance may have logged a traceback."""
    cluster = Instances(tmp_path, redis7.url, store_environ["HOLDFAST_STORE__URL"], **store_environ)
    yield cluster
    cluster.close()
    cluster.assert_quiet()


@pytest.fixture
def sqlite_instances(redis7: RedisServer, sqlite_store: dict[str, str], tmp_path: Path) -> Iterator[Instances]:
    """Instances on SQLite: where the store is not what is tested."""
    cluster = Instances(tmp_path, redis7.url, sqlite_store["HOLDFAST_STORE__URL"])
    yield cluster
    cluster.close()
    cluster.assert_quiet()


@dataclass(frozen=True)
class Pair:
    """Two instances with the settings of tests, on a Redis and a store of their own."""

    instances: Instances
    redis: RedisServer

    @property
    def both(self) -> tuple[Serving, Serving]:
        """They run."""
        one, two = self.instances.all
        return one, two


@pytest.fixture(scope="module", params=["firestore", "sqlite"])
def pair_of_module(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """On either store, started once for all tests of a file."""
    directory = tmp_path_factory.mktemp("pair")
    store = {"HOLDFAST_STORE__URL": f"sqlite:///{directory}/holdfast.db"}
    if request.param == "firestore":
        store = firestore_environ(request)
    redis = RedisServer(require_binary(SYSTEM))
    instances = Instances(directory, redis.url, store["HOLDFAST_STORE__URL"], **store)
    try:
        asyncio.run(redis.start())
        asyncio.run(instances.start("instance-1", "instance-2"))
        yield Pair(instances, redis)
    finally:
        try:
            instances.close()
        finally:
            redis.close()
    instances.assert_quiet()


@pytest.fixture
def pair(pair_of_module: Pair) -> Iterator[Pair]:
    """For tests that break nothing and look at conversations of their own alone; no instance may have logged a traceback."""
    yield pair_of_module
    pair_of_module.instances.assert_quiet()


@pytest.fixture
async def pair_operator(pair: Pair) -> AsyncIterator["Redis"]:
    """What an operator with `redis-cli` sees in the Redis of the two instances."""
    client = Redis(port=pair.redis.port, decode_responses=True, socket_timeout=None)
    yield client
    await client.aclose()
