"""Fixtures for tests over real processes: a store of either kind, a Redis 7, instances on both."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.instances import Instances
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
